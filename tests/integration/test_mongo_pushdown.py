"""What MongoDB selects contains what the evaluator keeps, whatever the documents and the conditions are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any
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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.collection import Collection

from broadcaster.evaluate import compile_predicate, decode_row
from broadcaster.query import parse_where
from broadcaster.snapshot.mongo_query import push_down
from cdc.mongo.values import encode_document
from servers.mongo import Mongod
from support.bson_reference import OPTIONS

OID = "65f0a1b2c3d4e5f6a7b8c9d0"
DAY = 1_709_287_445_000  # 2024-03-01T10:04:05Z
SCALARS: list[Any] = [
    None, True, False, 0, 1, -1, 5, 2**31, Int64(2**53), Int64(2**53 + 1), Int64(2**63 - 1), 0.1, 1.5, -0.0, 5.0,
    1e23, 1e300, 5e-324, float(2**53), math.nan, math.inf, -math.inf, "", "a", "abc", "5", "0.1", "NaN", "Infinity",
    "true", "done", "é", "\U0001f600", "\uffff", OID, OID.upper(), ObjectId(OID), DatetimeMS(DAY), DatetimeMS(DAY + 1),
    DatetimeMS(-(2**60)), "2024-03-01T10:04:05Z", "2024-03-01", Decimal128("0.1"), Decimal128("5"), Decimal128("5.00"),
    Decimal128("NaN"), Decimal128("1E+23"), Decimal128("1E-400"), Decimal128("Infinity"), b"", b"abc",
    Decimal128("9007199254740993"), Binary(b"abc", 5), Binary(UUID(int=7).bytes, 4), str(UUID(int=7)), Regex("a", 2),
    Timestamp(1, 2), Code("x"), Code("x", {"y": 1}), MinKey(), MaxKey(), DBRef("c", ObjectId(OID)), {}, [], {"y": 1},
    {"y": None},
]  # fmt: skip
values = st.recursive(
    st.sampled_from(SCALARS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["y", "0", "z"]), inner, max_size=2)
    ),
    max_leaves=5,
)
documents = st.lists(st.dictionaries(st.sampled_from(["f", "g"]), values), min_size=1, max_size=8)
LITERALS: list[Any] = [
    None, True, False, 0, 1, 5, 5.0, -1, 0.1, 1.5, 1e23, 10**23, 2**53, 2**53 + 1, 2**63 - 1, 10**400, 5e-324, "", "a",
    "abc", "5", "5.00", "0.1", "NaN", "Infinity", "-Infinity", "true", "done", "YWJj", "é", "\U0001f600", "\ud800",
    "9007199254740993", "1e23", OID, OID.upper(), "2024-03-01T10:04:05Z", "2024-03-01T10:04:05.0005Z", "2024-03-01",
    "2024-03-01T11:04:05+01:00", "infinity", str(UUID(int=7)), str(UUID(int=7)).upper(), [], [1], ["a"], {"y": 1}, "20",
]  # fmt: skip
literals = st.sampled_from(LITERALS)
PATTERNS = [
    "",
    "%",
    "a%",
    "_%",
    "%b",
    "abcde",
    r"\%%",
    "(%",
    "^%",
    "a.%",
    "\ud800%",
    "x\0%",
    OID,
    f"{OID[:5]}%",
    "é%",
]
ordered = st.sampled_from([each for each in LITERALS if isinstance(each, (int, float, str))])
paths = st.sampled_from(["f", "g", "f.y", "f.0", "f.y.z", "f.0.y"])
conditions = st.one_of(
    st.builds(lambda value: {"$eq": value}, literals),
    st.builds(lambda value: {"$ne": value}, literals),
    st.builds(lambda op, value: {op: value}, st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), ordered),
    st.builds(
        lambda op, value: {op: value}, st.sampled_from(["$in", "$nin"]), st.lists(literals, max_size=3)
    ),
    st.builds(lambda value: {"$exists": value}, st.booleans()),
    st.builds(lambda value: {"$like": value}, st.sampled_from(PATTERNS)),
    st.builds(lambda value: {"$regex": value}, st.sampled_from(["", "^a", "[0-9]", "(?i)A"])),
    st.builds(lambda value: {"$contains": value}, literals.filter(lambda value: value is not None)),
)
wheres = st.recursive(
    st.builds(lambda path, condition: {path: condition}, paths, conditions),
    lambda inner: st.one_of(
        st.builds(
            lambda op, parts: {op: parts},
            st.sampled_from(["$and", "$or", "$nor"]),
            st.lists(inner, min_size=1, max_size=3),
        ),
        st.builds(lambda part: {"$not": part}, inner),
    ),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def collection(mongod: Mongod) -> Iterator[Collection[dict[str, Any]]]:
    with mongod.admin() as client:
        yield folded(client)
        client.drop_database("pushdown")


def folded(client: MongoClient[Any]) -> Collection[dict[str, Any]]:
    """A collection whose own collation would make conditions mean something else."""
    collation = {"locale": "en", "strength": 1}
    return client.get_database("pushdown", codec_options=OPTIONS).create_collection(
        "docs", collation=collation
    )


def kept(docs: list[dict[str, Any]], where: dict[str, Any]) -> set[int]:
    test = compile_predicate(parse_where(where))
    rows = [(doc["_id"], encode_document(encode(doc, codec_options=OPTIONS))) for doc in docs]
    return {number for number, row in rows if test(decode_row(row.json), row.types)}


def lost(collection: Collection[Any], stored: list[dict[str, Any]], where: dict[str, Any]) -> list[Any]:
    """Documents that the evaluator keeps and MongoDB does not select."""
    pushed = push_down(parse_where(where))
    found = {doc["_id"] for doc in collection.find(pushed, collation={"locale": "simple"})}
    missed = kept(stored, where) - found
    return [(where, pushed, doc) for doc in stored if doc["_id"] in missed]


def every_leaf() -> Iterator[dict[str, Any]]:
    for path in ("f", "f.y"):
        for literal in LITERALS:
            ranges = (
                () if literal is None or isinstance(literal, (list, dict)) else ("$gt", "$gte", "$lt", "$lte")
            )
            yield from ({path: {op: literal}} for op in ("$eq", "$ne", *ranges))
            if literal is not None:
                yield {path: {"$contains": literal}}
        yield from ({path: {"$exists": there}} for there in (True, False))
        yield from ({path: {"$like": pattern}} for pattern in PATTERNS)
        yield {path: {"$regex": ""}}


def test_every_condition_on_every_value(collection: Collection[Any]) -> None:
    """Each alone, in an array, in a document, and in arrays beside what has a kind of its own."""
    shapes = [[{"f": value}, {"f": [value]}, {"f": {"y": value}}, {"f": [{"y": value}]}] for value in SCALARS]
    beside = [
        [{"f": [value, other]} for other in ("x", ObjectId(OID), 7, Decimal128("3"))] for value in SCALARS
    ]
    collection.delete_many({})
    docs = [doc for docs in (*shapes, *beside) for doc in docs]
    collection.insert_many([{"_id": number, **doc} for number, doc in enumerate(docs)])
    stored = list(collection.find())
    assert [found for where in every_leaf() for found in lost(collection, stored, where)] == []


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents, st.lists(wheres, min_size=1, max_size=8))
def test_superset(
    collection: Collection[Any], docs: list[dict[str, Any]], wheres: list[dict[str, Any]]
) -> None:
    collection.delete_many({})
    collection.insert_many([{"_id": number, **doc} for number, doc in enumerate(docs)])
    stored = list(collection.find())
    for where in wheres:
        assert lost(collection, stored, where) == []


SELECTIVE = [
    ({"f": 5}, {"f": 5}),
    ({"f": "abcde"}, {"f": "abcde"}),
    ({"f": True, "g": {"$gt": 3}}, {"$and": [{"f": True}, {"g": {"$gt": 3}}]}),
    ({"f": {"$ne": True}}, {"f": {"$ne": True}}),
    ({"f": {"$in": ["abcde", "b", 3]}}, {"f": {"$in": ["abcde", "b", 3]}}),
    (
        {"f": {"$like": "a.b%"}},
        {
            "$or": [
                {"f": {"$regex": r"^a\.b"}},
                {"f": {"$type": "symbol"}},
                {"f": {"$type": ["number", "date", "objectId", "binData"]}},
            ]
        },
    ),
    ({"_id": OID}, None),
]


@pytest.mark.parametrize(("where", "expected"), SELECTIVE)
def test_what_can_use_an_index_is_pushed_down(where: dict[str, Any], expected: dict[str, Any] | None) -> None:
    pushed = push_down(parse_where(where))
    if expected is None:
        assert pushed == {"$or": [{"_id": {"$in": [OID, ObjectId(OID)]}}, {"_id": {"$type": "binData"}}]}
    else:
        assert pushed == expected or sorted(pushed["f"]["$in"], key=str) == sorted(
            expected["f"]["$in"], key=str
        )
