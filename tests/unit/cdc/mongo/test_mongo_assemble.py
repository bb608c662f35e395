"""Changes to batches."""

from __future__ import annotations

import json

from cdc.codec import encode_event, encode_key
from cdc.event import Op, Position, Reset
from cdc.mongo.assemble import Assembler
from cdc.mongo.convert import wire_text
from cdc.mongo.decode import Change, RowChange
from cdc.mongo.run import Key

START = Position("set", 100, {"token": "start"})
SOURCE = {"connector": "mongodb", "name": "todo-app.db", "snapshot": "false", "db": "app"}


def token(order):
    """A resume token of this cluster time."""
    return f"82{order:016X}2B04"


def assembler(*, begin=False, sharded=False):
    return Assembler(SOURCE, START, begin=begin, sharded=sharded, now_ms=5)


def row(key, collection="todos", size=0, types=""):
    after = json.dumps({"_id": key, "text": "x" * size})
    return RowChange(collection, Op.CREATE, f'{{"_id":{key}}}', None, after, types)


def change(order, *rows, transaction=None, resets=()):
    key = None if transaction is None else Key(order, b"session", transaction)
    return Change(token(order), order, order * 1000, key, rows, resets)


def taken(assembler):
    batches = []
    while (batch := assembler.take()) is not None:
        batches.append(batch)
    return batches


def numbers(batch):
    """(key, total_order, data_collection_order, last) of each record."""
    found = []
    for _, key, value in batch.records:
        told = json.loads(value)["transaction"]
        found.append(
            (
                json.loads(key)["_id"],
                told["total_order"],
                told["data_collection_order"],
                told.get("last", False),
            )
        )
    return found


def test_a_new_log_begins_with_the_position():
    (batch,) = taken(assembler(begin=True))
    assert (batch.records, batch.position, batch.ts_ms) == ([], START, 5)
    assert taken(assembler()) == []


def test_single_changes_are_complete_at_once_and_go_together():
    a = assembler()
    a.add(change(101, row(1)), 7)
    a.add(change(102, row(2)), 8)
    assert a.pending > 0
    (batch,) = taken(a)
    assert a.pending == 0
    assert numbers(batch) == [(1, 1, 1, True), (2, 1, 1, True)]
    assert batch.position == Position("set", 102, {"token": token(102)})
    assert batch.ts_ms == 102_000
    value = json.loads(batch.records[0][2])
    assert value["source"] == {**SOURCE, "ts_ms": 101_000, "collection": "todos", "txId": "101", "ord": 101}
    assert (value["ts_ms"], value["transaction"]["id"]) == (7, "101")


def test_an_event_is_the_envelope_that_everybody_reads():
    a = assembler()
    a.add(change(101, RowChange("é", Op.UPDATE, wire_text('{"_id":"é"}'), "{}", None, '{"a":"uuid"}')), 7)
    ((collection, key, value),) = a.take().records
    expected = encode_event(
        op=Op.UPDATE,
        before=b"{}",
        after=None,
        source={**SOURCE, "ts_ms": 101_000, "collection": "é", "txId": "101", "ord": 101},
        ts_ms=7,
        total_order=1,
        collection_order=1,
        last=True,
        types={"a": "uuid"},
    )
    assert (collection, key, value) == ("é", encode_key({"_id": "é"}), expected)


def test_a_transaction_ends_where_another_begins():
    a = assembler()
    a.add(change(101, row(1), transaction=1), 0)
    a.add(change(101, row(2, "users"), transaction=1), 0)
    a.add(change(101, row(3), transaction=1), 0)
    assert a.in_transaction
    assert taken(a) == []
    a.add(change(101, row(4), transaction=2), 0)
    (batch,) = taken(a)
    assert numbers(batch) == [(1, 1, 1, False), (2, 2, 1, True), (3, 3, 2, True)]
    a.add(change(102, row(5)), 0)
    assert [numbers(batch) for batch in taken(a)] == [[(4, 1, 1, True), (5, 1, 1, True)]]
    assert not a.in_transaction


def test_transactions_that_come_together_go_together():
    """Each append to Kafka is a transaction there: one for each of the database's would never catch up."""
    a = assembler()
    for number in range(1, 5):
        for key in (number, -number):
            a.add(change(100 + number, row(key), transaction=number), 0)
    (batch,) = taken(a)
    assert [each[0] for each in numbers(batch)] == [1, -1, 2, -2, 3, -3]
    assert batch.position.order == 103
    a.idle(token(104), 0)
    (batch,) = taken(a)
    assert ([each[0] for each in numbers(batch)], batch.position.order) == ([4, -4], 104)


