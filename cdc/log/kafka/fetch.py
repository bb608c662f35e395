"""Reading partitions: what they hold from an offset on, and where they begin and end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.record.control_record import ABORT_MARKER, ControlRecord
from aiokafka.record.memory_records import MemoryRecords

from cdc.errors import LogError
from cdc.log.kafka.failure import RETRIED, Code, Lost, refused
from cdc.log.kafka.link import Link, Node, Partition, Passing

COMMITTED: Final = 1
UNCOMMITTED: Final = 0
_LATEST: Final = -1
_EARLIEST: Final = -2


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a partition holds from an offset on, as far as it is committed.

    batches: as aiokafka has them, with `base_offset`, `next_offset` and, by iteration, once, the records.
    following: the offset to go on from; gone: what was asked for lies outside of what there is.
    """

    batches: tuple[Any, ...]
    following: int
    gone: bool = False


async def fetch(
    link: Link, offsets: Mapping[Partition, int], *, wait_ms: int, most: int, lane: str = ""
) -> dict[Partition, Fetched]:
    """Read from these offsets on, all led by one broker; waits up to `wait_ms` until there is something. most: bytes of
    each partition, if not a single batch is larger. Raises Passing, LogError."""
    topics: dict[str, list[tuple[int, int, int]]] = {}
    for (topic, number), offset in offsets.items():
        topics.setdefault(topic, []).append((number, offset, most))
    node = await _leader(link, offsets)
    request = FetchRequest(wait_ms, 1, max(1, len(offsets)) * most, COMMITTED, list(topics.items()))
    try:
        answer = await link.call(node, request, lane)
    except Lost:
        for partition in offsets:
            link.forget_leader(*partition)
        raise
    found: dict[Partition, Fetched] = {}
    for topic, partitions in answer.topics:
        for number, code, _, _, _, aborted, *_, data in partitions:
            if code in RETRIED:
                link.forget_leader(topic, number)
                raise Passing(f"topic {topic}", code)
            offset = offsets[topic, number]
            if code == Code.OFFSET_OUT_OF_RANGE:
                found[topic, number] = Fetched((), offset, gone=True)
            elif code:
                raise refused(f"topic {topic}", code)
            else:
                found[topic, number] = _committed(data or b"", aborted or (), offset, topic)
    return found


async def _leader(link: Link, partitions: Mapping[Partition, int]) -> Node:
    return await link.leader(*next(iter(partitions)))


def _committed(data: bytes, aborted: Iterable[tuple[int, int]], offset: int, topic: str) -> Fetched:
    """The batches of records that were committed. aborted: producers, and where their undone transactions begin."""
    undone = sorted(aborted, key=lambda each: each[1], reverse=True)
    undoing: set[int] = set()
    found: list[Any] = []
    records = MemoryRecords(data)
    while records.has_next():
        batch = records.next_batch()
        if not batch.validate_crc():
            raise LogError(
                f"Kafka: topic {topic}: the batch at {batch.base_offset} is damaged; restore the broker's disk"
            )
        offset = batch.next_offset
        while undone and undone[-1][1] <= batch.base_offset:
            undoing.add(undone.pop()[0])
        if batch.is_control_batch:
            if ControlRecord.parse(next(iter(batch)).key) == ABORT_MARKER:
                undoing.discard(batch.producer_id)
        elif not (batch.is_transactional and batch.producer_id in undoing):
            found.append(batch)
    return Fetched(tuple(found), offset)


async def ends(link: Link, partitions: set[Partition], isolation: int = UNCOMMITTED) -> dict[Partition, int]:
    """The offset after the last record of each. Raises Passing, LogError."""
    return await _offsets(link, partitions, _LATEST, isolation)


async def starts(link: Link, partitions: set[Partition]) -> dict[Partition, int]:
    """The offset of the first record of each, or where it would be. Raises Passing, LogError."""
    return await _offsets(link, partitions, _EARLIEST, UNCOMMITTED)


async def _offsets(
    link: Link, partitions: set[Partition], which: int, isolation: int
) -> dict[Partition, int]:
    by_leader: dict[Node, dict[str, list[tuple[int, int]]]] = {}
    for topic, number in sorted(partitions):
        node = await link.leader(topic, number)
        by_leader.setdefault(node, {}).setdefault(topic, []).append((number, which))
    found: dict[Partition, int] = {}
    for node, topics in by_leader.items():
        try:
            answer = await link.call(node, OffsetRequest(-1, isolation, list(topics.items())))
        except Lost:
            for topic, number in partitions:
                link.forget_leader(topic, number)
            raise
        for topic, parts in answer.topics:
            for number, code, *_, offset in parts:
                if code in RETRIED:
                    link.forget_leader(topic, number)
                    raise Passing(f"topic {topic}", code)
                if code:
                    raise refused(f"topic {topic}", code)
                found[topic, number] = offset
    return found
