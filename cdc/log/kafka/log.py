"""The event log of one source on Kafka."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Set
from typing import Final
from uuid import uuid4

from cdc import config
from cdc.config import Collection, KafkaConfig
from cdc.errors import LogInUse
from cdc.event import Chunk
from cdc.log import LogState
from cdc.log.kafka.frame import Positions
from cdc.log.kafka.inventory import TopicState, inventory, tailers
from cdc.log.kafka.link import Link
from cdc.log.kafka.names import Names
from cdc.log.kafka.reader import Ahead, KafkaReader
from cdc.log.kafka.retention import Retention
from cdc.log.kafka.search import Bounds, PositionTopic
from cdc.log.kafka.seat import Seat
from cdc.log.kafka.topics import Topics
from cdc.log.kafka.writer import KafkaWriter
from cdc.log.recent import RecentChunks

MEMORY_BYTES: Final = 64 << 20
"""How much of what was read last is kept for replays."""

_MOST_AHEAD: Final = 16
_MOST_LANES: Final = 4
_JOIN_SECONDS: Final = 5.0
_VISIBLE_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.002


_USUAL: Final = config.Retention()


def _new_epoch() -> str:
    return uuid4().hex[:16]


class KafkaLog:
    """An `EventLog`: topics, group and transactional id are those of this project and alias.

    keep_seconds, keep_bytes: of the position records (None: no bound); the topics of collections are made with
    `retention`. clock: Unix seconds.
    """

    def __init__(
        self,
        kafka: KafkaConfig,
        project: str,
        alias: str,
        collections: Mapping[str, Collection] | None = None,
        *,
        retention: config.Retention = _USUAL,
        keep_seconds: float | None = None,
        keep_bytes: int | None = None,
        memory_bytes: int = MEMORY_BYTES,
        clock: Callable[[], float] = time.time,
        new_epoch: Callable[[], str] = _new_epoch,
    ) -> None:
        self._kafka = kafka
        self._names = Names(project, alias)
        self._collections = dict(collections or {})
        self._topics = Topics(self._names, kafka, retention, self._collections)
        self._retention = Retention(keep_seconds, keep_bytes)
        self._clock = clock
        self._new_epoch = new_epoch
        self._link: Link | None = None
        self._seat: Seat | None = None
        self._writer: KafkaWriter | None = None
        self._readers: set[KafkaReader] = set()
        self._memory = RecentChunks(memory_bytes)
        self._recorder: KafkaReader | None = None
        self._ahead: dict[int, Ahead] = {}  # of readers that were closed, by their places
        self._lanes: list[str] = []  # of theirs, with their connections
        self._committed = -1

    @property
    def names(self) -> Names:
        """What its topics are called."""
        return self._names

    async def writer(self) -> KafkaWriter:
        """As `EventLog.writer`. A log that is not the leader stays in the queue for it until it is closed."""
        if self._seat is None:
            self._seat = self._new_seat()
        await self._seat.claim()
        if self._writer is not None:
            raise LogInUse(f"another task writes the log {self._names.transactional_id} already")
        self._writer = KafkaWriter(
            Link(self._kafka),
            self._names,
            self._topics,
            tuple(self._collections),
            self._retention,
            self._kafka.timeout,
            check=self._seat.check,
            release=self._release_writer,
            on_commit=self._see,
            clock=self._clock,
            new_epoch=self._new_epoch,
        )
        await self._writer.open()
        return self._writer

    def _new_seat(self) -> Seat:
        takeover = self._kafka.takeover
        # Who joins is answered when all others have joined anew, or were silent for too long.
        return Seat(Link(self._kafka, takeover + _JOIN_SECONDS), self._names.group, takeover)

    def _release_writer(self) -> None:
        self._writer = None

    def _see(self, offset: int) -> None:
        self._committed = offset

    async def reader(
        self, after: int | None = None, collections: Set[str] | None = None, *, follows: bool = False
    ) -> KafkaReader:
        """As `EventLog.reader`."""
        reader = KafkaReader(
            self._shared_link(),
            self._names,
            collections,
            self._lanes.pop() if self._lanes else f"reader {uuid4().hex[:8]}",
            self._memory,
            self._bounds,
            self._remember,
            self._release_reader,
        )
        self._readers.add(reader)
        if after is not None and not follows and self._memory.covers(self._memory.epoch, after, collections):
            reader.start_in_memory(after)
            return reader
        if after is not None and not follows and after in self._ahead:
            reader.start_ahead(self._ahead.pop(after))
            return reader
        try:
            await reader.start(after)
        except BaseException:
            await reader.close()
            raise
        if follows and reader.epoch:
            self._recorder = reader
            self._memory.begin(reader.epoch, reader.place, collections)
        return reader

    def _remember(self, reader: KafkaReader, chunks: list[Chunk]) -> None:
        if reader is self._recorder:
            self._memory.add(chunks)

    def _release_reader(self, reader: KafkaReader) -> None:
        self._readers.discard(reader)
        if reader is self._recorder:
            self._recorder = None
        if (ahead := reader.ahead) is not None:
            self._ahead = {ahead.place: ahead, **self._ahead}
            for place in list(self._ahead)[_MOST_AHEAD:]:
                del self._ahead[place]
        if reader.is_quiet and len(self._lanes) < _MOST_LANES:
            self._lanes.append(reader.lane)
        elif self._link is not None:
            self._link.hang_up(reader.lane)

    async def state(self) -> LogState | None:
        """As `EventLog.state`."""
        bounds = await self._bounds()
        if bounds is None or bounds.last is None:
            return None
        last = bounds.last.frame
        position = Positions().load(last.place)
        return LogState(last.epoch, bounds.oldest, bounds.newest, position, last.ts_ms, bounds.size)

    async def topics(self) -> tuple[TopicState, ...]:
        """How its topics stand, the position topic first. Raises LogError."""
        names = [self._names.position_topic, *map(self._names.topic, self._collections)]
        return await inventory(self._shared_link(), names)

    async def tailers(self) -> tuple[str, ...]:
        """Where the tailers are that write it or stand by. Raises LogError."""
        return await tailers(self._shared_link(), self._names.group)

    async def _bounds(self) -> Bounds | None:
        """What there is; None before the log was written. What was committed in here may be visible only soon."""
        topic = PositionTopic(self._shared_link(), self._names.position_topic)
        if not await topic.exists():
            return None
        deadline = time.monotonic() + _VISIBLE_SECONDS
        while True:
            bounds = await topic.bounds()
            if bounds.stable > self._committed or time.monotonic() > deadline:
                return bounds
            await asyncio.sleep(_LOOK_SECONDS)

    def _shared_link(self) -> Link:
        if self._link is None:
            self._link = Link(self._kafka)
        return self._link

    async def close(self) -> None:
        """As `EventLog.close`: a standby takes over at once."""
        for reader in list(self._readers):
            await reader.close()
        if self._writer is not None:
            await self._writer.close()
        if self._seat is not None:
            seat, self._seat = self._seat, None
            await seat.close()
        if self._link is not None:
            link, self._link = self._link, None
            await link.close()
