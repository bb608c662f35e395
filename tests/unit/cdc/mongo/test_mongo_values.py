"""BSON as JSON and kinds."""

from __future__ import annotations

import json
import math
from uuid import UUID

import pytest
from bson import encode
from bson.binary import Binary
from bson.code import Code
from bson.datetime_ms import DatetimeMS
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

from broadcaster.kinds import instant
from cdc.errors import ProtocolError
from cdc.mongo.convert import iso_date
from cdc.mongo.values import encode_document, row, same_reading
from support.bson_reference import OPTIONS

OID = ObjectId("65f0a1b2c3d4e5f6a7b8c9d0")
ID = UUID("00112233-4455-6677-8899-aabbccddeeff")


def row_of(doc):
    raw = encode(doc, codec_options=OPTIONS)
    return row(raw, raw.decode("latin-1"), 0)


def shown(doc):
    """(JSON, kinds) of the document."""
    found = encode_document(encode({"_id": 1, **doc}, codec_options=OPTIONS))
    return {name: value for name, value in json.loads(found.json).items() if name != "_id"}, found.types


@pytest.mark.parametrize(
    ("value", "plain", "kind"),
    [
        ("é\0\U0001f600", "é\0\U0001f600", None),
        (True, True, None),
        (None, None, None),
        (7, 7, None),
        (Int64(7), 7, None),
        (2**53 - 1, 2**53 - 1, None),
        (2**53, "9007199254740992", "int64"),
        (-(2**63), "-9223372036854775808", "int64"),
        (1.5, 1.5, None),
        (1e300, 1e300, None),
        (math.nan, "NaN", "float"),
        (math.inf, "Infinity", "float"),
        (-math.inf, "-Infinity", "float"),
        (OID, str(OID), "objectId"),
        (Decimal128("1.50"), "1.50", "decimal"),
        (Decimal128("NaN"), "NaN", "decimal"),
        (DatetimeMS(0), "1970-01-01T00:00:00Z", "timestamptz"),
        (DatetimeMS(-1), "1969-12-31T23:59:59.999Z", "timestamptz"),
        (b"\xff\xfe", "//4=", "bytes"),
        (Binary(b"\xff\xfe", 128), "//4=", "bytes"),
        (Binary(ID.bytes, 4), str(ID), "uuid"),
        (Binary(ID.bytes, 3), "ABEiM0RVZneImaq7zN3u/w==", "bytes"),
        (Binary(b"short", 4), "c2hvcnQ=", "bytes"),
        (Regex("a.b", "im"), {"$regularExpression": {"pattern": "a.b", "options": "im"}}, None),
        (Timestamp(5, 6), {"$timestamp": {"t": 5, "i": 6}}, None),
        (Code("f()"), {"$code": "f()"}, None),
        (Code("f()", {"x": OID}), {"$code": "f()", "$scope": {"x": str(OID)}}, None),
        (MinKey(), {"$minKey": 1}, None),
        (MaxKey(), {"$maxKey": 1}, None),
    ],
)
def test_every_type(value, plain, kind):
    assert shown({"f": value}) == ({"f": plain}, {"f": kind} if kind else {})
    assert shown({"a": {"f": value}}) == ({"a": {"f": plain}}, {"a.f": kind} if kind else {})
    assert shown({"a": [value, None]}) == ({"a": [plain, None]}, {"a": f"{kind}[]"} if kind else {})
    key = encode_document(encode({"_id": value}, codec_options=OPTIONS)).key
    assert json.loads(key) == {"_id": plain}


@pytest.mark.parametrize(
    ("array", "kinds"),
    [
        ([OID, "text"], {}),
        (["text", OID], {}),
        ([OID, DatetimeMS(0)], {}),
        ([OID, 5, True, None], {"a": "objectId[]"}),
        ([[OID]], {"a": "objectId[][]"}),
        ([{"d": OID}, {"d": OID}], {"a.d": "objectId"}),
        ([{"d": OID}, {"d": "text"}], {}),
        ([{"d": OID}, {"e": "text"}], {"a.d": "objectId"}),
        ([], {}),
    ],
)
def test_an_array_has_a_kind_where_all_of_it_is_read_alike(array, kinds):
    assert shown({"a": array})[1] == kinds


