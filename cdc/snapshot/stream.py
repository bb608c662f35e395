"""A stream with the chunks of its collections in it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from cdc.errors import LogError, SourceUnavailable
from cdc.event import Batch, Position
from cdc.snapshot.chunk import Chunk, Passed
from cdc.snapshot.progress import Progress, Reading
from cdc.snapshot.reader import ChunkReader
from cdc.tailer import Stream

CHUNK_BYTES: Final = 1 << 20
_FIRST_NUDGE: Final = 0.05
_LATER_NUDGES: Final = 1.0
_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 10.0
_log = logging.getLogger(__name__)


class SnapshotStream:
    """A `cdc.tailer.Stream`: all that another one has, and what is read meanwhile, one chunk at a time, beside the
    stream, which never waits for it.

    position: where the log stands; progress: what its state says, changed in here; recent: the changes that the
    log had last. sleep: an argument for the sake of tests.
    """

    def __init__(
        self,
        alias: str,
        inner: Stream,
        reader: ChunkReader,
        position: Position | None,
        progress: Progress,
        recent: Callable[[], Awaitable[Passed]],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._alias = alias
        self._inner = inner
        self._reader = reader
        self._position = position
        self._progress = progress
        self._recent = recent
        self._sleep = sleep
        self._passed: Passed | None = None  # while there is something to be read
        self._chunk: Chunk | None = None
        self._between = True  # two transactions
        self._newest: Batch | None = None  # taken, and maybe not in the log yet
        self._changed = asyncio.Event()
        self._moved = asyncio.Event()
        self._taking: asyncio.Task[Batch] | None = None
        self._work = asyncio.create_task(self._read_all())
        self._work.add_done_callback(self._wake)
        self.confirm = inner.confirm

    async def take(self) -> Batch:
        """See `cdc.tailer.Stream`."""
        self._newest = None
        while True:
            self._changed.clear()
            if self._work.done():
                self._work.result()
            if (batch := self._read_batch()) is not None:
                return batch
            if self._taking is None:
                self._taking = asyncio.create_task(self._inner.take())
                self._taking.add_done_callback(self._wake)
            elif self._taking.done():
                taken, self._taking = self._taking.result(), None
                return self._pass(taken)
            await self._changed.wait()

    async def close(self) -> None:
        """See `cdc.tailer.Stream`."""
        tasks = [task for task in (self._work, self._taking) if task is not None]
        for task in tasks:
            task.cancel()
        done, _ = await asyncio.wait(tasks, timeout=1)
        for task in done:
            if not task.cancelled():
                task.exception()  # told already, or of no matter any more
        await self._inner.close()
        await self._reader.close()

    def begin(self, collection: str) -> None:
        """Read this collection from its first row on, whatever was read of it. Durable with the next batch."""
        self._progress.begin(collection)
        if self._chunk is not None and self._chunk.collection == collection:
            self._chunk.spoil()
        self._moved.set()

    def reading(self, collection: str) -> Reading | None:
        """How far this collection is; None if it was never to be read."""
        return self._progress.readings.get(collection)

    @property
    def current(self) -> tuple[str, int] | None:
        """(the collection in turn, how many of its rows went out); None if there is nothing to be read."""
        name = self._progress.current
        return None if name is None else (name, self._progress.readings[name].rows)

    # -- the stream's side ------------------------------------------------------------------------------------

    def _wake(self, _: asyncio.Task[None] | asyncio.Task[Batch]) -> None:
        self._changed.set()

    def _pass(self, batch: Batch) -> Batch:
        """What the stream has now: the chunk in hand learns of it."""
        self._newest = batch
        if self._passed is not None:
            self._passed.add(batch.records)
            self._passed.add_resets(batch.resets)
        if self._chunk is not None:
            self._chunk.pass_by(batch)
        for reset in batch.resets:
            reading = self.reading(reset.collection)
            if reading is not None and not reading.done:
                self._progress.begin(reset.collection)
        self._between = batch.position is not None
        if batch.position is not None:
            self._position = batch.position
            batch.position = self._progress.on(batch.position)
        self._moved.set()
        return batch

    def _read_batch(self) -> Batch | None:
        """The chunk in hand, once the stream has come to its place."""
        chunk = self._chunk
        if chunk is None or chunk.read is None or chunk.spoilt or not self._between:
            return None
        assert self._position is not None
        if self._position.order < chunk.read.order:
            return None
        now_ms = time.time_ns() // 1_000_000
        records = chunk.records(now_ms)
        read, self._chunk = chunk.read, None
        self._progress.advance(chunk.collection, read.after, len(records), done=read.done)
        self._moved.set()
        if read.done:
            rows = self._progress.readings[chunk.collection].rows
            _log.info("%s: collection %s was read: %d rows", self._alias, chunk.collection, rows)
        return Batch(records, self._progress.on(self._position), now_ms)

    # -- the reading's side -----------------------------------------------------------------------------------

    async def _read_all(self) -> None:
        """Read whatever is to be read, for ever."""
        delay, complaints = _FIRST_DELAY, dict[str, str]()
        while True:
            collection = await self._next()
            try:
                if self._passed is None:
                    self._passed = await self._look_back()
                await self._read_chunk(collection, self._passed)
                delay = _FIRST_DELAY
            except (SourceUnavailable, LogError) as error:
                self._chunk = None
                self._progress.postpone(collection)
                if complaints.get(collection) != str(error):
                    complaints[collection] = str(error)
                    _log.warning(
                        "%s: collection %s cannot be read now: %s; trying again",
                        self._alias,
                        collection,
                        error,
                    )
                await self._sleep(delay)
                delay = min(_LONGEST_DELAY, 2 * delay)

    async def _next(self) -> str:
        """The collection in turn, once there is one and the stream stands between two transactions."""
        while True:
            self._moved.clear()
            collection = self._progress.current
            if collection is not None and self._position is not None and self._between:
                return collection
            if collection is None:
                self._passed = None
            await self._moved.wait()

    async def _look_back(self) -> Passed:
        """The changes before the place where the stream stands; it goes on meanwhile."""
        self._passed = Passed()
        if self._newest is not None:
            self._passed.add(self._newest.records)
            self._passed.add_resets(self._newest.resets)
        try:
            before = await self._recent()
        except BaseException:
            self._passed = None
            raise
        self._passed.put(before.take())
        return self._passed

    async def _read_chunk(self, collection: str, passed: Passed) -> None:
        """Read the next chunk and stay until it went out, or is of no use."""
        while not self._between or self._position is None:
            self._moved.clear()
            await self._moved.wait()
        epoch = self._position.epoch
        chunk = self._chunk = Chunk(collection, passed.take())
        try:
            reading = self._progress.readings[collection]
            read = await self._reader.read(collection, reading.after, CHUNK_BYTES)
        except BaseException:
            passed.put(chunk.past)
            raise
        if read.epoch != epoch:
            passed.put(chunk.past)
            raise SourceUnavailable("the server that answers is another one than the stream comes from")
        passed.put(chunk.accept(read))
        if chunk.spoilt:
            self._chunk = None
            await self._sleep(_FIRST_DELAY)
            return
        self._changed.set()
        pause = _FIRST_NUDGE
        while self._chunk is chunk and not chunk.spoilt:
            self._moved.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._moved.wait()
            except TimeoutError:
                await self._reader.nudge()
                pause = _LATER_NUDGES
        self._chunk = None
