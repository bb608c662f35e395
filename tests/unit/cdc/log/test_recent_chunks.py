"""The memory of the newest chunks."""

from __future__ import annotations

from cdc.event import Chunk, Position, Reset
from cdc.log.recent import RecentChunks

POSITION = Position("p", 1)


def chunk(first: int, last: int, *collections: str, size: int = 10) -> Chunk:
    entries = [
        (offset, collections[offset % len(collections)], b"k", b"v" * size)
        for offset in range(first, last + 1)
    ]
    return Chunk(entries, last, POSITION, 5)


def test_it_gives_what_follows_an_offset() -> None:
    recent = RecentChunks(1 << 20)
    recent.begin("e1", 10)
    chunks = [chunk(11, 12, "a"), chunk(13, 13, "b"), chunk(14, 17, "a", "b")]
    recent.add(chunks)
    assert (recent.start, recent.end) == (10, 17)
    assert [recent.covers("e1", after) for after in (9, 10, 16, 17)] == [False, True, True, False]
    assert not recent.covers("e2", 10)
    assert recent.read(10, None, 1 << 20) == chunks
    assert recent.read(12, None, 1 << 20) == chunks[1:]
    assert [entry[0] for each in recent.read(14, None, 1 << 20) for entry in each.entries] == [15, 16, 17]
    assert recent.read(10, None, 1) == chunks[:1]


def test_only_what_is_wanted() -> None:
    recent = RecentChunks(1 << 20)
    recent.begin("e1", 0)
    resets = (Reset("a", "truncated"), Reset("b", "truncated"))
    recent.add([chunk(1, 2, "a"), chunk(3, 3, "b"), chunk(4, 5, "a"), Chunk([], 6, POSITION, 5, resets)])
    assert recent.read(0, {"b"}, 1 << 20) == [chunk(3, 3, "b"), Chunk([], 6, POSITION, 5, resets[1:])]
    assert recent.read(3, {"c"}, 1 << 20) == [Chunk([], 6, POSITION, 5)]


def test_the_oldest_are_forgotten() -> None:
    recent = RecentChunks(10_000)
    recent.begin("e1", 0)
    for number in range(1, 100):
        recent.add([chunk(number, number, "a", size=1000)])
    assert recent.end == 99
    assert 80 < recent.start < 99
    assert [each.end for each in recent.read(recent.start, None, 1 << 20)] == list(
        range(recent.start + 1, 100)
    )


def test_one_that_is_larger_than_the_memory_is_not_kept() -> None:
    recent = RecentChunks(100)
    recent.begin("e1", 0)
    recent.add([chunk(1, 1, "a", size=1000)])
    assert (recent.start, recent.end) == (1, 1)
    assert not recent.covers("e1", 0)


def test_a_reader_that_goes_on_where_it_ends_keeps_it() -> None:
    recent = RecentChunks(1 << 20)
    recent.begin("e1", 0)
    recent.add([chunk(1, 4, "a")])
    recent.begin("e1", 4)
    recent.add([chunk(5, 5, "a")])
    assert recent.covers("e1", 0)
    recent.begin("e1", 9)
    assert not recent.covers("e1", 0)
    recent.begin("e2", 9)
    assert (recent.epoch, recent.start, recent.end) == ("e2", 9, 9)


def test_a_position_that_only_moves_takes_no_room() -> None:
    recent = RecentChunks(1 << 20)
    recent.begin("e1", 0)
    recent.add([chunk(1, 1, "a")] + [Chunk([], 1, Position("p", order), 5) for order in range(2, 100)])
    assert recent.read(0, None, 1 << 20) == [chunk(1, 1, "a")]


def test_it_covers_the_collections_that_were_read() -> None:
    recent = RecentChunks(1 << 20)
    recent.begin("e1", 0, {"a", "b"})
    recent.add([chunk(1, 2, "a")])
    assert recent.covers("e1", 0, {"a"}) and recent.covers("e1", 1, {"a", "b"})
    assert not recent.covers("e1", 0, {"c"}) and not recent.covers("e1", 0, None)
    recent.begin("e1", 2, {"a", "b"})
    assert recent.covers("e1", 0, {"a"})
    recent.begin("e1", 2, {"a", "b", "c"})
    recent.add([chunk(3, 3, "c")])
    assert not recent.covers("e1", 0, {"a"}) and recent.covers("e1", 2, {"c"})
