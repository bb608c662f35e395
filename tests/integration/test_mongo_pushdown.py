"""What MongoDB selects contains what the evaluator keeps, whatever the documents and the conditions are."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator
from itertools import pairwise
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
from pymongo.errors import BulkWriteError

from broadcaster.evaluate import compile_predicate, decode_row
from broadcaster.livequery import LiveQuery
from broadcaster.order import Order, SortField
from broadcaster.query import parse_where
from broadcaster.snapshot.gathering import Gathering, wanted
from broadcaster.snapshot.mongo_order import reads
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


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


CLOSE: list[Any] = [
    1e23, Decimal128("1E+23"), Decimal128("99999999999999991611392"), Decimal128("0.1"),
    Decimal128("0.1000000000000000055"), 0.1, 1.2345678901234567e18, Int64(1234567890123456780), Int64(2**53 + 1),
    float(2**53), Int64(2**53), Decimal128("-0"), 0, Decimal128("1E-6000"), Decimal128("-1E+6000"),
    DatetimeMS(2**62), DatetimeMS(-(2**62)), DatetimeMS(-62_135_596_800_001), DatetimeMS(310_000_000_000_001),
]  # fmt: skip


def ordered(collection: Collection[Any], docs: list[dict[str, Any]], order: Order) -> None:
    """Every read is sorted as it is said to be, together they read all, and the first rows are found."""
    rows = {row.key: row for row in (encode_document(encode(doc, codec_options=OPTIONS)) for doc in docs)}
    ranks = {key: order.rank(key, decode_row(row.json), row.types) for key, row in rows.items()}
    node = parse_where({})
    query = LiveQuery("q", "mongo", "docs", node, compile_predicate(node), 1 << 20, None, order)
    gathered = Gathering(query, 1, 1 << 20, rounded=True)
    seen = set()
    for read in reads(order):
        cursor = collection.find(read.filter, collation={"locale": "simple"})
        found = cursor if read.sort is None else cursor.sort(read.field, read.sort)
        keys = [encode_document(encode(doc, codec_options=OPTIONS)).key for doc in found]
        seen.update(keys)
        if read.sort is not None:
            leading = [order.rounded(key, decode_row(rows[key].json), rows[key].types) for key in keys]
            for place, (lower, higher) in enumerate(pairwise(leading)):
                assert lower <= higher, [rows[key].json for key in keys[place : place + 2]]
        for key in keys:
            if not gathered.take(key, rows[key].json, rows[key].types) and read.sort is not None:
                break
    assert seen == rows.keys()
    expected = sorted(rows, key=ranks.__getitem__)
    assert list(gathered.rows) == expected[: len(gathered.rows)]
    assert len(gathered.rows) == min(len(rows), wanted(query) or 0)


def test_the_order_of_every_value(collection: Collection[Any]) -> None:
    collection.delete_many({})
    docs: list[dict[str, Any]] = [{"f": value} for value in SCALARS + CLOSE]
    docs += [{"f": [value]} for value in SCALARS] + [{"f": {"y": value}} for value in SCALARS] + [{}]
    docs += [{"f": [None, 7]}, {"f": [[1], "x"]}, {"f": [math.nan]}]
    random.Random(3).shuffle(docs)
    collection.insert_many([{"_id": number, **doc} for number, doc in enumerate(docs)])
    stored = list(collection.find())
    for path in ("f", "f.y", "_id", "missing"):
        for descending in (False, True):
            for limit in (1, 8, 60, 200):
                ordered(collection, stored, Order((SortField(path, descending),), limit))
    ordered(collection, stored, Order((), 5))


def test_the_order_of_keys(collection: Collection[Any]) -> None:
    collection.delete_many({})
    keys = [value for value in SCALARS if not isinstance(value, (list, Regex)) and value is not None]
    by_json = {encode_document(encode({"_id": key}, codec_options=OPTIONS)).key: key for key in keys}
    with contextlib.suppress(BulkWriteError):  # of keys that are equal
        collection.insert_many([{"_id": key} for key in by_json.values()], ordered=False)
    stored = list(collection.find())
    for limit in (1, 5, 30):
        ordered(collection, stored, Order((), limit))
        ordered(collection, stored, Order((SortField("_id", True),), limit))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(documents, st.lists(st.booleans(), min_size=2, max_size=2), st.integers(1, 4))
def test_the_order_of_documents(
    collection: Collection[Any], docs: list[dict[str, Any]], descending: list[bool], limit: int
) -> None:
    collection.delete_many({})
    collection.insert_many([{"_id": number, **doc} for number, doc in enumerate(docs)])
    sort = tuple(SortField(*field) for field in zip("fg", descending, strict=True))
    ordered(collection, list(collection.find()), Order(sort, limit))
