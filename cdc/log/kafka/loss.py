"""What Kafka has lost of a log: topics that were deleted, or whose newest records are gone."""

from __future__ import annotations

from typing import Final

from cdc.log.kafka.fetch import Fetched, ends, fetch
from cdc.log.kafka.frame import Frame
from cdc.log.kafka.link import Link, Partition, persist
from cdc.log.kafka.names import Names
from cdc.log.kafka.search import PATIENCE

_FETCH_BYTES: Final = 1 << 20
_FETCHES: Final = 16


async def loss(link: Link, names: Names, last: Frame) -> str | None:
    """What is lost, in words, of a log whose last position record is `last`; None if nothing is. Raises LogError."""
    expected = {
        (names.topic(name), number): offset
        for name, offsets in last.ends.items()
        for number, offset in enumerate(offsets)
        if offset >= 0
    }
    there = await link.describe({topic for topic, _ in expected})
    for topic, number in expected:
        if number >= there.get(topic, 0):
            return f"topic {topic} lacks partition {number}, it was deleted"
    found = await persist(lambda: ends(link, set(expected)), PATIENCE)
    for partition, offset in expected.items():
        if found[partition] <= offset:
            return f"topic {partition[0]} ends before what the log had in it, it was deleted and made anew"
        if await _has_more(link, partition, offset + 1, found[partition]):
            return f"topic {partition[0]} has more than the position topic, which lost its newest records"
    return None


async def _has_more(link: Link, partition: Partition, offset: int, end: int) -> bool:
    """Whether transactions from this offset on were committed of which the log knows nothing: after brokers died that
    had not written everything. Behind markers; what was undone may be there, too, and much of it, but not before."""
    at = offset

    async def attempt() -> Fetched:
        return (await fetch(link, {partition: at}, wait_ms=0, most=_FETCH_BYTES))[partition]

    for _ in range(_FETCHES):
        if at >= end:
            break
        fetched: Fetched = await persist(attempt, PATIENCE)
        if any(batch.is_transactional for batch in fetched.batches):
            return True
        if fetched.following <= at:
            break
        at = fetched.following
    return False
