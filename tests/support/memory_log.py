"""An event log in memory, for one event loop, held to the embedded log's behaviour by the same contract suite."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Set
from dataclasses import dataclass, replace

from cdc.errors import CursorExpired, EpochChanged, LogError, LogInUse
from cdc.event import Batch, Chunk, Position
from cdc.log import LogState


@dataclass(frozen=True, slots=True)
class _Row:
    first: int
    stored_at: float
    size: int
    chunk: Chunk


class MemoryLog:
    """An `EventLog`. keep_seconds, keep_bytes and clock as in `EmbeddedLog`; trimmed at every append."""

    def __init__(
        self,
        *,
        keep_seconds: float | None = None,
        keep_bytes: int | None = None,
        clock: Callable[[], float] = time.time,
        new_epoch: Callable[[], str] | None = None,
    ) -> None:
        ids = itertools.count(1)
        self._keep_seconds = keep_seconds
        self._keep_bytes = keep_bytes
        self._clock = clock
        self._new_epoch = new_epoch or (lambda: f"memory-{next(ids)}")
        self._rows: list[_Row] = []
        self._state: LogState | None = None
        self._writer: MemoryWriter | None = None
        self._changed = asyncio.Event()
        self._failure: LogError | None = None

    def fail(self, error: LogError | None) -> None:
        """Let every append raise this, as a full disk does; None: let them work again."""
        self._failure = error

    async def writer(self) -> MemoryWriter:
        if self._writer is not None:
            raise LogInUse("another task writes this log already")
        if self._state is None:
            self._state = LogState(self._new_epoch(), 0, 0, None, int(self._clock() * 1000), 0)
        self._writer = MemoryWriter(self)
        return self._writer

    async def reader(
        self, after: int | None = None, collections: Set[str] | None = None, *, follows: bool = False
    ) -> MemoryReader:
        state = self._state
        oldest, newest = (state.oldest, state.newest) if state is not None else (0, 0)
        after = newest if after is None else after
        if not oldest <= after <= newest:
            raise CursorExpired(f"offset {after} is not between {oldest} and {newest}")
        return MemoryReader(self, after, None if collections is None else frozenset(collections))

    async def state(self) -> LogState | None:
        return self._state

    async def close(self) -> None:
        if self._writer is not None:
            await self._writer.close()

    def _publish(self, state: LogState) -> None:
        self._state = state
        self._changed.set()
        self._changed = asyncio.Event()

    def _trim(self) -> None:
        assert self._state is not None
        left, cut, size = self._state.size, 0, self._state.size
        for index, row in enumerate(self._rows):
            too_big = self._keep_bytes is not None and left > self._keep_bytes
            too_old = self._keep_seconds is not None and row.stored_at < self._clock() - self._keep_seconds
            if not (too_big or too_old):
                break
            left -= row.size
            if row.chunk.position is not None:
                cut, size = index + 1, left
        if cut:
            self._state = replace(self._state, oldest=self._rows[cut - 1].chunk.end, size=size)
            del self._rows[:cut]


class MemoryWriter:
    """A `LogWriter`."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._staged: list[_Row] = []
        self._closed = False

    @property
    def position(self) -> Position | None:
        assert self._log._state is not None
        return self._log._state.position

    async def append(self, batch: Batch) -> None:
        state = self._usable()
        if self._log._failure is not None:
            self._staged.clear()
            raise self._log._failure
        self._stage(batch, state)
        if batch.position is None:
            return
        staged, self._staged = self._staged, []
        self._log._rows += staged
        newest = staged[-1].chunk.end if staged else state.newest
        size = state.size + sum(row.size for row in staged)
        state = LogState(state.epoch, state.oldest, newest, batch.position, batch.ts_ms, size)
        self._log._publish(state)
        self._log._trim()

    def _stage(self, batch: Batch, state: LogState) -> None:
        newest = self._staged[-1].chunk.end if self._staged else state.newest
        if batch.records or batch.resets:
            entries = [(offset, *record) for offset, record in enumerate(batch.records, newest + 1)]
            end = newest + max(len(entries), 1)
            size = sum(len(key) + len(value or b"") for _, key, value in batch.records)
            chunk = Chunk(entries, end, batch.position, batch.ts_ms, batch.resets)
            self._staged.append(_Row(newest + 1, self._log._clock(), size, chunk))
        elif self._staged:
            last = self._staged[-1]
            chunk = replace(last.chunk, position=batch.position, ts_ms=batch.ts_ms)
            self._staged[-1] = replace(last, chunk=chunk)

    async def start_over(self, position: Position | None) -> None:
        state = self._usable()
        self._staged.clear()
        self._log._rows.clear()
        now_ms = int(self._log._clock() * 1000)
        epoch = self._log._new_epoch()
        self._log._publish(LogState(epoch, state.newest, state.newest, position, now_ms, 0))

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._log._writer = None

    def _usable(self) -> LogState:
        if self._closed:
            raise LogError("this log writer is closed")
        assert self._log._state is not None
        return self._log._state


class MemoryReader:
    """A `LogReader`."""

    def __init__(self, log: MemoryLog, after: int, wanted: frozenset[str] | None) -> None:
        self._log = log
        self._after = after
        self._wanted = wanted
        self._position: Position | None = None
        self._epoch = log._state.epoch if log._state is not None else ""
        self._closed = False

    @property
    def epoch(self) -> str:
        return self._epoch

    async def read(self) -> list[Chunk]:
        while True:
            changed = self._log._changed
            if chunks := self._read():
                return chunks
            await changed.wait()

    def _read(self) -> list[Chunk]:
        if self._closed:
            raise LogError("this log reader is closed")
        state = self._log._state
        if state is None:
            return []
        self._epoch = self._epoch or state.epoch
        if state.epoch != self._epoch:
            raise EpochChanged("the log was started anew")
        if self._after < state.oldest:
            raise CursorExpired(f"offset {self._after} is before {state.oldest}")
        chunks = [
            chunk for row in self._log._rows if row.chunk.end > self._after and (chunk := self._filter(row))
        ]
        if chunks and chunks[-1].position is not None:
            self._position = chunks[-1].position
        self._after = state.newest
        if state.position is not None and state.position != self._position:
            self._position = state.position
            chunks.append(Chunk([], state.newest, state.position, state.ts_ms))
        return chunks

    def _filter(self, row: _Row) -> Chunk | None:
        wanted, chunk = self._wanted, row.chunk
        entries = [
            entry
            for entry in chunk.entries
            if entry[0] > self._after and (wanted is None or entry[1] in wanted)
        ]
        resets = tuple(reset for reset in chunk.resets if wanted is None or reset.collection in wanted)
        return replace(chunk, entries=entries, resets=resets) if entries or resets else None

    async def close(self) -> None:
        self._closed = True