@pytest.mark.parametrize(
    ("millis", "text"),
    [
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "10000-01-01T00:00:00Z"),
        (-62_135_596_800_000, "0001-01-01T00:00:00Z"),
        (-62_135_596_800_001, "0001-12-31T23:59:59.999Z BC"),
        (-62_198_755_200_000, "0002-01-01T00:00:00Z BC"),
    ],
)
def test_dates_of_any_year_are_read_as_they_were(millis, text):
    assert iso_date(millis) == text
    assert instant(text) == millis * 1000


def test_a_reference_is_a_document_with_kinds_of_its_own():
    assert shown({"f": DBRef("todos", OID)}) == (
        {"f": {"$ref": "todos", "$id": str(OID)}},
        {"f.$id": "objectId"},
    )
    pointer = b"\x0cf\0" + (6).to_bytes(4, "little") + b"todos\0" + OID.binary + b"\0"
    raw = (4 + len(pointer)).to_bytes(4, "little") + pointer
    assert row(raw, raw.decode("latin-1"), 0) == (f'{{"f":{{"$ref":"todos","$id":"{OID}"}}}}', {})


def test_old_binary_tells_its_size_twice():
    assert shown({"f": Binary(b"\xff\xfe", 2)}) == ({"f": "//4="}, {"f": "bytes"})


def test_undefined_is_null():
    raw = b"\x08\0\0\0\x06f\0\0"
    assert row(raw, raw.decode("latin-1"), 0) == ('{"f":null}', {})


def test_names_and_paths_beyond_ascii():
    assert shown({"é": {"ü\n": OID}}) == ({"é": {"ü\n": str(OID)}}, {"é.ü\n": "objectId"})


def test_strings_that_are_not_utf8_are_shown_as_far_as_they_are():
    raw = encode({"_id": "ab", "f": "éab"}).replace(b"ab", b"a\xff")
    found = encode_document(raw)
    assert json.loads(found.json) == {"_id": "a\ufffd", "f": "éa\ufffd"}
    assert json.loads(found.key) == {"_id": "a\ufffd"}


def test_what_is_not_known_is_refused():
    raw = encode({"_id": 1, "f": True})
    with pytest.raises(ProtocolError, match="not BSON as documented"):
        encode_document(raw.replace(b"\x08f", b"\x20f"))
    with pytest.raises(ProtocolError, match="does not begin with its _id"):
        encode_document(encode({"f": True}))


def test_a_document_nested_too_deeply():
    raw = b"\x05\0\0\0\0"
    for _ in range(2_000):
        raw = (len(raw) + 8).to_bytes(4, "little") + b"\x03f\0" + raw + b"\0"
    raw = (len(raw) + 17).to_bytes(4, "little") + b"\x10_id\0\x01\0\0\0\x03f\0" + raw + b"\0"
    with pytest.raises(ProtocolError, match="nested too deeply"):
        encode_document(raw)


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ({"f": OID}, {"f": OID}, True),
        ({"f": OID}, {}, True),
        ({"f": None}, {"f": OID}, True),
        ({"f": "text"}, {"f": OID}, False),
        ({"f": OID}, {"f": "text"}, False),
        ({"f": OID}, {"f": DatetimeMS(0)}, False),
        ({"f": 5}, {"f": 2**60}, True),
        ({"f": math.nan}, {"f": 1.5}, True),
        ({"f": 5}, {"f": Decimal128("5")}, False),
        ({"f": [5]}, {"f": [2**60]}, True),
        ({"f": ["x"]}, {"f": [OID]}, False),
        ({"f": [{"d": "x"}]}, {"f": [{"d": OID}]}, False),
        ({"f": [{"d": None}]}, {"f": [{"d": OID}]}, True),
        ({"f": "x", "g": OID}, {"f": "y", "g": OID}, True),
    ],
)
def test_same_reading(before, after, same):
    assert same_reading(row_of(before), row_of(after)) is same
