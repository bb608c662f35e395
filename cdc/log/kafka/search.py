"""Finding position records: the first, the last, and the first that something is true of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from cdc.log.kafka.failure import Code, refused
from cdc.log.kafka.fetch import COMMITTED, Fetched, ends, fetch, starts
from cdc.log.kafka.frame import Frame, decode_frame
from cdc.log.kafka.link import Link, Partition, persist

_PROBE_BYTES: Final = 64 << 10
PATIENCE: Final = 5.0
"""Seconds that a reader waits for what will pass, such as the choice of a leader."""


@dataclass(frozen=True, slots=True)
class Found:
    """A frame and its Kafka offset in the position topic."""

    offset: int
    frame: Frame


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which Kafka offsets of the position topic can be read: start <= offset < stable, and the first and last frame
    there; None where there is none."""

    start: int
    stable: int
    first: Found | None
    last: Found | None

    @property
    def oldest(self) -> int:
        """The log's offset to read after to get all that is kept."""
        if self.first is None or self.last is None:
            return 0
        same = self.first.frame.epoch == self.last.frame.epoch
        return max(self.last.frame.base, self.first.frame.first - 1) if same else self.last.frame.base

    @property
    def newest(self) -> int:
        """The log's last offset."""
        return 0 if self.last is None else self.last.frame.end

    @property
    def size(self) -> int:
        """Bytes kept, from the oldest whole batch on."""
        if self.first is None or self.last is None:
            return 0
        first, last = self.first.frame, self.last.frame
        return last.total - (first.total - first.stored if first.epoch == last.epoch else 0)


class PositionTopic:
    """The one partition of a source's position records."""

    def __init__(self, link: Link, topic: str) -> None:
        self._link = link
        self.partition: Partition = (topic, 0)

    async def exists(self) -> bool:
        """Raises LogError."""
        return self.partition[0] in await self._link.describe([self.partition[0]])

    async def bounds(self) -> Bounds:
        """Raises LogError, also where there is no such topic."""
        start = await self.start()
        stable = await self.stable()
        last = await self._last(start, stable)
        first = None if last is None else await self._from(start, stable)
        return Bounds(start, stable, first, last)

    async def start(self) -> int:
        """The first Kafka offset that is kept. Raises LogError."""
        found = await persist(lambda: starts(self._link, {self.partition}), PATIENCE)
        start: int = found[self.partition]
        return start

    async def stable(self) -> int:
        """The Kafka offset below which all is committed. Raises LogError."""
        found = await persist(lambda: ends(self._link, {self.partition}, COMMITTED), PATIENCE)
        stable: int = found[self.partition]
        return stable

    async def find(self, holds: Callable[[Frame], bool], bounds: Bounds) -> Found | None:
        """The first frame for which `holds` is true, as it must be for all that follow it."""
        low, high = bounds.start, bounds.stable
        found: Found | None = None
        while low < high:
            middle = (low + high) // 2
            probed = await self._from(middle, high)
            if probed is None:
                high = middle
            elif holds(probed.frame):
                found, high = probed, middle
            else:
                low = probed.offset + 1
        return found

    async def _last(self, start: int, stable: int) -> Found | None:
        """Behind it there may be a marker of its transaction, and transactions that were undone."""
        step, high = 2, stable
        while high > start:
            low = at = max(start, high - step)
            found: Found | None = None
            while at < high:
                fetched = await self._probe(at, high)
                for each in self.frames(fetched, low):
                    if each.offset < stable:  # there may be more by now
                        found = each
                at = fetched.following
            if found is not None:
                return found
            step, high = step * 8, low
        return None

    async def _from(self, offset: int, end: int) -> Found | None:
        """The first frame at or after this Kafka offset and before `end`."""
        at = offset
        while at < end:
            fetched = await self._probe(at, end)
            for found in self.frames(fetched, offset):
                return found if found.offset < end else None
            at = fetched.following
        return None

    async def _probe(self, offset: int, end: int) -> Fetched:
        """What is there, with a `following` that is further on. Below `end` all is committed: there is no waiting."""

        async def attempt() -> Fetched:
            answer = await fetch(self._link, {self.partition: offset}, wait_ms=0, most=_PROBE_BYTES)
            return answer[self.partition]

        fetched: Fetched = await persist(attempt, PATIENCE)
        if fetched.gone:  # trimmed just now, or the topic was made anew
            start = await self.start()
            if start <= offset:
                raise refused(f"topic {self.partition[0]}", Code.OFFSET_OUT_OF_RANGE)
            return Fetched((), min(start, end))
        return fetched if fetched.following > offset else Fetched(fetched.batches, end)

    def frames(self, fetched: Fetched, offset: int) -> Iterator[Found]:
        """The frames in there, from this Kafka offset on. Raises LogError."""
        for batch in fetched.batches:
            for record in batch:
                if record.offset >= offset:
                    yield Found(record.offset, decode_frame(record.value))
