"""The one writer of a log on Kafka: a batch, its place in Kafka and its position in one Kafka transaction."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Final

from msgspec import structs

from cdc.errors import LogError
from cdc.event import Batch, Position, Record
from cdc.log.kafka.frame import Extent, Frame, Place, Positions, encode_frame, place_of
from cdc.log.kafka.link import Link
from cdc.log.kafka.loss import loss
from cdc.log.kafka.names import Names
from cdc.log.kafka.parcels import Parcels, parts, sort_out
from cdc.log.kafka.producer import Producer, TooLarge
from cdc.log.kafka.retention import Retention, Trim
from cdc.log.kafka.search import PositionTopic
from cdc.log.kafka.topics import Topics

ABORT_SECONDS: Final = 1.0
_STAGED_BYTES: Final = 256 << 10
_FRAME_BYTES: Final = 1 << 10
"""More than a frame takes without its order, as a rule."""
_log = logging.getLogger(__name__)


class KafkaWriter:
    """A `LogWriter`. An append that failed or was cancelled leaves it broken: close it, and open another.

    seconds: the deadline of an append. on_commit: told the Kafka offset of each position record that was committed.
    """

    def __init__(
        self,
        link: Link,
        names: Names,
        topics: Topics,
        collections: Sequence[str],
        retention: Retention,
        seconds: float,
        *,
        check: Callable[[], None],
        release: Callable[[], None],
        on_commit: Callable[[int], None],
        clock: Callable[[], float] = time.time,
        new_epoch: Callable[[], str],
    ) -> None:
        self._link = link
        self._names = names
        self._topics = topics
        self._collections = list(collections)
        self._seconds = seconds
        self._check = check
        self._release = release
        self._on_commit = on_commit
        self._clock = clock
        self._new_epoch = new_epoch
        # Its own deadline is the earlier one, since it knows more about what is wrong.
        self._producer = Producer(link, names.transactional_id, seconds * 0.8)
        self._positions = PositionTopic(link, names.position_topic)
        self._trim = Trim(link, self._positions, retention)
        self._partitions: dict[str, int] = {}
        self._last: Frame | None = None  # of what is committed
        self._position: Position | None = None
        self._staged: list[Frame] = []
        self._trouble: str | None = None
        self._closed = False

    async def open(self) -> None:
        """Take the log over from its last writer. Raises LogInUse, LogError; the writer is closed then."""
        try:
            async with asyncio.timeout(self._seconds):
                await self._open()
        except TimeoutError as error:
            await self.close()
            raise LogError(f"Kafka did not let the log be opened within {self._seconds:g} s") from error
        except BaseException:
            await self.close()
            raise

    async def _open(self) -> None:
        self._partitions = await self._topics.ensure(self._link, self._collections)
        await self._producer.begin()
        bounds = await self._positions.bounds()
        if bounds.last is None:
            await self._begin_epoch(None, 0)
            return
        self._last = bounds.last.frame
        self._position = Positions().load(self._last.place)
        if (trouble := await loss(self._link, self._names, self._last)) is not None:
            _log.warning("Kafka: %s; the log begins anew where it stands", trouble)
            await self._begin_epoch(self._position, self._last.end)

    @property
    def position(self) -> Position | None:
        """As `LogWriter.position`."""
        return self._position

    # -- append -----------------------------------------------------------------------------------------------

    async def append(self, batch: Batch) -> None:
        """As `LogWriter.append`."""
        await self._perform(self._append(batch))

    async def start_over(self, position: Position | None) -> None:
        """As `LogWriter.start_over`."""
        await self._perform(self._start_over(position))

    async def _perform(self, work: Coroutine[None, None, None]) -> None:
        """Whatever goes wrong, and be it a cancellation: what of it is in Kafka, the next writer finds out."""
        try:
            if self._trouble is not None:
                raise LogError(self._trouble)
            self._check()
            self._trouble = "an append failed or was cut short; the log has to be opened anew"
            async with asyncio.timeout(self._seconds):
                await work
            self._trouble = None
        except TooLarge as error:
            raise LogError(await self._too_large(error)) from error
        except TimeoutError as error:
            raise LogError(
                f"Kafka did not take a batch within {self._seconds:g} s; are all brokers up?"
            ) from error
        finally:
            work.close()
        assert self._last is not None
        self._trim.consider(self._last, self._clock())

    async def _append(self, batch: Batch) -> None:
        pieces = list(parts(batch.records))
        for records, size in pieces[:-1]:
            await self._store(records, size, None, batch.ts_ms, ())
        place = place_of(batch.position)
        resets = tuple((reset.collection, reset.reason, reset.tx) for reset in batch.resets)
        if pieces or resets:
            records, size = pieces[-1] if pieces else ([], 0)
            await self._store(records, size, place, batch.ts_ms, resets)
        elif place is None:
            return
        elif self._staged:
            self._staged[-1] = structs.replace(self._staged[-1], place=place, ts_ms=batch.ts_ms)
        else:
            self._staged.append(self._frame(place, batch.ts_ms))
        if place is not None:
            await self._commit(batch.position)

    async def _store(
        self,
        records: Sequence[Record],
        size: int,
        place: Place | None,
        ts_ms: int,
        resets: tuple[tuple[str, str, str], ...],
    ) -> None:
        """Give Kafka the records of one part, and make its frame. When there are many frames, it gets those before."""
        extents: list[Extent] = []
        order, stored = b"", 0
        if records:
            if new := {name for name, _, _ in records} - self._partitions.keys():
                self._partitions |= await self._topics.ensure(self._link, new)
            parcels = sort_out(records, self._partitions, self._topics.is_compact)
            extents, stored = await self._send(parcels)
            order = parcels.order
        count = len(records) or 1
        self._staged.append(self._frame(place, ts_ms, count, resets, tuple(extents), order, size, stored))
        if sum(len(frame.order) + _FRAME_BYTES for frame in self._staged) > _STAGED_BYTES:
            await self._send_frames(self._staged[:-1])
            del self._staged[:-1]

    async def _send(self, parcels: Parcels) -> tuple[list[Extent], int]:
        """The records to their partitions. Returns where they are, and how many bytes they took."""
        payloads = {
            (self._names.topic(name), number): items for (name, number), items in parcels.items.items()
        }
        await self._producer.join({*payloads, self._positions.partition})
        acknowledged = await self._producer.produce(payloads)
        known = self._tip.ends
        extents: list[Extent] = []
        for (name, number), (partition, items) in zip(parcels.items, payloads.items(), strict=True):
            first, _ = acknowledged[partition]
            before = known.get(name, [])[number : number + 1]
            if before and first <= before[0]:
                raise LogError(
                    f"Kafka: topic {partition[0]} goes on at offset {first}, though the log has {before[0]}: it was "
                    "deleted and made anew; the log begins anew, too"
                )
            added = parcels.tombstones.get((name, number), 0)
            last = first + len(items) - 1
            extents.append(Extent(name, number, first, last, len(items) - added, added))
        return extents, sum(size for _, size in acknowledged.values())

    @property
    def _tip(self) -> Frame:
        """The log's last frame, with what is staged."""
        if self._staged:
            return self._staged[-1]
        assert self._last is not None
        return self._last

    def _frame(
        self,
        place: Place | None,
        ts_ms: int,
        count: int = 0,
        resets: tuple[tuple[str, str, str], ...] = (),
        extents: tuple[Extent, ...] = (),
        order: bytes = b"",
        size: int = 0,
        stored: int = 0,
    ) -> Frame:
        assert self._last is not None
        tip = self._tip
        ends = dict(tip.ends)
        for extent in extents:
            offsets = list(ends.get(extent.collection, ()))
            offsets += [-1] * (extent.partition + 1 - len(offsets))
            offsets[extent.partition] = extent.last
            ends[extent.collection] = offsets
        return Frame(
            epoch=tip.epoch,
            base=tip.base,
            first=tip.end + 1,
            count=count,
            place=place,
            ts_ms=ts_ms,
            stored_ms=int(self._clock() * 1000),
            resets=resets,
            size=size,
            stored=stored,
            total=tip.total + stored,
            whole=self._last.total,
            ends=ends,
            extents=extents,
            order=order,
        )

    async def _send_frames(self, frames: Sequence[Frame]) -> int:
        """Returns the Kafka offset of the last one."""
        partition = self._positions.partition
        await self._producer.join({partition})
        payload = [(None, encode_frame(frame)) for frame in frames]
        acknowledged = await self._producer.produce({partition: payload})
        return acknowledged[partition][0] + len(payload) - 1

    async def _commit(self, position: Position | None) -> int:
        """Returns the Kafka offset of the last position record."""
        offset = await self._send_frames(self._staged)
        await self._producer.commit()
        self._last = self._staged[-1]
        self._staged.clear()
        self._position = position
        self._on_commit(offset)
        return offset

    async def _start_over(self, position: Position | None) -> None:
        if self._producer.in_transaction:
            await self._producer.abort(self._seconds)
        await self._begin_epoch(position, 0 if self._last is None else self._last.end)

    async def _begin_epoch(self, position: Position | None, newest: int) -> None:
        """What lies in the topics until now belongs to no epoch that can be read any more."""
        now = int(self._clock() * 1000)
        begin = Frame(
            self._new_epoch(), newest, newest + 1, 0, place_of(position), now, now, (), 0, 0, 0, 0, {}, ()
        )
        self._staged = [begin]
        offset = await self._commit(position)
        try:
            await self._trim.until(offset)
        except LogError as error:  # readers find out by the epoch, too
            _log.warning("what the log had before could not be deleted: %s", error)

    async def _too_large(self, error: TooLarge) -> str:
        limit = await self._topics.limit(self._link, error.topic)
        return (
            f"an event is too large for Kafka's topic {error.topic}: with its batch {error.size} bytes, where "
            f"max.message.bytes is {limit}; nothing is skipped. Allow more: kafka-configs.sh --bootstrap-server … "
            f"--alter --entity-type topics --entity-name {error.topic} --add-config max.message.bytes={2 * error.size} "
            "(and modules.realtime.kafka.messageBytes for new topics)"
        )

    async def close(self) -> None:
        """As `LogWriter.close`; waits for Kafka for a second at the most."""
        if self._closed:
            return
        self._closed = True
        self._trouble = "this log writer is closed"
        try:
            await self._trim.close()
            if self._producer.in_transaction:
                with suppress(LogError, TimeoutError):
                    async with asyncio.timeout(ABORT_SECONDS):
                        await self._producer.abort(ABORT_SECONDS)
        finally:
            self._release()
            await self._link.close()
