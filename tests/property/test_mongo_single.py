"""Changes are read in one go, by generated code and by the kernel; whatever comes, the result is that of reading
event by event, or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

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

from cdc import kernel
from cdc.event import Position, Record
from cdc.mongo.assemble import BATCH_BYTES, Assembler
from cdc.mongo.convert import MALFORMED
from cdc.mongo.decode import Decoder
from cdc.mongo.eventcode import Numbers, generate
from cdc.mongo.open_transaction import OpenTransaction
from cdc.mongo.reply import Reply, read_reply, session_of
from cdc.mongo.run import EventReader
from cdc.mongo.single import SingleReader, head_of
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

MakeReader: TypeAlias = Callable[[list[str], str], EventReader]
COMPILED: list[MakeReader] = [part.EventReader for part in [kernel.load("changes")] if part is not None]
READERS: list[MakeReader] = [SingleReader, *COMPILED]


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
    extra = draw(st.sampled_from(["", "", "", "", "", "types", "other", "lsid"]))
    number = draw(st.sampled_from([None, None, 3, 4]))
    if number is not None:
        event |= {
            "txnNumber": Int64(number),
            "lsid": {"id": Binary(bytes([number % 2] * 16), 4), "uid": b"u"},
        }
    if extra == "lsid":
        event["lsid"] = {"uid": b"u", "id": Binary(bytes(16), 4)}
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
        of_transaction = {name: rest.pop(name) for name in ("txnNumber", "lsid") if name in rest}
        head = {"_id": token, "operationType": rest.pop("operationType")}
        increment = 1_000 + of_transaction["txnNumber"] if "txnNumber" in of_transaction else number
        times = {"clusterTime": Timestamp(100, increment), "wallTime": DatetimeMS(100_250 + increment)}
        batch.append({**of_transaction, **head, **times, **rest})
    cursor = {"nextBatch": batch, "postBatchResumeToken": {"_data": "82"}, "id": Int64(1), "ns": "x"}
    return read_reply(encode({"cursor": cursor, "ok": 1.0}, codec_options=OPTIONS))


def general(reply: Reply, at: int) -> list[Record]:
    """What the general way makes of the event that begins there, if nothing else is in its transaction."""
    assembler = new_assembler()
    change = Decoder(COLLECTIONS).decode(reply.raw, reply.text, at)
    if change is None:
        return []
    assembler.add(change, NOW)
    assembler.idle("82" + "F" * 16, NOW)
    batch = assembler.take()
    return [] if batch is None else batch.records


def new_assembler() -> Assembler:
    return Assembler(SOURCE, Position("set", 0, {"token": ""}), begin=False, sharded=False, now_ms=NOW)


def read(
    reply: Reply, make: MakeReader | None = None, rounds: int = 1
) -> tuple[list[Record], list[Position | None], int]:
    """All records, the positions of the batches, and how many events were read in one go, by such a reader."""
    assembler, decoder = new_assembler(), Decoder(COLLECTIONS)
    reader = None if make is None else make(COLLECTIONS, assembler.source)
    records: list[Record] = []
    positions: list[Position | None] = []
    count = 0
    for _ in range(rounds):
        at = 0
        while at < len(reply.events):
            end = len(reply.events)
            found = reader and reader.read(reply, at, end, BATCH_BYTES, NOW, assembler.open)
            if found is not None:
                at += len(found.records)
                count += len(found.records)
                assembler.add_run(found, NOW)
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
    text = raw.decode("latin-1")
    try:
        head = head_of(raw, text, at)
        if head:
            session_of(head[head.index("lsid") + 5 :].encode("latin-1"))
        return function(raw, text, at, len(head), NOW, Numbers(1, {}, ',"last":true'))
    except MALFORMED:
        return None


@settings(max_examples=150)
@given(st.lists(happenings(), min_size=1, max_size=4), st.lists(st.integers(0, 3), max_size=10))
def test_the_same_comes_out(events: list[dict[str, Any]], order: list[int]) -> None:
    reply = message([events[i % len(events)] for i in order])
    for make in READERS:
        assert read(reply, make)[:2] == read(reply)[:2]


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
    general = read(reply)
    for make in READERS:
        records, positions, count = read(reply, make)
        assert count == (19 if make is SingleReader else 20)  # the first one is learned from
        assert (records, positions) == general[:2]


TRANSACTION = {"txnNumber": Int64(1), "lsid": {"id": Binary(bytes(16), 4), "uid": b"u"}}


def test_transactions_are_read_in_one_go() -> None:
    """One that begins in one call and goes on in the next, whose last events are told only then; a part of a large one
    ends where the general way would end it."""
    other = {**INSERT, "ns": {"db": "app", "coll": COLLECTIONS[1]}}
    large = {**INSERT, "fullDocument": {"_id": "one", "text": "x" * 400_000}}
    events = [INSERT, other, UPDATE, large, INSERT, large, DELETE, large, other, large]
    reply = message([{**TRANSACTION, **event} for event in events] + [INSERT, {**TRANSACTION, **INSERT}])
    records, positions, _ = read(reply)
    assert positions.count(None) == 1
    for make in COMPILED:
        assert read(reply, make) == (records, positions, len(reply.events))
    assert read(reply, SingleReader, rounds=60)[0] == read(reply, rounds=60)[0]
    usual = message(
        [{**TRANSACTION, **INSERT}, {**TRANSACTION, **UPDATE}, {**TRANSACTION, **INSERT}, INSERT] * 300
    )
    records, positions, count = read(usual, SingleReader)
    assert (records, positions) == read(usual)[:2]
    assert count > 600


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 40), st.booleans()), max_size=8), st.integers(1, 70))
def test_transactions_of_any_size_in_replies_of_any_size(sizes: list[tuple[int, bool]], at_once: int) -> None:
    """What goes together is told apart all the same, wherever a call ends."""
    other = {**DELETE, "ns": {"db": "app", "coll": COLLECTIONS[1]}}
    events: list[dict[str, Any]] = []
    for number, (size, single) in enumerate(sizes):
        of = {} if single else {**TRANSACTION, "txnNumber": Int64(number)}
        events += [{**of, **(other if i % 3 == number % 3 else INSERT)} for i in range(size)]
    replies = [message(events[first : first + at_once]) for first in range(0, len(events), at_once)]
    general_way = _read_all(replies, None)
    for make in READERS:
        assert _read_all(replies, make) == general_way


def _read_all(replies: list[Reply], make: MakeReader | None) -> list[Record]:
    """The records of these replies of one stream."""
    assembler, decoder = new_assembler(), Decoder(COLLECTIONS)
    reader = None if make is None else make(COLLECTIONS, assembler.source)
    for reply in replies:
        at = 0
        while at < len(reply.events):
            run = reader and reader.read(reply, at, len(reply.events), BATCH_BYTES, NOW, assembler.open)
            if run:
                assembler.add_run(run, NOW)
            else:
                change = decoder.decode(reply.raw, reply.text, reply.events[at])
                assert change is not None
                assembler.add(change, NOW)
            at += len(run.records) if run else 1
    assembler.idle("82" + "F" * 16, NOW)
    batch = assembler.take()
    return [] if batch is None else batch.records


def test_kinds_that_come_or_go_with_an_update() -> None:
    """Null before, a date behind: one set of kinds still tells how to read both; a date that becomes an ObjectId: none
    does, and the general way says so."""
    images = [
        {"_id": "one", "at": at, "x": x}
        for at in (None, DatetimeMS(1), ObjectId())
        for x in (0.5, float("inf"))
    ]
    updates = [
        {**UPDATE, "fullDocumentBeforeChange": old, "fullDocument": new} for old in images for new in images
    ]
    reply = message(updates)
    for make in COMPILED:
        records, _, count = read(reply, make)
        assert records == read(reply)[0]
        assert len(updates) * 3 // 4 < count < len(updates)


@settings(max_examples=400)
@given(st.data(), st.sampled_from([UPDATE, INSERT, DELETE]))
def test_garbage(data: st.DataObject, event: dict[str, Any]) -> None:
    """Broken in any place, an event is left alone, or is what the general way takes it for."""
    reply = message([data.draw(st.sampled_from([event, {**TRANSACTION, **event}]))])
    [at] = reply.events
    function = generate(reply.raw, reply.text, at, COLLECTIONS, new_assembler().source)
    raw = bytearray(reply.raw)
    for place in data.draw(st.lists(st.integers(at, len(raw) - 1), min_size=1, max_size=3)):
        raw[place] = data.draw(st.integers(0, 255))
    broken = Reply(bytes(raw), 1, "", [at])
    found = None if function is None else use(function, broken.raw, at)
    if found is not None:
        assert [found[3]] == general(broken, at)
    for make in COMPILED:
        if _reads(make, broken):
            assert read(broken, make) == (*read(broken)[:2], 1)


def _reads(make: MakeReader, reply: Reply) -> bool:
    """Whether such a reader would read all there is."""
    assembler = new_assembler()
    run = make(COLLECTIONS, assembler.source).read(
        reply, 0, len(reply.events), BATCH_BYTES, NOW, assembler.open
    )
    return run is not None and len(run.records) == len(reply.events)


def test_truncated_at_every_byte() -> None:
    reply = message([UPDATE])
    [at] = reply.events
    function = generate(reply.raw, reply.text, at, COLLECTIONS, new_assembler().source)
    end = at + int.from_bytes(reply.raw[at : at + 4], "little")
    assert use(function, reply.raw[:end], at) is not None
    for size in range(at, end):
        assert use(function, reply.raw[:size], at) is None
    for make in COMPILED:
        for event in (UPDATE, {**TRANSACTION, **INSERT}, {**DELETE, "_typeBits": True}):
            reply = message([event])
            [at] = reply.events
            end = at + int.from_bytes(reply.raw[at : at + 4], "little")
            for size in range(at, end):
                assert not _reads(make, Reply(reply.raw[:size], 1, "", [at]))
            assert _reads(make, Reply(reply.raw[:end], 1, "", [at]))


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
        assert reader.read(reply, at, len(reply.events), BATCH_BYTES, NOW, OpenTransaction()) is None
        at += 1
    assert [len(functions) for functions in reader._known.values()] == [1]
    usual = message([UPDATE] * 3_000)
    assert any(
        reader.read(usual, at, len(usual.events), BATCH_BYTES, NOW, OpenTransaction()) for at in range(3_000)
    )


def test_new_shapes_are_learned_one_at_a_time_and_the_newest_kept() -> None:
    events = [{**INSERT, "fullDocument": {"_id": "one", f"f{number % 12}": 1}} for number in range(600)]
    reply = message(events)
    assert read(reply, SingleReader, rounds=8)[:2] == read(reply, rounds=8)[:2]
