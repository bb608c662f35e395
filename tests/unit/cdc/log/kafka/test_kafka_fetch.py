"""What a broker gives, as far as it was committed."""

from __future__ import annotations

from typing import Any

import pytest

from cdc.errors import LogError
from cdc.log.kafka.failure import Code, Lost
from cdc.log.kafka.fetch import Fetched, fetch
from cdc.log.kafka.link import Passing
from support.record_batches import batch, marker

TOPIC = "p.a.todos"
ITEM = (b"k", b"v")


class Answer:
    """Of the one broker there is."""

    def __init__(self, code: int = 0, aborted: list[tuple[int, int]] | None = None, *data: bytes) -> None:
        self.topics = [(TOPIC, [(0, code, 99, 99, 0, aborted, -1, b"".join(data))])]
        self.forgotten: list[tuple[str, int]] = []
        self.lost = False

    async def leader(self, topic: str, partition: int) -> int:
        return 1

    def forget_leader(self, topic: str, partition: int) -> None:
        self.forgotten.append((topic, partition))

    async def call(self, node: int, request: Any, lane: str) -> Any:
        if self.lost:
            raise Lost("gone")
        return self


async def fetched(answer: Answer) -> Fetched:
    found = await fetch(answer, {(TOPIC, 0): 0}, wait_ms=0, most=1)  # type: ignore[arg-type]
    return found[TOPIC, 0]


async def bases(answer: Answer) -> tuple[list[int], int]:
    found = await fetched(answer)
    return [each.base_offset for each in found.batches], found.following


async def test_batches_without_markers() -> None:
    data = [batch(0, [ITEM]), marker(1, commits=True), batch(2, [ITEM, ITEM]), marker(4, commits=True)]
    assert await bases(Answer(0, None, *data)) == ([0, 2], 5)
    assert await bases(Answer()) == ([], 0)


async def test_what_was_undone_is_left_out() -> None:
    data = [
        batch(0, [ITEM], producer=1),
        batch(1, [ITEM], producer=2),
        batch(2, [ITEM], producer=1),
        marker(3, commits=False, producer=1),
        batch(4, [ITEM], producer=1),
        marker(5, commits=True, producer=2),
        batch(6, [ITEM], producer=1, transactional=False),
        batch(7, [ITEM], producer=2),
        marker(8, commits=False, producer=2),
    ]
    assert await bases(Answer(0, [(2, 7), (1, 0)], *data)) == ([1, 4, 6], 9)


async def test_a_batch_that_is_cut_off_comes_with_the_next_fetch() -> None:
    data = batch(1, [ITEM])
    assert await bases(Answer(0, None, batch(0, [ITEM]), data[:-1])) == ([0], 1)


async def test_a_damaged_batch() -> None:
    data = bytearray(batch(7, [ITEM]))
    data[-1] ^= 1
    with pytest.raises(LogError, match=r"topic p\.a\.todos: the batch at 7 is damaged"):
        await fetched(Answer(0, None, bytes(data)))


async def test_codes() -> None:
    assert (await fetched(Answer(Code.OFFSET_OUT_OF_RANGE))).gone
    moved = Answer(Code.NOT_LEADER)
    with pytest.raises(Passing):
        await fetched(moved)
    assert moved.forgotten == [(TOPIC, 0)]
    with pytest.raises(LogError, match=r"kafka-acls\.sh --topic"):
        await fetched(Answer(Code.TOPIC_DENIED))
    lost = Answer()
    lost.lost = True
    with pytest.raises(Lost):
        await fetched(lost)
    assert lost.forgotten == [(TOPIC, 0)]
