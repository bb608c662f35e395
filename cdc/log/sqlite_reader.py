"""Reading the embedded log: plain blocking calls, all to be made in one thread."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cdc.errors import CursorExpired, EpochChanged, LogError
from cdc.event import Chunk, Entry, Reset
from cdc.log import LogState
from cdc.log.rows import Row, memory_size, names_of, unpack
from cdc.log.sqlite_file import (
    NO_MARK,
    Header,
    Identity,
    Mark,
    Positions,
    connect,
    explain,
    identity,
    read_header,
)

_READ_BYTES = 512 * 1024
"""A read ends with the row that reaches this; a row rarely has more than that itself."""

_READ_ROWS = 2000
"""Rows looked at in one read transaction: long ones would keep the writer from reusing its journal."""

_SELECT = """
SELECT first, last, ts_ms, position, state, collections, resets, crc,
       CASE WHEN wanted(collections) THEN payload END
FROM batches WHERE last > ? ORDER BY last LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reader stands: the offset it has read up to, and the position that it returned last."""

    after: int
    mark: Mark = NO_MARK


@dataclass(frozen=True, slots=True)
class Found:
    """What a read found, where to go on, and whether there was more to read at once."""

    chunks: list[Chunk]
    place: Place
    more: bool


class SqliteReader:
    """Reads one file. It keeps no place: a read whose answer got lost can be asked again."""

    def __init__(self, path: Path, collections: Set[str] | None = None) -> None:
        self._path = path
        self._wanted = None if collections is None else frozenset(collections)
        self._db: sqlite3.Connection | None = None
        self._identity: Identity | None = None
        self._epoch = ""

    @property
    def epoch(self) -> str:
        """ "" until the log is first seen; may be read in any thread."""
        return self._epoch

    def start(self, after: int | None) -> Place:
        """Where to read first. Raises CursorExpired, LogError."""
        with self._transaction() as header:
            oldest, newest = (header.oldest, header.newest) if header is not None else (0, 0)
            if after is None:
                return Place(newest)
            if not oldest <= after <= newest:
                raise self._expired(after, oldest, newest)
            return Place(after)

    def state(self) -> LogState | None:
        """As `EventLog.state`."""
        with self._transaction() as header:
            if header is None:
                return None
            position = self._positions.load(header.mark)
            return LogState(header.epoch, header.oldest, header.newest, position, header.ts_ms, header.size)

    def read(self, place: Place) -> Found:
        """What follows, without waiting. Raises CursorExpired, EpochChanged, LogError."""
        with self._transaction() as header:
            if header is None:
                return Found([], place, False)
            if not header.oldest <= place.after <= header.newest:
                raise self._expired(place.after, header.oldest, header.newest)
            found = self._read_rows(place) if place.after < header.newest else Found([], place, False)
            place = found.place
            if place.after == header.newest and header.mark not in (NO_MARK, place.mark):
                if found.chunks and not found.chunks[-1].entries and not found.chunks[-1].resets:
                    found.chunks.pop()
                position = self._positions.load(header.mark)
                found.chunks.append(Chunk([], place.after, position, header.ts_ms))
                place = Place(place.after, header.mark)
            return Found(found.chunks, place, place.after < header.newest)

    def _read_rows(self, place: Place) -> Found:
        assert self._db is not None
        chunks: list[Chunk] = []
        passed: Chunk | None = None
        size = 0
        rows = self._db.execute(_SELECT, (place.after, _READ_ROWS))
        for first, last, ts_ms, text, state, collections, resets_text, crc, payload in rows:
            mark = (text, state)
            entries: list[Entry] = []
            if payload is not None:
                entries = self._entries(Row(first, last, collections, payload, crc), place.after)
                size += memory_size(payload)
            resets = self._resets(resets_text) if resets_text is not None else ()
            if entries or resets:
                chunks.append(Chunk(entries, last, self._positions.load(mark), ts_ms, resets))
                passed = None
            elif text is not None:
                passed = Chunk([], last, self._positions.load(mark), ts_ms)
            place = Place(last, place.mark if text is None else mark)
            if size >= _READ_BYTES:
                break
        if passed is not None:
            chunks.append(passed)
        return Found(chunks, place, False)

    def _entries(self, row: Row, after: int) -> list[Entry]:
        try:
            entries = unpack(row)
        except ValueError as error:
            raise LogError(
                f"{self._path} is damaged at offset {row.first}: {error}; "
                "restore the disk, or move the file away to start anew"
            ) from error
        if row.first <= after:
            entries = entries[after + 1 - row.first :]
        if self._wanted is not None and not self._wanted.issuperset(names_of(row.collections)):
            entries = [entry for entry in entries if entry[1] in self._wanted]
        return entries

    def _resets(self, text: str) -> tuple[Reset, ...]:
        wanted = self._wanted
        resets = (Reset(*fields) for fields in json.loads(text))
        return tuple(reset for reset in resets if wanted is None or reset.collection in wanted)

    def _wants(self, collections: str) -> bool:
        return self._wanted is None or not self._wanted.isdisjoint(names_of(collections))

    def _expired(self, after: int, oldest: int, newest: int) -> CursorExpired:
        return CursorExpired(
            f"{self._path} cannot be read from offset {after}: it holds what follows {oldest} to {newest}; "
            "start over from the database"
        )

    @contextmanager
    def _transaction(self) -> Iterator[Header | None]:
        """A short read transaction and the header it sees; None while there is no file yet."""
        try:
            db = self._connection()
            if db is None:
                yield None
                return
            db.execute("BEGIN")
            try:
                header = read_header(db, self._path)
                if header.epoch != self._epoch:
                    if self._epoch:
                        raise EpochChanged(f"{self._path} was started anew; start over from the database")
                    self._epoch = header.epoch
                yield header
            finally:
                db.execute("ROLLBACK")
        except sqlite3.Error as error:
            self.close()
            raise explain(error, self._path, "read") from error

    def _connection(self) -> sqlite3.Connection | None:
        there = identity(self._path)
        if self._identity is not None and there != self._identity:
            raise EpochChanged(f"{self._path} was removed or replaced; start over from the database")
        if self._db is None and there is not None:
            self._db = connect(self._path, "ro")
            self._db.create_function("wanted", 1, self._wants, deterministic=True)
            self._positions = Positions(self._db)
            self._identity = there
        return self._db

    def close(self) -> None:
        """Release the file; the next read opens it again."""
        if self._db is not None:
            db, self._db = self._db, None
            db.close()
