"""Writing the embedded log: plain blocking calls, all to be made in one thread."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from cdc.errors import LogError
from cdc.event import Batch, Position, Reset
from cdc.log.lockfile import LockFile
from cdc.log.rows import Row, bare, pack
from cdc.log.sqlite_file import (
    NO_HEADER,
    NO_MARK,
    PAGE_BYTES,
    Identity,
    Mark,
    Positions,
    connect,
    create,
    explain,
    identity,
    read_header,
)
from cdc.log.sqlite_trim import Retention, Trim
from cdc.log.wakeup import Ringer

logger = logging.getLogger(__name__)

# Checkpoints: small ones, since the append that meets one waits for it (8 MiB: about 10 ms; 16 MiB: 20; 64 MiB: 80).
# What is staged beyond the cache goes to the journal: memory holds the cache, whatever the transaction's size.
_PRAGMAS = f"""
PRAGMA synchronous = FULL;
PRAGMA secure_delete = OFF;
PRAGMA cache_size = -8192;
PRAGMA wal_autocheckpoint = {8 * 2**20 // PAGE_BYTES};
PRAGMA journal_size_limit = 67108864;
"""
_INSERT = """
INSERT INTO batches (last, first, size, stored_at, ts_ms, position, state, collections, resets, crc, payload)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_MOVE = "UPDATE log SET newest = ?, position = ?, state = ?, ts_ms = ?, size = ?"
_MARK_LAST = "UPDATE batches SET position = ?, state = ?, ts_ms = ? WHERE last = ?"
_START_OVER = "UPDATE log SET epoch = ?, oldest = newest, position = ?, state = ?, ts_ms = ?, size = 0"


class SqliteWriter:
    """The one writer of a file. After an error nothing is staged and it goes on from `position`."""

    def __init__(
        self, path: Path, retention: Retention, clock: Callable[[], float], new_epoch: Callable[[], str]
    ) -> None:
        """Does nothing yet."""
        self._path = path
        self._clock = clock
        self._new_epoch = new_epoch
        self._trim = Trim(retention)
        self._ringer = Ringer(path)
        self._lock = LockFile(path.with_name(f"{path.name}.lock"))
        self._db: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._position: Position | None = None
        self._header = NO_HEADER
        # Where the log ends with what is staged.
        self._newest, self._size = 0, 0

    def open(self) -> None:
        """Open the file, creating it and its folder if need be. Raises LogInUse and LogError; `close` it then too."""
        folder = self._path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise LogError(
                f"cannot make the folder {folder}: {error.strerror}; check its parent's rights"
            ) from error
        self._open()

    @property
    def position(self) -> Position | None:
        """That of the last durable batch. May be read in any thread."""
        return self._position

    def append(self, batch: Batch) -> None:
        """As `LogWriter.append`."""
        with self._mending("append to") as db:
            if not db.in_transaction:
                db.execute("BEGIN IMMEDIATE")
            mark = self._positions.store(batch.position)
            self._insert(db, batch, mark)
            if batch.position is None:
                return
            db.execute(_MOVE, (self._newest, *mark, batch.ts_ms, self._size))
            db.execute("COMMIT")
        self._header = replace(
            self._header, newest=self._newest, size=self._size, mark=mark, ts_ms=batch.ts_ms
        )
        self._position = batch.position
        self._ringer.ring()

    def _insert(self, db: sqlite3.Connection, batch: Batch, mark: Mark) -> None:
        rows = list(pack(batch.records, self._newest + 1))
        if not rows and batch.resets:
            rows.append(bare(self._newest + 1))
        if not rows:
            if self._newest > self._header.newest:
                db.execute(_MARK_LAST, (*mark, batch.ts_ms, self._newest))
            return
        stored_at = int(self._clock())
        for row in rows:
            ends = row is rows[-1]
            place = mark if ends else NO_MARK
            resets = _resets_text(batch.resets) if ends else None
            db.execute(_INSERT, (*_columns(row, stored_at, batch.ts_ms, place), resets, row.crc, row.payload))
            self._size += len(row.payload)
        self._newest = rows[-1].last

    def start_over(self, position: Position | None) -> None:
        """As `LogWriter.start_over`. What the old epoch kept is deleted bit by bit by `trim`."""
        with self._mending("start over") as db:
            if db.in_transaction:
                db.execute("ROLLBACK")
            self._positions = Positions(db)
            db.execute("BEGIN IMMEDIATE")
            mark = self._positions.store(position)
            db.execute(_START_OVER, (self._new_epoch(), *mark, int(self._clock() * 1000)))
            db.execute("COMMIT")
            self._adopt(db)
        self._ringer.ring()

    @property
    def wants_trim(self) -> bool:
        """Whether it is time for `trim`. May be read in any thread."""
        return self._trim.is_due(self._clock())

    def trim(self) -> None:
        """Take a small step at deleting what need not be kept. Never raises LogError: the log is right with or without
        it, and a later step tries again."""
        if self._db is None or self._db.in_transaction:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._header = self._trim.step(self._db, self._header, self._clock())
            self._db.execute("COMMIT")
            self._size = self._header.size
        except sqlite3.Error as error:
            logger.warning("%s", explain(error, self._path, "trim"))
            self._disconnect()

    def close(self) -> None:
        """Release everything; what is staged is forgotten."""
        try:
            self._disconnect()
        finally:
            self._ringer.close()
            self._lock.release()

    @contextmanager
    def _mending(self, doing: str) -> Iterator[sqlite3.Connection]:
        """The connection for one operation. Whatever goes wrong, the transaction is rolled back and `position` read
        again from the file, since a commit that reports an error may have happened."""
        db = self._connection()
        try:
            yield db
        except sqlite3.Error as error:
            self._reopen()
            raise explain(error, self._path, doing) from error
        except BaseException:
            self._reopen()
            raise

    def _connection(self) -> sqlite3.Connection:
        db = self._db
        if db is None:
            believed = self._header
            db = self._open()
            if (self._header.epoch, self._header.newest, self._header.mark) != (
                believed.epoch,
                believed.newest,
                believed.mark,
            ):
                raise LogError(
                    f"{self._path} does not end where it was thought to; start over from its position"
                )
        elif identity(self._path) != self._identity:
            self._reopen()
            raise LogError(
                f"{self._path} was removed or replaced while in use; going on with what is there now"
            )
        return db

    def _reopen(self) -> None:
        self._disconnect()
        with suppress(LogError):  # the next operation opens it, or says why not
            self._open()

    def _open(self) -> sqlite3.Connection:
        self._lock.hold()
        if identity(self._path) is None:
            create(self._path, self._new_epoch(), int(self._clock() * 1000))
        try:
            db = connect(self._path, "rw")
            try:
                db.executescript(_PRAGMAS)
                self._identity = identity(self._path)
                self._positions = Positions(db)
                self._adopt(db)
            except BaseException:
                db.close()
                raise
        except sqlite3.Error as error:
            raise explain(error, self._path, "open") from error
        self._db = db
        return db

    def _adopt(self, db: sqlite3.Connection) -> None:
        """Take what the file says for what is."""
        self._header = read_header(db, self._path)
        self._newest, self._size = self._header.newest, self._header.size
        self._position = self._positions.load(self._header.mark)

    def _disconnect(self) -> None:
        if self._db is not None:
            db, self._db = self._db, None
            db.close()


def _columns(row: Row, stored_at: int, ts_ms: int, mark: Mark) -> tuple[object, ...]:
    return (row.last, row.first, len(row.payload), stored_at, ts_ms, *mark, row.collections)


def _resets_text(resets: tuple[Reset, ...]) -> str | None:
    return json.dumps([[reset.collection, reset.reason, reset.tx] for reset in resets]) if resets else None
