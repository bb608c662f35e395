"""The embedded log: one SQLite file per source, written by one tailer, followed by readers in any process.

Writing and reading block, so each writer and each reader has a thread of its own. What is where: `sqlite_writer` and
`sqlite_reader` (blocking), `rows` (the format of a batch), `sqlite_file` (tables), `sqlite_trim` (retention),
`lockfile` (one writer), `wakeup` (a commit wakes the readers).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from cdc.errors import LogError
from cdc.event import Batch, Chunk, Position
from cdc.log import LogState
from cdc.log.sqlite_file import file_name
from cdc.log.sqlite_reader import Place, SqliteReader
from cdc.log.sqlite_trim import Retention
from cdc.log.sqlite_writer import SqliteWriter
from cdc.log.wakeup import Bell

POLL_SECONDS = 0.1
"""Readers look so often without being woken."""

T = TypeVar("T")


def _new_epoch() -> str:
    return uuid4().hex[:16]


class EmbeddedLog:
    """One source's log in `directory`, which is made (for this user only) when the log is first written.

    keep_seconds, keep_bytes: see `Retention`. clock: Unix seconds, for retention.
    """

    def __init__(
        self,
        directory: Path | str,
        alias: str,
        *,
        keep_seconds: float | None = None,
        keep_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
        new_epoch: Callable[[], str] = _new_epoch,
    ) -> None:
        self._path = Path(directory) / file_name(alias)
        self._retention = Retention(keep_seconds, keep_bytes)
        self._clock = clock
        self._new_epoch = new_epoch
        self._users: set[EmbeddedWriter | EmbeddedReader] = set()

    @property
    def path(self) -> Path:
        """The log's file."""
        return self._path

    async def writer(self) -> EmbeddedWriter:
        """As `EventLog.writer`."""
        blocking = SqliteWriter(self._path, self._retention, self._clock, self._new_epoch)
        writer = EmbeddedWriter(blocking, self._users)
        await writer.open()
        return writer

    async def reader(
        self, after: int | None = None, collections: Set[str] | None = None, *, follows: bool = False
    ) -> EmbeddedReader:
        """As `EventLog.reader`."""
        reader = EmbeddedReader(SqliteReader(self._path, collections), Bell(self._path), self._users)
        await reader.open(after)
        return reader

    async def state(self) -> LogState | None:
        """As `EventLog.state`."""
        reader = SqliteReader(self._path)

        def look() -> LogState | None:
            try:
                return reader.state()
            finally:
                reader.close()

        return await asyncio.to_thread(look)

    async def close(self) -> None:
        """Close the writer and the readers that are still open."""
        for user in list(self._users):
            await user.close()


class _Thread:
    """One thread that does one blocking call after the other, each to its end, whoever still waits for it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=f"livetail-{name}")
        self._closing: asyncio.Future[None] | None = None

    def begin(self, call: Callable[..., T], *args: object) -> asyncio.Future[T]:
        """Raises LogError after `close`."""
        if self._closing is not None:
            raise LogError(f"this {self._name} is closed")
        return asyncio.get_running_loop().run_in_executor(self._executor, call, *args)

    async def close(self, last: Callable[[], None]) -> None:
        """Make `last` the last call and wait for it."""
        if self._closing is None:
            self._closing = self.begin(last)
            self._executor.shutdown(wait=False)
        await asyncio.wait({self._closing})
        self._closing.result()


class EmbeddedWriter:
    """A `LogWriter`. An append that is cancelled goes on: whether it became durable, `position` tells as soon as the
    next call, or `close`, has returned. If it failed, the next append says so instead of leaving a gap."""

    def __init__(self, blocking: SqliteWriter, users: set[EmbeddedWriter | EmbeddedReader]) -> None:
        self._blocking = blocking
        self._users = users
        self._thread = _Thread("log writer")
        self._running: asyncio.Future[None] | None = None

    async def open(self) -> None:
        """Raises LogInUse, LogError; the writer is closed then."""
        self._users.add(self)
        try:
            await self._thread.begin(self._blocking.open)
        except BaseException:
            await self.close()
            raise

    @property
    def position(self) -> Position | None:
        """As `LogWriter.position`."""
        return self._blocking.position

    async def append(self, batch: Batch) -> None:
        """As `LogWriter.append`."""
        try:
            await self._perform(self._blocking.append, batch)
        finally:
            if self._running is None and self._blocking.wants_trim:
                self._thread.begin(self._blocking.trim)

    async def start_over(self, position: Position | None) -> None:
        """As `LogWriter.start_over`."""
        await self._perform(self._blocking.start_over, position)

    async def _perform(self, call: Callable[..., None], argument: Batch | Position | None) -> None:
        if self._running is not None:
            await asyncio.wait({self._running})
            cancelled, self._running = self._running, None
            if (error := cancelled.exception()) is not None:
                raise LogError(
                    f"an append that was cancelled failed: {error}; start over from `position`"
                ) from error
        running = self._running = self._thread.begin(call, argument)
        await asyncio.wait({running})
        self._running = None
        running.result()

    async def close(self) -> None:
        """As `LogWriter.close`."""
        self._users.discard(self)
        await self._thread.close(self._blocking.close)
        if self._running is not None and self._running.done():
            self._running.exception()


class EmbeddedReader:
    """A `LogReader`. A read that is cancelled has read nothing: the next one returns the same."""

    def __init__(
        self, blocking: SqliteReader, bell: Bell, users: set[EmbeddedWriter | EmbeddedReader]
    ) -> None:
        self._blocking = blocking
        self._bell = bell
        self._users = users
        self._thread = _Thread("log reader")
        self._place = Place(0)

    async def open(self, after: int | None) -> None:
        """Raises CursorExpired, LogError; the reader is closed then."""
        self._users.add(self)
        try:
            self._place = await self._thread.begin(self._blocking.start, after)
        except BaseException:
            await self.close()
            raise

    @property
    def epoch(self) -> str:
        """As `LogReader.epoch`; empty until the log is first written."""
        return self._blocking.epoch

    async def read(self) -> list[Chunk]:
        """As `LogReader.read`."""
        while True:
            self._bell.mute()
            found = await self._thread.begin(self._blocking.read, self._place)
            self._place = found.place
            if found.chunks:
                return found.chunks
            if not found.more:
                await self._bell.wait(POLL_SECONDS)

    async def close(self) -> None:
        """As `LogReader.close`."""
        self._users.discard(self)
        self._bell.close()
        await self._thread.close(self._blocking.close)