def test_transactions_that_come_together_are_batches_of_a_bounded_size():
    a = assembler()
    for number in range(1, 41):
        a.add(change(100 + number, row(number, "todos", 100_000), transaction=number), 0)
    batches = taken(a)
    assert len(batches) > 1
    assert [each[0] for batch in batches for each in numbers(batch)] == list(range(1, 40))
    assert all(batch.position.order == 100 + numbers(batch)[-1][0] for batch in batches)


def test_a_transaction_ends_where_the_stream_is_silent():
    a = assembler()
    a.add(change(101, row(1), transaction=1), 0)
    a.idle(token(101), 0)
    (batch,) = taken(a)
    assert numbers(batch) == [(1, 1, 1, True)]
    assert batch.position.order == 101


def test_of_several_shards_only_progress_says_so():
    a = assembler(sharded=True)
    a.add(change(101, row(1), transaction=1), 0)
    a.idle(token(101), 0)
    assert taken(a) == []
    a.add(change(101, row(2), transaction=1), 0)
    a.idle(token(102), 0)
    (batch,) = taken(a)
    assert numbers(batch) == [(1, 1, 1, False), (2, 2, 2, True)]
    assert batch.position.order == 102


def test_what_is_complete_is_not_held_back_by_an_open_transaction():
    a = assembler()
    a.add(change(101, row(1)), 0)
    a.add(change(102, row(2), transaction=1), 0)
    (batch,) = taken(a)
    assert (numbers(batch), batch.position.order) == ([(1, 1, 1, True)], 101)


def test_a_large_transaction_comes_in_parts():
    a = assembler()
    a.add(change(101, row(0)), 0)
    for number in range(1, 31):
        a.add(change(102, row(number, "users" if number == 3 else "todos", 100_000), transaction=1), 0)
    first, *parts = taken(a)
    assert (numbers(first), first.position.order) == ([(0, 1, 1, True)], 101)
    assert len(parts) >= 2
    assert all(part.position is None for part in parts)
    a.add(change(103), 0)
    (end,) = taken(a)
    told = [each for batch in (*parts, end) for each in numbers(batch)]
    assert sorted(each[1] for each in told) == list(range(1, 31))
    todos = [each for each in told if each[0] != 3]
    assert [each[2] for each in todos] == list(range(1, 30))
    assert [each[0] for each in told if each[3]] == [3, 30]
    assert end.position.order == 103
    assert a.pending == 0


def test_progress_is_told_but_not_too_often():
    a = assembler()
    a.idle(token(100), 1000)
    assert taken(a) == []
    a.idle(token(105), 1000)
    a.idle(token(106), 1050)
    assert [batch.position.order for batch in taken(a)] == [105]
    a.idle(token(106), 1100)
    (batch,) = taken(a)
    assert (batch.records, batch.position, batch.ts_ms) == (
        [],
        Position("set", 106, {"token": token(106)}),
        1100,
    )


def test_progress_never_goes_back_behind_an_event():
    a = assembler()
    a.add(change(105, row(1)), 0)
    taken(a)
    a.idle(token(104), 1000)
    a.idle(token(105), 2000)
    assert taken(a) == []


def test_a_reset_stands_alone_between_what_was_before_and_after():
    a = assembler()
    a.add(change(101, row(1)), 0)
    a.add(change(102, resets=(Reset("todos", "collection_dropped"),)), 0)
    a.add(change(103, row(2)), 0)
    before, reset, after = taken(a)
    assert (numbers(before), before.resets) == ([(1, 1, 1, True)], ())
    assert (reset.records, reset.resets) == ([], (Reset("todos", "collection_dropped"),))
    assert [batch.position.order for batch in (before, reset, after)] == [101, 102, 103]
    assert numbers(after) == [(2, 1, 1, True)]


def test_what_concerns_nobody_only_moves_the_position():
    a = assembler()
    a.add(change(101), 0)
    a.add(change(102, transaction=1), 0)
    a.idle(token(103), 1000)
    assert [(batch.records, batch.position.order) for batch in taken(a)] == [([], 103)]
