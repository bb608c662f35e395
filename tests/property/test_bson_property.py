"""BSON to JSON: as pymongo reads it, by generated code as by the general; garbage leaves as ProtocolError alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bson import encode
from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc import kernel
from cdc.errors import ProtocolError
from cdc.mongo.convert import MALFORMED, utf8
from cdc.mongo.decode import Decoder
from cdc.mongo.reply import Reply, general_reply, read_reply
from cdc.mongo.shapes import Shapes, generate
from cdc.mongo.values import Document, Row, encode_document, general_document, row
from support.bson_reference import OPTIONS, reference_row

TOKEN = {"_data": "826B05CEEF000000142B0229296E04"}
TEXT = st.text(max_size=6).map(lambda text: text.encode(errors="replace").decode())
NAMES = st.sampled_from(["a", "b", "c", "é", 'q"', "{x}", "'", "\\", "a.b"])
SCALARS = st.one_of(
    TEXT,
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-5, 5),
    st.floats(),
    st.binary(max_size=4),
    st.binary(min_size=16, max_size=16).map(lambda raw: Binary(raw, 4)),
    st.integers(-(2**55), 2**55).map(DatetimeMS),
    st.sampled_from([DatetimeMS(0), ObjectId("65f0a1b2c3d4e5f6a7b8c9d0"), Decimal128("-1.50"), Int64(2**53)]),
    st.sampled_from([Regex("a/b", "im"), Timestamp(5, 6), Code("f()"), Code("f()", {"x": 1}), MaxKey()]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
DOCUMENTS = st.dictionaries(NAMES, VALUES, max_size=5)


def bson(doc: dict[str, Any]) -> bytes:
    return encode(doc, codec_options=OPTIONS)


def general(raw: bytes) -> Row:
    return row(raw, raw.decode("latin-1"), 0)


@settings(max_examples=300)
@given(DOCUMENTS)
def test_as_pymongo_reads_it(doc: dict[str, Any]) -> None:
    raw = bson({"_id": 1, **doc})
    found, expected = encode_document(raw), reference_row(raw)
    assert json.loads(found.json) == json.loads(expected.json)
    assert dict(found.types) == expected.types


@settings(max_examples=300)
@given(st.lists(DOCUMENTS, min_size=1, max_size=4), st.lists(st.integers(0, 3), max_size=12))
def test_generated_code_does_what_the_general_does(docs: list[dict[str, Any]], order: list[int]) -> None:
    """Of one collection's documents, at any place of a message; of its own shape's there is no doubt."""
    shapes = Shapes()
    for doc in [docs[i % len(docs)] for i in order]:
        raw = b"head" + bson(doc) + b"tail"
        assert shapes.row(raw, raw.decode("latin-1"), 4) == row(raw, raw.decode("latin-1"), 4)
    for doc in docs:
        raw = bson(doc)
        function = generate(raw, raw.decode("latin-1"), 0)
        assert function is not None or "a.b" in str(doc)
        for other in docs if function is not None else ():
            message = bson(other)
            assert _or_none(function, message) in (None, general(message))


def test_a_document_is_read_by_the_code_of_its_shape() -> None:
    doc = {"_id": "é", "n": 1, "at": DatetimeMS(1), "in": {"ok": True, "list": [1, Int64(2**60)], "x": 1.5}}
    raw, other = bson(doc), bson({**doc, "_id": "other", "n": 2, "in": {**doc["in"], "list": []}})
    function = generate(raw, raw.decode("latin-1"), 0)
    assert function is not None
    assert function(raw, raw.decode("latin-1"), 0) == general(raw)
    assert function(other, other.decode("latin-1"), 0) == general(other)
    assert _or_none(function, bson({**doc, "n": "text"})) is None
    assert _or_none(function, bson({**doc, "more": 1})) is None


def test_documents_too_large_for_code_of_their_own() -> None:
    deep: dict[str, Any] = {}
    for _ in range(20):
        deep = {"f": deep}
    for doc in (deep, {f"f{number}": number for number in range(500)}):
        raw = bson(doc)
        assert generate(raw, raw.decode("latin-1"), 0) is None
        assert Shapes().row(raw, raw.decode("latin-1"), 0) == general(raw)


def test_new_shapes_are_learned_one_at_a_time() -> None:
    shapes = Shapes()
    for number in range(2_000):
        raw = bson({f"f{number % 7}": number})
        assert shapes.row(raw, raw.decode("latin-1"), 0) == general(raw)
    assert len(shapes._functions) == 4


COMPILED = [part.encode_document for part in [kernel.load("bson")] if part is not None]
OID = ObjectId("65f0a1b2c3d4e5f6a7b8c9d0")
NUMBERS = st.one_of(
    st.floats(),
    st.decimals(allow_nan=True, allow_infinity=True, places=4).map(lambda number: Decimal128(str(number))),
    st.binary(min_size=16, max_size=16).map(Decimal128.from_bid),
    st.integers(-(10**12), 10**12).flatmap(lambda whole: st.sampled_from([whole / 10**i for i in range(8)])),
    st.integers(-70_000_000_000_000, 260_000_000_000_000).map(DatetimeMS),
)


@settings(max_examples=300)
@given(st.lists(NUMBERS, max_size=20) | DOCUMENTS)
def test_the_kernel_does_what_the_general_does(value: Any) -> None:
    raw = bson({"_id": 1, "value": value})
    for encode_compiled in COMPILED:
        found = encode_compiled(raw)
        assert found is None or Document(*found) == general_document(raw)


@settings(max_examples=400)
@given(DOCUMENTS, st.data())
def test_the_kernel_takes_garbage_for_what_the_general_does(doc: dict[str, Any], data: st.DataObject) -> None:
    raw = bytearray(bson({"_id": "é", **doc}))
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=3)):
        raw[place] = data.draw(st.integers(0, 255))
    broken = bytes(raw[: data.draw(st.sampled_from([len(raw), data.draw(st.integers(0, len(raw)))]))])
    for encode_compiled in COMPILED:
        found = encode_compiled(broken)
        assert found is None or Document(*found) == general_document(broken)


@pytest.mark.parametrize(
    "doc",
    [
        {"_id": OID, "n": 1.5, "in": {"at": DatetimeMS(1), "big": [2**60, 1, -1]}, "é": "ü\n\x01"},
        {
            "_id": Decimal128("1.50"),
            "x": None,
            "l": [OID, [OID], {"o": OID}],
            "b": b"xyz",
        },
        {
            "_id": {"a": 1},
            "u": Binary(bytes(16), 4),
            "t": Timestamp(1, 2),
            "r": Regex("a", "i"),
            "c": Code("f()"),
        },
        {"_id": 1, **{f"f{number}": DatetimeMS(number) for number in range(250)}},
    ],
    ids=["common", "nested", "rare", "wide"],
)
def test_the_kernel_reads_what_is_usual(doc: dict[str, Any]) -> None:
    raw = bson(doc)
    for encode_compiled in COMPILED:
        assert Document(*encode_compiled(raw)) == general_document(raw)


@pytest.mark.parametrize(
    "raw",
    [
        bson({"_id": 1, "in": Code("f()", {"x": 1})}),
        bson({"_id": 1, **{f"f{number}": DatetimeMS(number) for number in range(300)}}),
        bson({"_id": 1, "a": DatetimeMS(1), "b": OID}).replace(b"\x07b\0", b"\x07a\0"),
        bson({"_id": 1, "a": "\x7f"}).replace(b"\x7f", b"\xff"),
    ],
    ids=["code with scope", "very wide", "a field twice", "not UTF-8"],
)
def test_the_kernel_leaves_the_rest(raw: bytes) -> None:
    for encode_compiled in COMPILED:
        assert encode_compiled(raw) is None
    assert encode_document(raw) == general_document(raw)


def test_nesting_has_a_bound() -> None:
    deep: dict[str, Any] = {}
    for _ in range(190):
        deep = {"f": [deep]} if len(str(deep)) % 2 else {"f": deep}
    raw = bson({"_id": 1, "deep": deep})
    assert encode_document(raw) == general_document(raw)
    for _ in range(3_000):
        raw = (len(raw) + 8).to_bytes(4, "little") + b"\x03a\0" + raw + b"\0"
    raw = (len(raw) + 14 + 3).to_bytes(4, "little") + b"\x10_id\0\x01\0\0\0" + b"\x03a\0" + raw + b"\0"
    with pytest.raises(ProtocolError, match="nested too deeply"):
        encode_document(raw)


EVENT = {
    "_id": TOKEN,
    "operationType": "update",
    "clusterTime": Timestamp(100, 7),
    "wallTime": DatetimeMS(100_250),
    "fullDocument": {"_id": 1, "a": "é", "l": [1, "x"], "o": ObjectId()},
    "ns": {"db": "app", "coll": "todos"},
    "documentKey": {"_id": 1},
    "fullDocumentBeforeChange": {"_id": 1, "a": "e", "l": [], "o": ObjectId()},
}
REPLY: dict[str, Any] = {
    "cursor": {"nextBatch": [EVENT], "postBatchResumeToken": TOKEN, "id": Int64(1), "ns": "x"},
    "ok": 1.0,
}


def read_all(raw: bytes) -> None:
    reply = read_reply(raw)
    decoder = Decoder(["todos"])
    for _ in range(2):  # with generated code too
        for at in reply.events:
            change = decoder.decode(reply.raw, reply.text, at)
            for each in () if change is None else change.rows:
                utf8(each.after or "")


@pytest.mark.parametrize("doc", [REPLY])
def test_truncated_at_every_byte(doc: dict[str, Any]) -> None:
    raw = bson(doc)
    read_all(raw)
    for size in range(len(raw)):
        with pytest.raises(ProtocolError):
            read_all(raw[:size])


@settings(max_examples=1_000)
@given(st.data())
def test_garbage(data: st.DataObject) -> None:
    raw = bytearray(bson(REPLY))
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=4)):
        raw[place] = data.draw(st.integers(0, 255))
    try:
        read_all(bytes(raw))
    except ProtocolError:
        return


COMPILED_REPLY = [part.read_reply for part in [kernel.load("reply")] if part is not None]


def told(reply: Reply) -> tuple[int, str, list[int]]:
    return reply.cursor, reply.token, reply.events


@settings(max_examples=500)
@given(st.data())
def test_the_kernel_cuts_a_reply_as_the_general_does(data: st.DataObject) -> None:
    token = data.draw(st.sampled_from([TOKEN, {**TOKEN, "_typeBits": b"\x40"}, {**TOKEN, "_typeBits": b""}]))
    cursor = {
        **REPLY["cursor"],
        "nextBatch": [EVENT] * data.draw(st.integers(0, 12)),
        "postBatchResumeToken": token,
    }
    more = data.draw(
        st.sampled_from([{}, {"$clusterTime": {"a": 1}, "operationTime": Timestamp(1, 2), "b": b"x"}])
    )
    sound = bson({"cursor": cursor, "ok": 1.0, **more})
    raw = bytearray(sound)
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), max_size=3)):
        raw[place] = data.draw(st.integers(0, 255))
    broken = bytes(raw[: data.draw(st.sampled_from([len(raw), data.draw(st.integers(0, len(raw)))]))])
    for read_compiled in COMPILED_REPLY:
        assert read_compiled(sound) == told(general_reply(sound))
        found = read_compiled(broken)
        assert found is None or found == told(general_reply(broken))


@settings(max_examples=300)
@given(st.binary(max_size=64))
def test_bytes_that_are_no_document(raw: bytes) -> None:
    try:
        encode_document(raw)
    except ProtocolError:
        return


def _or_none(function: Any, raw: bytes) -> Row | None:
    """What generated code makes of a message of its own, as `Shapes` asks it."""
    try:
        found: Row | None = function(raw, raw.decode("latin-1"), 0)
    except MALFORMED:
        return None
    return found
