"""A chunk between two places of the stream."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from cdc.codec import encode_event
from cdc.event import Batch, Position, Record, Reset
from cdc.snapshot import chunk as chunks
from cdc.snapshot.chunk import Chunk, Passed
from cdc.snapshot.reader import ChunkRead


def key(number: int) -> bytes:
    return b'{"id":%d}' % number


def read(*numbers: int, done: bool = False, shows: Callable[[str], bool] = lambda _: True) -> ChunkRead:
    rows = [(key(number), b'{"id":%d,"n":0}' % number, {"n": "decimal"}) for number in numbers]
    return ChunkRead(rows, list(numbers[-1:]), done, "e", 10, shows, {"connector": "x"})


def change(number: int | None, tx: str = "1", collection: str = "a") -> Record:
    value = encode_event(
        op="t" if number is None else "u", before=None, after=None, source={"txId": tx, "ts_ms": 1}, ts_ms=1,
        total_order=1, collection_order=1,
    )  # fmt: skip
    return collection, b"null" if number is None else key(number), value


def batch(*records: Record, resets: tuple[Reset, ...] = ()) -> Batch:
    return Batch(list(records), Position("e", 11), 1, resets)


def left(chunk: Chunk) -> list[int]:
    return [json.loads(key)["id"] for _, key, _ in chunk.records(5)]


def test_what_the_stream_touches_before_or_after_the_read_is_left_out() -> None:
    chunk = Chunk("a", ())
    chunk.pass_by(batch(change(1), change(2, collection="b")))
    assert chunk.accept(read(1, 2, 3, 4)) == []
    chunk.pass_by(batch(change(3), change(9)))
    assert left(chunk) == [2, 4]


def test_a_truncate_leaves_nothing_whenever_it_comes() -> None:
    for before in (True, False):
        chunk = Chunk("a", ())
        if before:
            chunk.pass_by(batch(change(None)))
        chunk.accept(read(1, 2))
        if not before:
            chunk.pass_by(batch(change(None)))
        assert left(chunk) == []


def test_the_events() -> None:
    chunk = Chunk("a", ())
    chunk.accept(read(1, 2, done=True))
    records = chunk.records(5)
    assert [(collection, key) for collection, key, _ in records] == [("a", key(1)), ("a", key(2))]
    first, last = (json.loads(value or b"") for _, _, value in records)
    assert first == {
        "before": None,
        "after": {"id": 1, "n": 0},
        "source": {"connector": "x", "ts_ms": 5, "snapshot": "true"},
        "op": "r",
        "ts_ms": 5,
        "transaction": None,
        "types": {"n": "decimal"},
    }
    assert last["source"]["snapshot"] == "last"


def test_what_the_stream_had_before_and_the_read_does_not_show_is_left_out() -> None:
    unseen = [("7", "a", key(1)), ("7", "b", key(2)), ("9", "a", key(9))]
    chunk = Chunk("a", [*unseen, ("8", "a", key(3))])
    assert chunk.accept(read(1, 2, 3, shows=lambda tx: tx == "8")) == unseen
    assert left(chunk) == [2, 3]
    chunk = Chunk("a", [("7", "a", b"null")])
    chunk.accept(read(1, 2, shows=lambda _: False))
    assert left(chunk) == []


def test_a_reset_spoils() -> None:
    for resets, spoilt in ((Reset("b", "columns_changed"), False), (Reset("a", "columns_changed"), True)):
        for before in (True, False):
            chunk = Chunk("a", ())
            if before:
                chunk.pass_by(batch(resets=(resets,)))
            chunk.accept(read(1))
            if not before:
                chunk.pass_by(batch(resets=(resets,)))
            assert chunk.spoilt is spoilt


def test_so_many_changes_while_it_is_read_spoil_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MOST_KEYS", 2)
    chunk = Chunk("a", ())
    chunk.pass_by(batch(change(1), change(2)))
    assert not chunk.spoilt
    chunk.pass_by(batch(change(3)))
    assert chunk.spoilt


def test_transactions_that_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MOST_PASSED", 4)
    passed = Passed()
    passed.add([change(1, "1"), change(2, "1"), ("a", key(3), None), change(1, "2")])
    assert passed.take() == [("1", "a", key(1)), ("1", "a", key(2)), ("2", "a", key(1))]
    assert passed.take() == []
    passed.add([change(1, "4")])
    passed.put([("3", "a", key(1))])
    passed.add([change(1, tx) for tx in "567"])
    assert [tx for tx, _, _ in passed.take()] == ["6", "7"]


def test_rows_that_were_read_are_no_transaction() -> None:
    chunk, passed = Chunk("a", ()), Passed()
    chunk.accept(read(1, 2))
    passed.add(chunk.records(5))
    assert passed.take() == []
