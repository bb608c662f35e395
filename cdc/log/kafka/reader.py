"""Reads a log on Kafka: the position records in their order, and beside them the records that they speak of."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Set
from dataclasses import dataclass
from typing import Final

from cdc.errors import CursorExpired, EpochChanged, LogError
from cdc.event import Chunk, Entry, Position
from cdc.log.kafka.fetch import Fetched, fetch
from cdc.log.kafka.frame import Extent, Frame, Positions, resets_of
from cdc.log.kafka.link import Link, Partition, persist
from cdc.log.kafka.names import Names
from cdc.log.kafka.order import decode_order, places_of
from cdc.log.kafka.search import PATIENCE, Bounds, Found, PositionTopic
from cdc.log.kafka.tap import Tap, weave
from cdc.log.recent import RecentChunks

_READ_BYTES: Final = 1 << 20
_FETCH_BYTES: Final = 256 << 10
_WAIT_MS: Final = 500
_DATA_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Ahead:
    """What follows the offset `place` in the log begins at, or in, the position record at this Kafka offset."""

    epoch: str
    place: int
    offset: int


class KafkaReader:
    """A `LogReader`. A read that is cancelled has read nothing: the next one returns the same.

    lane: see `Link.call`; memory: chunks that need not be read from Kafka; bounds: tells what there is, None before the
    log was written; record: told what was read, by a reader of everything.
    """

    def __init__(
        self,
        link: Link,
        names: Names,
        wanted: Set[str] | None,
        lane: str,
        memory: RecentChunks,
        bounds: Callable[[], Awaitable[Bounds | None]],
        record: Callable[[KafkaReader, list[Chunk]], None],
        release: Callable[[KafkaReader], None],
    ) -> None:
        self._link = link
        self._names = names
        self._wanted = None if wanted is None else frozenset(wanted)
        self.lane = lane
        self._memory = memory
        self._bounds = bounds
        self._record = record
        self._release = release
        self._topic = PositionTopic(link, names.position_topic)
        self._positions = Positions()
        self._told: Position | None = None  # the position that was returned last
        self._standing: Frame | None = None  # where the reader was opened, if that is the log's end
        self._epoch = ""
        self._after = 0
        self._end: int | None = 0  # of the log, as far as it was read; None: before the next position record
        self._next: int | None = None  # the Kafka offset of the next one; None: yet to be found
        self._pending: deque[Found] = deque()
        self._taps: dict[tuple[str, int], Tap] = {}
        self._asking = False  # a broker, which may still answer after a cancellation
        self._closed = False

    @property
    def epoch(self) -> str:
        """As `LogReader.epoch`."""
        return self._epoch

    @property
    def place(self) -> int:
        """The offset up to which it has read."""
        return self._after

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way on its lane."""
        return not self._asking

    @property
    def ahead(self) -> Ahead | None:
        """How another reader may go on from `place` without searching; None where nothing is known to follow."""
        return Ahead(self._epoch, self._after, self._pending[0].offset) if self._pending else None

    def start_in_memory(self, after: int) -> None:
        """Begin with what is in memory."""
        self._epoch, self._after = self._memory.epoch, after

    def start_ahead(self, ahead: Ahead) -> None:
        """Begin where another reader stopped."""
        self._epoch, self._after, self._next = ahead.epoch, ahead.place, ahead.offset
        self._end = None

    async def start(self, after: int | None) -> None:
        """Find the place in Kafka. Raises CursorExpired, LogError."""
        bounds = await self._bounds()
        if bounds is None or bounds.last is None:
            if after not in (None, 0):
                raise CursorExpired(
                    f"offset {after} is not in the log, which is empty; start over from the database"
                )
            return
        await self._seek(bounds.newest if after is None else after, bounds)

    async def _seek(self, after: int, bounds: Bounds) -> None:
        assert bounds.last is not None
        last = bounds.last.frame
        if self._epoch and last.epoch != self._epoch:
            raise EpochChanged("the log was started anew; start over from the database")
        if not bounds.oldest <= after <= bounds.newest:
            raise CursorExpired(
                f"offset {after} is not in the log, which keeps {bounds.oldest} to {bounds.newest}; start over from "
                "the database"
            )
        self._epoch, self._after = last.epoch, after
        if after == bounds.newest:
            self._standing, self._end, self._next = last, after, bounds.last.offset + 1
            return
        found = await self._topic.find(lambda frame: frame.epoch == last.epoch and frame.end > after, bounds)
        if found is None or found.frame.first > after + 1:
            raise CursorExpired(f"what follows offset {after} was just trimmed; start over from the database")
        self._end, self._next = found.frame.first - 1, found.offset

    async def read(self) -> list[Chunk]:
        """As `LogReader.read`."""
        while True:
            if self._closed:
                raise LogError("this log reader is closed")
            if self._next is None:
                if self._epoch and self._memory.covers(self._epoch, self._after, self._wanted):
                    return self._remembered()
                await self._find()
            if self._standing is not None:
                standing, self._standing = self._standing, None
                if chunks := self._chunks([standing]):
                    return chunks
            if not self._pending:
                await self._poll()
            if frames := self._due():
                await self._fill(frames)
                chunks = self._chunks(frames)
                for frame in frames:
                    self._pending.popleft()
                    self._after = max(self._after, frame.end)
                self._record(self, chunks)
                if chunks:
                    return chunks

    def _remembered(self) -> list[Chunk]:
        chunks = self._memory.read(self._after, self._wanted, _READ_BYTES)
        self._after = chunks[-1].end
        return chunks

    async def _find(self) -> None:
        """Where to go on in Kafka, once there is a log."""
        while True:
            bounds = await self._bounds()
            if bounds is not None and bounds.last is not None:
                return await self._seek(self._after if self._epoch else bounds.oldest, bounds)
            await asyncio.sleep(_POLL_SECONDS)

    async def _poll(self) -> None:
        """Fetch more position records, or wait for half a second."""
        assert self._next is not None
        fetched = (await self._fetch({self._topic.partition: self._next}))[self._topic.partition]
        if fetched.gone:
            bounds = await self._bounds()
            if bounds is not None and bounds.last is not None and bounds.last.frame.epoch != self._epoch:
                raise EpochChanged("the log was started anew; start over from the database")
            raise CursorExpired("the log does not keep what follows any more; start over from the database")
        self._pending.extend(self._topic.frames(fetched, self._next))
        self._next = fetched.following

    def _due(self) -> list[Frame]:
        """The next frames, as many as one read is for. Raises EpochChanged, CursorExpired."""
        frames: list[Frame] = []
        size, end = 0, self._end
        for frame in (found.frame for found in self._pending):
            if frame.epoch != self._epoch:
                if not frames:
                    raise EpochChanged("the log was started anew; start over from the database")
                break
            if end is not None and frame.first != end + 1:
                if not frames:
                    raise CursorExpired("position records are missing in Kafka; start over from the database")
                break
            frames.append(frame)
            end = frame.end
            size += frame.size
            if size >= _READ_BYTES:
                break
        return frames

    # -- the records ------------------------------------------------------------------------------------------

    def _wants(self, extent: Extent) -> bool:
        return self._wanted is None or extent.collection in self._wanted

    async def _fill(self, frames: list[Frame]) -> None:
        """Fetch until everything that these frames speak of, and is wanted, is here."""
        needed: dict[tuple[str, int], int] = {}
        for frame in frames:
            if frame.end <= self._after:
                continue
            for extent in frame.extents:
                if self._wants(extent):
                    place = (extent.collection, extent.partition)
                    if place not in needed:
                        self._tap(place).seek(extent.first)
                    needed[place] = extent.last
        try:
            async with asyncio.timeout(_DATA_SECONDS):
                while missing := {
                    (self._names.topic(place[0]), place[1]): self._taps[place]
                    for place, last in needed.items()
                    if not self._taps[place].holds(last)
                }:
                    found = await self._fetch(
                        {partition: tap.following for partition, tap in missing.items()}
                    )
                    for partition, fetched in found.items():
                        missing[partition].feed(fetched)
        except TimeoutError as error:
            raise LogError(
                f"Kafka does not give the records of {', '.join(name for name, _ in needed)}"
            ) from error

    def _tap(self, place: tuple[str, int]) -> Tap:
        tap = self._taps.get(place)
        if tap is None:
            tap = self._taps[place] = Tap(self._names.topic(place[0]), place[1])
        return tap

    async def _fetch(self, offsets: dict[Partition, int]) -> dict[Partition, Fetched]:
        """From all leaders at once. Raises LogError."""

        async def attempt() -> dict[Partition, Fetched]:
            by_leader: dict[int, dict[Partition, int]] = {}
            for partition, offset in offsets.items():
                by_leader.setdefault(await self._link.leader(*partition), {})[partition] = offset
            asked = [
                fetch(self._link, each, wait_ms=_WAIT_MS, most=_FETCH_BYTES, lane=self.lane)
                for each in by_leader.values()
            ]
            found: dict[Partition, Fetched] = {}
            for answer in [await asked[0]] if len(asked) == 1 else await asyncio.gather(*asked):
                found |= answer
            return found

        self._asking = True
        answer: dict[Partition, Fetched] = await persist(attempt, PATIENCE)
        self._asking = False
        return answer

    # -- chunks -----------------------------------------------------------------------------------------------

    def _chunks(self, frames: list[Frame]) -> list[Chunk]:
        chunks: list[Chunk] = []
        passed: Chunk | None = None
        for frame in frames:
            self._end = frame.end
            position = self._positions.load(frame.place)
            entries = self._entries(frame) if frame.end > self._after else []
            resets = resets_of(frame) if frame.end > self._after else ()
            if self._wanted is not None:
                resets = tuple(reset for reset in resets if reset.collection in self._wanted)
            if entries or resets:
                chunks.append(Chunk(entries, frame.end, position, frame.ts_ms, resets))
                passed = None
            elif position is not None and position != self._told:
                passed = Chunk([], frame.end, position, frame.ts_ms)
            if position is not None:
                self._told = position
        if passed is not None:
            chunks.append(passed)
        return chunks

    def _entries(self, frame: Frame) -> list[Entry]:
        order = decode_order(frame.order, len(frame.extents))
        rows = [
            (
                extent.collection,
                places_of(order, index) if order else range(extent.records),
                self._taps[extent.collection, extent.partition].take(extent),
            )
            for index, extent in enumerate(frame.extents)
            if self._wants(extent)
        ]
        entries = weave(frame.first, rows)
        return (
            entries if frame.first > self._after else [entry for entry in entries if entry[0] > self._after]
        )

    async def close(self) -> None:
        """As `LogReader.close`."""
        if not self._closed:
            self._closed = True
            self._release(self)
