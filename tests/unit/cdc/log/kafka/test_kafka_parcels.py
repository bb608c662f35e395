"""Records to partitions."""

from __future__ import annotations

from cdc.codec import encode_event
from cdc.event import Record
from cdc.log.kafka.order import decode_order
from cdc.log.kafka.parcels import PART_BYTES, parts, sort_out
from cdc.log.kafka.partition import partition_of

ROW = b'{"note":"},\\"op\\":\\"d"}'


def event(key: int, op: str = "c", collection: str = "todos") -> Record:
    value = encode_event(
        op=op,
        before=None if op == "c" else ROW,
        after=None if op == "d" else ROW,
        source={"txId": "1", "ts_ms": 1},
        ts_ms=1,
        total_order=1,
        collection_order=1,
    )
    return collection, b'{"id":%d}' % key, value


def test_records_keep_their_order_over_collections_and_partitions() -> None:
    records = [event(number, collection="todos" if number % 3 else "users") for number in range(50)]
    parcels = sort_out(records, {"todos": 4, "users": 1}, lambda name: False)
    places = list(parcels.items)
    queues = {place: iter(items) for place, items in parcels.items.items()}
    for record, index in zip(records, decode_order(parcels.order, len(places)), strict=True):
        name, number = places[index]
        assert name == record[0]
        assert number == partition_of(record[1], 4 if name == "todos" else 1)
        assert next(queues[name, number]) == record[1:]


def test_one_partition_has_no_order() -> None:
    parcels = sort_out([event(1), event(2)], {"todos": 1}, lambda name: False)
    assert parcels.order == b""
    assert parcels.items == {("todos", 0): [event(1)[1:], event(2)[1:]]}


def test_a_delete_is_followed_by_a_tombstone_where_the_topic_is_compacted() -> None:
    records = [event(1), event(1, "u"), event(1, "d"), event(1), event(2, "d", "users")]
    parcels = sort_out(records, {"todos": 1, "users": 1}, lambda name: name == "todos")
    key = b'{"id":1}'
    assert parcels.items["todos", 0] == [
        *(record[1:] for record in records[:3]),
        (key, None),
        records[3][1:],
    ]
    assert parcels.items["users", 0] == [records[4][1:]]
    assert parcels.tombstones == {("todos", 0): 1}
    assert list(decode_order(parcels.order, 2)) == [0, 0, 0, 0, 1]


def test_parts() -> None:
    small: Record = ("c", b"k", b"v" * 99)
    large: Record = ("c", b"k", b"v" * (2 * PART_BYTES))
    assert list(parts([])) == []
    assert list(parts([small, small])) == [([small, small], 200)]
    assert [len(records) for records, _ in parts([small, large, small])] == [1, 1, 1]
    many = [small] * (3 * PART_BYTES // 100)
    split = list(parts(many))
    assert [record for records, _ in split for record in records] == many
    assert len(split) == 4
    assert all(size == 100 * len(records) <= PART_BYTES for records, size in split)
