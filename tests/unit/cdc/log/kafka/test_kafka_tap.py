"""One partition as it is read: exactly the records that the log speaks of, or an error."""

from __future__ import annotations

import pytest

from cdc.errors import CursorExpired
from cdc.log.kafka.fetch import Fetched
from cdc.log.kafka.frame import Extent
from cdc.log.kafka.tap import Tap, weave
from support.record_batches import batch, parsed


def items(*numbers: int) -> list[tuple[bytes | None, bytes | None]]:
    return [(b"k%d" % number, b"v%d" % number) for number in numbers]


def tap(*data: bytes, following: int) -> Tap:
    made = Tap("p.a.todos", 0)
    made.feed(Fetched(parsed(*data), following))
    return made


def extent(first: int, last: int, records: int, tombstones: int = 0) -> Extent:
    return Extent("todos", 0, first, last, records, tombstones)


def test_extent_by_extent() -> None:
    made = tap(batch(0, items(0, 1)), batch(3, items(3)), batch(5, items(5, 6, 7)), following=9)
    assert [made.holds(offset) for offset in (0, 8, 9)] == [True, True, False]
    assert made.take(extent(0, 1, 2)) == items(0, 1)
    assert made.take(extent(3, 3, 1)) == items(3)
    assert made.take(extent(5, 7, 3)) == items(5, 6, 7)


def test_batches_need_not_be_those_that_were_written() -> None:
    """A broker may store them anew, a mirror may put them together."""
    made = tap(batch(0, items(0, 1, 2)), batch(3, items(3, 4)), batch(5, items(5)), following=6)
    assert made.take(extent(0, 1, 2)) == items(0, 1)
    assert made.take(extent(2, 4, 3)) == items(2, 3, 4)
    assert made.take(extent(5, 5, 1)) == items(5)


def test_what_lies_between_is_somebody_elses() -> None:
    made = tap(batch(0, items(0)), batch(1, items(1, 2), producer=7), batch(3, items(3)), following=4)
    assert made.take(extent(0, 0, 1)) == items(0)
    assert made.take(extent(3, 3, 1)) == items(3)


@pytest.mark.parametrize(
    "data",
    [
        batch(0, items(0, 1)),
        batch(0, items(0, 2), offsets=[0, 2]),
        batch(0, items(0, 1, 2, 3)),
        batch(5, items(5)),
        batch(3, items(3)),
    ],
)
def test_not_exactly_the_records_of_the_log(data: bytes) -> None:
    made = tap(data, following=6)
    wanted = extent(0, 3, 3)
    with pytest.raises(
        CursorExpired, match=r"topic p\.a\.todos, partition 0: \d records lie in the offsets 0 to 3"
    ):
        made.take(wanted)


def test_tombstones() -> None:
    data = [(b"k1", b"v1"), (b"k1", None), (b"k2", b"v2")]
    assert tap(batch(0, data), following=3).take(extent(0, 2, 2, 1)) == [data[0], data[2]]
    assert tap(batch(0, data), following=3).take(extent(0, 2, 3)) == data  # where the log's own value is null
    with pytest.raises(CursorExpired, match="tombstones"):
        tap(batch(0, [data[0], data[2], data[2]]), following=3).take(extent(0, 2, 2, 1))


def test_what_is_gone() -> None:
    made = Tap("p.a.todos", 0)
    with pytest.raises(CursorExpired, match="not kept any more"):
        made.feed(Fetched((), 0, gone=True))


def test_only_what_is_asked_for_is_fetched() -> None:
    made = tap(batch(0, items(0, 1)), batch(2, items(2)), following=3)
    made.seek(2)
    assert made.following == 3
    assert made.take(extent(2, 2, 1)) == items(2)
    made.seek(100)
    assert made.following == 100
    made.seek(50)
    assert made.following == 100


def test_weave() -> None:
    rows = [("a", [0, 3], [(b"k0", b"v0"), (b"k3", None)]), ("b", [1, 2], [(b"k1", b"v1"), (b"k2", b"v2")])]
    assert weave(10, rows) == [
        (10, "a", b"k0", b"v0"),
        (11, "b", b"k1", b"v1"),
        (12, "b", b"k2", b"v2"),
        (13, "a", b"k3", None),
    ]
    assert weave(10, rows[1:]) == [(11, "b", b"k1", b"v1"), (12, "b", b"k2", b"v2")]
