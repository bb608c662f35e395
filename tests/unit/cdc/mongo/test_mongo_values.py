"""BSON as JSON and kinds."""

from __future__ import annotations

import json
import math
from uuid import UUID

import pytest
from bson import decode, encode
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
from cdc.mongo.values import OPTIONS, encode_row, iso_date, plain_id, same_reading

OID = ObjectId("65f0a1b2c3d4e5f6a7b8c9d0")
ID = UUID("00112233-4455-6677-8899-aabbccddeeff")


def shown(doc):
    """(JSON, kinds) of the document as it comes back from BSON."""
    row = encode_row(decode(encode(doc, codec_options=OPTIONS), OPTIONS))
    return json.loads(row.json), row.types


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
        (DBRef("todos", OID), {"$ref": "todos", "$id": str(OID)}, None),
    ],
)
def test_every_type(value, plain, kind):
    assert shown({"f": value}) == ({"f": plain}, {"f": kind} if kind else {})
    assert shown({"a": {"f": value}}) == ({"a": {"f": plain}}, {"a.f": kind} if kind else {})
    assert shown({"a": [value, None]}) == ({"a": [plain, None]}, {"a": f"{kind}[]"} if kind else {})
    assert plain_id(decode(encode({"f": value}, codec_options=OPTIONS), OPTIONS)["f"]) == plain


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


def test_strings_that_are_not_utf8_are_shown_as_far_as_they_are():
    raw = encode({"f": "ab"}).replace(b"ab", b"a\xff")
    assert json.loads(encode_row(decode(raw, OPTIONS)).json) == {"f": "a�"}


def test_what_is_not_known_is_refused():
    with pytest.raises(ProtocolError, match="f: a BSON value of type object"):
        encode_row({"f": object()})


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
    assert same_reading(before, encode_row(before).types, after, encode_row(after).types) is same
