"""The embedded log's file: its name, its tables, its one header row, and what its errors mean."""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cdc.errors import LogError
from cdc.event import Position

FORMAT = 1
BUSY_SECONDS = 5.0
"""How long a stranger (a backup, the sqlite3 shell) may hold the file before it is an error."""

PAGE_BYTES = 16384
"""Measured: the fastest for rows of half a megabyte, and no slower than smaller ones for a single small row."""
_SCHEMA = f"""
PRAGMA page_size = {PAGE_BYTES};
PRAGMA journal_mode = WAL;
PRAGMA user_version = {FORMAT};
BEGIN;
-- A source's state (see Position), stored when it changes and not with every position.
CREATE TABLE states (id INTEGER PRIMARY KEY, state TEXT NOT NULL);
-- `oldest` < offset <= `newest` can be read; `size` is in bytes of payload; position, state and ts_ms: the latest.
CREATE TABLE log (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch TEXT NOT NULL,
    oldest INTEGER NOT NULL,
    newest INTEGER NOT NULL,
    position TEXT,
    state INTEGER REFERENCES states (id),
    ts_ms INTEGER NOT NULL,
    size INTEGER NOT NULL
);
-- One row for each appended batch or part of a large one. The payload comes last: what stands before it is read
-- without touching it. `stored_at` is the writer's clock (Unix seconds). Without position: the transaction goes on.
CREATE TABLE batches (
    last INTEGER PRIMARY KEY,
    first INTEGER NOT NULL,
    size INTEGER NOT NULL,
    stored_at INTEGER NOT NULL,
    ts_ms INTEGER NOT NULL,
    position TEXT,
    state INTEGER REFERENCES states (id),
    collections TEXT NOT NULL,
    resets TEXT,
    crc INTEGER NOT NULL,
    payload BLOB NOT NULL
);
"""


def file_name(alias: str) -> str:
    """The log's file name: the alias where it may be one, escaped or shortened where not; injective."""
    safe = quote(alias, safe=" ")
    if len(safe) > 120:
        safe = f"{safe[:80]}-{hashlib.sha256(alias.encode()).hexdigest()[:32]}"
    return f"{safe}.log.sqlite"


Identity = tuple[int, int]


def identity(path: Path) -> Identity | None:
    """Which file is there (device, inode); None if none is. Never opens it: closing a descriptor of the file would
    drop SQLite's locks in this process."""
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise LogError(f"cannot reach {path}: {error.strerror}; check folder and rights") from error
    return status.st_dev, status.st_ino


def create(path: Path, epoch: str, now_ms: int) -> None:
    """Make an empty log appear at `path` at once: no reader ever meets a half-made one."""
    new = path.with_name(f"{path.name}.new")
    try:
        # A journal that outlived its database would be replayed into the new one.
        for stale in (new, Path(f"{new}-wal"), Path(f"{new}-shm"), Path(f"{path}-wal"), Path(f"{path}-shm")):
            stale.unlink(missing_ok=True)
        os.close(os.open(new, os.O_CREAT | os.O_EXCL, 0o600))
        db = connect(new, "rw")
        try:
            db.executescript(_SCHEMA)
            db.execute("INSERT INTO log VALUES (1, ?, 0, 0, NULL, NULL, ?, 0)", (epoch, now_ms))
            db.execute("COMMIT")
        finally:
            db.close()
        os.rename(new, path)
        _sync_folder(path.parent)
    except sqlite3.Error as error:
        raise explain(error, path, "create") from error
    except OSError as error:
        raise LogError(
            f"cannot create {path}: {error.strerror}; check folder, rights and free space"
        ) from error


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open the file that is there, `mode` "ro" or "rw". Raises sqlite3.Error."""
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=32)


Mark = tuple[str | None, int | None]
"""A stored position: (JSON of [epoch, order], id of its state); (None, None) if there is none."""

NO_MARK: Mark = (None, None)


@dataclass(frozen=True, slots=True)
class Header:
    """The log's one header row. mark: which position it is, cheap to compare."""

    epoch: str
    oldest: int
    newest: int
    mark: Mark
    ts_ms: int
    size: int


NO_HEADER = Header("", 0, 0, NO_MARK, 0, 0)


def read_header(db: sqlite3.Connection, path: Path) -> Header:
    """Raises sqlite3.Error, and LogError when the file is another program's or another version's."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    row = None
    if version == FORMAT:
        row = db.execute("SELECT epoch, oldest, newest, position, state, ts_ms, size FROM log").fetchone()
    if row is None:
        raise LogError(
            f"{path} has format {version}, which this livetail does not know: "
            "use the version that wrote it, or move the file away to start anew"
        )
    epoch, oldest, newest, position, state, ts_ms, size = row
    return Header(epoch, oldest, newest, (position, state), ts_ms, size)


class Positions:
    """Stored positions to `Position` and back, over one connection; remembers the state met last."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._id: int | None = None
        self._text = ""
        self._state: dict[str, Any] = {}

    def load(self, mark: Mark) -> Position | None:
        text, state = mark
        if text is None:
            return None
        if state != self._id:
            (stored,) = self._db.execute("SELECT state FROM states WHERE id = ?", (state,)).fetchone()
            self._remember(state, stored)
        epoch, order = json.loads(text)
        return Position(epoch, order, self._state)

    def store(self, position: Position | None) -> Mark:
        """To be called in a transaction; if that fails, this object is worth nothing any more."""
        if position is None:
            return NO_MARK
        if self._id is None or position.state != self._state:
            stored = json.dumps(dict(position.state))
            if self._id is None or stored != self._text:
                row = self._db.execute("INSERT INTO states (state) VALUES (?)", (stored,))
                self._remember(row.lastrowid, stored)
        return json.dumps([position.epoch, position.order]), self._id

    def _remember(self, state: int | None, stored: str) -> None:
        self._id, self._text, self._state = state, stored, json.loads(stored)


def explain(error: sqlite3.Error, path: Path, doing: str) -> LogError:
    """What the person who must mend it needs to know."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    remedy = {
        sqlite3.SQLITE_FULL: f"make room in {path.parent} (or lower `retention`)",
        sqlite3.SQLITE_IOERR: f"check the disk of {path.parent} and its free space",
        sqlite3.SQLITE_BUSY: "another program holds the file: close it (a backup, a sqlite3 shell)",
        sqlite3.SQLITE_READONLY: "give this user the right to write the file and its folder",
        sqlite3.SQLITE_CANTOPEN: "check that the folder exists and this user may use it",
        sqlite3.SQLITE_CORRUPT: "the file is damaged: restore the disk, or move it away to start anew",
        sqlite3.SQLITE_NOTADB: "the file is not a log: move it away to start anew",
        sqlite3.SQLITE_TOOBIG: "a single record may have 1 GB",
    }.get(code, "see SQLite's message")
    return LogError(f"cannot {doing} {path}: {error}; {remedy}")
