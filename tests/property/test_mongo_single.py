"""Single changes are read in one go; whatever comes, the result is that of reading event by event, or none."""

from __future__ import annotations

from typing import Any

import pytest
from bson import encode
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.event import Position, Record
from cdc.mongo.assemble import BATCH_BYTES, Assembler
from cdc.mongo.convert import MALFORMED
from cdc.mongo.decode import Decoder
from cdc.mongo.reply import Reply, read_reply
from cdc.mongo.single import SingleReader, generate
from support.bson_reference import OPTIONS

NOW = 1_795_553_000_000
SOURCE = {"version": "1", "connector": "mongodb", "name": "a.b", "snapshot": "false", "db": "é"}
COLLECTIONS = ["todos", "'é{x}\"\\"]
UUIDS = {"todos": "984FB219EA0A4C99BEC1083CFBB085BF", COLLECTIONS[1]: "11111111111111111111111111111111"}
SCALARS = st.one_of(
    st.text(max_size=4).map(lambda text: text.encode(errors="replace").decode()),
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([2**53 - 1, 2**53, Int64(5), 0.0, -0.0, 1.5, float("nan"), float("inf")]),
    st.sampled_from([DatetimeMS(0), DatetimeMS(1_704_067_200_123), DatetimeMS(-(2**55))]),
    st.sampled_from([ObjectId("65f0a1b2c3d4e5f6a7b8c9d0"), ObjectId("65f0a1b2c3d4e5f6a7b8c9d1")]),
    st.sampled_from([Decimal128("-1.50"), Decimal128("2"), Regex("a/b", "im"), b"xyz", Binary(bytes(16), 4)]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abé"), inner, max_size=2),
    max_leaves=4,
)
IDS = st.sampled_from(
    [1, 2**60, "one", 'é"', ObjectId("65f0a1b2c3d4e5f6a7b8c9d0"), Binary(bytes(16), 4), {"a": 1}]
)
DOCUMENTS = st.dictionaries(
    st.sampled_from(["a", "b", "c", "é", 'q"', "{x}", "'", "a.b"]), VALUES, max_size=4
)


@st.composite
def happenings(draw: st.DrawFn) -> dict[str, Any]:
    """An event but for its place in the stream."""
    kind = draw(st.sampled_from(["insert", "update", "update", "replace", "delete"]))
    id_ = {"_id": draw(IDS)}
    old = draw(DOCUMENTS)
    new = {**old, **draw(st.just({}) | DOCUMENTS)}
    event: dict[str, Any] = {"operationType": kind}
    images: dict[str, Any] = {"fullDocument": {**id_, **new}, "fullDocumentBeforeChange": {**id_, **old}}
    if kind != "insert" and draw(st.sampled_from([False, False, False, True])):
        images[draw(st.sampled_from(sorted(images)))] = None
    if kind != "delete":
        event["fullDocument"] = images["fullDocument"]
    event["ns"] = {"db": "app", "coll": draw(st.sampled_from([*COLLECTIONS, "others"]))}
    event["documentKey"] = draw(st.sampled_from([id_, {"region": "eu", **id_}]))
    if kind == "update":
        event["updateDescription"] = {"updatedFields": draw(DOCUMENTS), "removedFields": []}
    if kind != "insert":
        event["fullDocumentBeforeChange"] = images["fullDocumentBeforeChange"]
    extra = draw(st.sampled_from(["", "", "", "", "", "txn", "types", "other"]))
    if extra == "txn":
        event |= {"txnNumber": Int64(3), "lsid": {"id": Binary(bytes(16), 4)}}
    return (
        event | ({extra: 1} if extra == "other" else {}) | ({"_typeBits": True} if extra == "types" else {})
    )


def message(events: list[dict[str, Any]]) -> Reply:
    """A reply with these."""
    batch = []
    for number, event in enumerate(events):
        rest = dict(event)
        uuid = UUIDS.get(rest["ns"]["coll"], "0" * 32)
        token: dict[str, Any] = {
            "_data": f"82{100:08X}{number:08X}2B022C0100296E5A1004{uuid}463C5F6964003C69"
        }
        if rest.pop("_typeBits", False):
            token["_typeBits"] = b"\x40"
        head = {"_id": token, "operationType": rest.pop("operationType")}
        times = {"clusterTime": Timestamp(100, number), "wallTime": DatetimeMS(100_250 + number)}
        batch.append({**head, **times, **rest})
    cursor = {"nextBatch": batch, "postBatchResumeToken": {"_data": "82"}, "id": Int64(1), "ns": "x"}
    return read_reply(encode({"cursor": cursor, "ok": 1.0}, codec_options=OPTIONS))


def general(reply: Reply, at: int) -> list[Record]:
    """What the general way makes of the event that begins there, if it is a single one."""
    assembler = new_assembler()
    change = Decoder(COLLECTIONS).decode(reply.raw, reply.text, at)
    if change is None or change.transaction is not None:
        return []
    assembler.add(change, NOW)
    batch = assembler.take()
    return [] if batch is None else batch.records


def new_assembler() -> Assembler:
    return Assembler(SOURCE, Position("set", 0, {"token": ""}), begin=False, sharded=False, now_ms=NOW)


def read(reply: Reply, *, single: bool, rounds: int = 1) -> tuple[list[Record], list[Position | None], int]:
    """All records, the positions of the batches, and how many events were read in one go."""
    assembler, decoder = new_assembler(), Decoder(COLLECTIONS)
    reader = SingleReader(COLLECTIONS, assembler.source)
    records: list[Record] = []
    positions: list[Position | None] = []
    count = 0
    for _ in range(rounds):
        at = 0
        while at < len(reply.events):
            found = reader.read(reply, at, len(reply.events), BATCH_BYTES, NOW) if single else None
            if found is not None:
                at += len(found.records)
                count += len(found.records)
                assembler.add_singles(found, NOW)
                continue
            change = decoder.decode(reply.raw, reply.text, reply.events[at])
            assert change is not None
            assembler.add(change, NOW)
            at += 1
        assembler.idle("82" + "F" * 16, NOW)
        while (batch := assembler.take()) is not None:
            records += batch.records
            positions.append(batch.position)
    return records, positions, count


def use(function: Any, raw: bytes, at: int) -> Any:
    """What generated code makes of it, as `SingleReader` asks it."""
    try:
        return function(raw, raw.decode("latin-1"), at, NOW)
    except MALFORMED:
        return None


@settings(max_examples=150)
@given(st.lists(happenings(), min_size=1, max_size=4), st.lists(st.integers(0, 3), max_size=10))
def test_the_same_comes_out(events: list[dict[str, Any]], order: list[int]) -> None:
    reply = message([events[i % len(events)] for i in order])
    assert read(reply, single=True)[:2] == read(reply, single=False)[:2]


@settings(max_examples=150)
@given(st.lists(happenings(), min_size=1, max_size=4))
def test_code_for_one_shape_leaves_others_alone(events: list[dict[str, Any]]) -> None:
    reply, source = message(events), new_assembler().source
    for begin in reply.events:
        function = generate(reply.raw, reply.text, begin, COLLECTIONS, source)
        for at in reply.events if function is not None else ():
            found = use(function, reply.raw, at)
            assert found is None or [found[3]] == general(reply, at)


FIELDS = {
    "a": "é",
    "n": 1,
    "big": 2**60,
    "x": 0.5,
    "u": Binary(bytes(16), 4),
    "in": {"at": DatetimeMS(1)},
    "l": [1, "x"],
}
OBJECT = {
    "o": ObjectId("65f0a1b2c3d4e5f6a7b8c9d0"),
    "d": Decimal128("1.5"),
    "ids": [ObjectId()],
    "z": None,
    "f": -0.0,
}
OLD = {"_id": "one", **FIELDS, **OBJECT}
NEW = {**OLD, "a": "other", "n": 2, "x": 0.25, "in": {"at": DatetimeMS(2)}, "f": 0.0}
UPDATE = {
    "operationType": "update",
    "fullDocument": NEW,
    "ns": {"db": "app", "coll": "todos"},
    "documentKey": {"_id": "one"},
    "updateDescription": {"updatedFields": {"a": "other"}, "removedFields": []},
    "fullDocumentBeforeChange": OLD,
}
INSERT = {name: UPDATE[name] for name in ("fullDocument", "ns", "documentKey")} | {"operationType": "insert"}
DELETE = {name: UPDATE[name] for name in ("ns", "documentKey", "fullDocumentBeforeChange")} | {
    "operationType": "delete"
}


@pytest.mark.parametrize("event", [UPDATE, INSERT, DELETE])
def test_what_is_usual_is_read_in_one_go(event: dict[str, Any]) -> None:
    reply = message([event] * 20)
    records, _, count = read(reply, single=True)
    assert count == 19  # the first one is learned from
    assert records == read(reply, single=False)[0]


@settings(max_examples=400)
@given(st.data(), st.sampled_from([UPDATE, INSERT, DELETE]))
def test_garbage(data: st.DataObject, event: dict[str, Any]) -> None:
    """Broken in any place, an event is left alone, or is what the general way takes it for."""
    reply = message([event])
    [at] = reply.events
    function = generate(reply.raw, reply.text, at, COLLECTIONS, new_assembler().source)
    assert function is not None
    raw = bytearray(reply.raw)
    for place in data.draw(st.lists(st.integers(at, len(raw) - 1), min_size=1, max_size=3)):
        raw[place] = data.draw(st.integers(0, 255))
    broken = Reply(bytes(raw), raw.decode("latin-1"), 1, "", [at])
    found = use(function, broken.raw, at)
    if found is not None:
        assert [found[3]] == general(broken, at)


def test_truncated_at_every_byte() -> None:
    reply = message([UPDATE])
    [at] = reply.events
    function = generate(reply.raw, reply.text, at, COLLECTIONS, new_assembler().source)
    end = at + int.from_bytes(reply.raw[at : at + 4], "little")
    assert use(function, reply.raw[:end], at) is not None
    for size in range(at, end):
        assert use(function, reply.raw[:size], at) is None


def test_a_shape_is_learned_once_whatever_its_values() -> None:
    """Where the kinds of an array differ between the images there is no way but the general one."""
    odd = {
        **UPDATE,
        "fullDocument": {"_id": 1, "l": [ObjectId()]},
        "fullDocumentBeforeChange": {"_id": 1, "l": [1]},
    }
    reader = SingleReader(COLLECTIONS, new_assembler().source)
    reply = message([odd] * 2_000)
    at = 0
    while at < len(reply.events):
        assert reader.read(reply, at, len(reply.events), BATCH_BYTES, NOW) is None
        at += 1
    assert [len(functions) for functions in reader._known.values()] == [1]
    usual = message([UPDATE] * 3_000)
    assert any(reader.read(usual, at, len(usual.events), BATCH_BYTES, NOW) for at in range(3_000))


def test_new_shapes_are_learned_one_at_a_time_and_the_newest_kept() -> None:
    events = [{**INSERT, "fullDocument": {"_id": "one", f"f{number % 12}": 1}} for number in range(600)]
    reply = message(events)
    assert read(reply, single=True, rounds=8)[:2] == read(reply, single=False, rounds=8)[:2]
