"""The rules of meaning one by one; `tests/property/test_query_property.py` holds all of them against a reference."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from broadcaster.evaluate import compile_predicate, decode_row
from broadcaster.predicate import FALSE, TRUE
from broadcaster.query import parse_where
from support.reference_evaluator import matches


def keeps(where: dict[str, Any], row: dict[str, Any], types: dict[str, str] | None = None) -> bool:
    result = compile_predicate(parse_where(where))(row, types)
    assert result is matches(where, row, types)
    return result


@pytest.mark.parametrize(
    ("where", "row", "expected"),
    [
        # missing and null
        ({"a": None}, {}, True),
        ({"a": None}, {"a": None}, True),
        ({"a": None}, {"a": 0}, False),
        ({"a": {"$ne": None}}, {}, False),
        ({"a": {"$ne": 1}}, {}, True),
        ({"a": {"$nin": [1, 2]}}, {"a": None}, True),
        ({"a": {"$in": [1, None]}}, {}, True),
        ({"a": {"$exists": True}}, {"a": None}, False),
        ({"a": {"$exists": True}}, {"a": 0}, True),
        ({"a": {"$not": {"$gt": 5}}}, {}, True),
        ({"a": {"$not": {"$gt": 5}}}, {"a": "x"}, True),
        # classes do not mix
        ({"a": 1}, {"a": True}, False),
        ({"a": 0}, {"a": False}, False),
        ({"a": True}, {"a": 1}, False),
        ({"a": {"$in": [0, 1]}}, {"a": True}, False),
        ({"a": {"$gte": 0}}, {"a": True}, False),
        ({"a": {"$gt": False}}, {"a": True}, True),
        ({"a": {"$gt": False}}, {"a": 1}, False),
        ({"a": {"$lt": 5}}, {"a": "1"}, False),
        ({"a": {"$gt": "a"}}, {"a": 5}, False),
        ({"a": "5"}, {"a": 5}, False),
        # numbers are exact
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 0}, {"a": -0.0}, True),
        ({"a": 2**53 + 1}, {"a": 2**53}, False),
        ({"a": 2**53 + 1}, {"a": float(2**53)}, False),
        ({"a": 10**23}, {"a": 1e23}, True),
        ({"a": {"$gt": 10**23}}, {"a": 1e23}, False),
        ({"a": {"$in": [10**23, 5]}}, {"a": 1e23}, True),
        ({"a": {"$gt": "9007199254740992"}}, {"a": 5}, False),
        ({"a": {"$lt": "9007199254740992"}}, {"a": 5}, True),
        ({"a": {"$lt": "Infinity"}}, {"a": 5}, True),
        ({"a": "9007199254740992"}, {"a": "9007199254740992"}, True),
        # text goes by code point
        ({"a": {"$lt": "a"}}, {"a": "B"}, True),
        ({"a": {"$gt": "\uffff"}}, {"a": "\U00010000"}, True),
        # arrays
        ({"a": 1}, {"a": [3, 1]}, True),
        ({"a": 1}, {"a": [True]}, False),
        ({"a": 1}, {"a": [[1]]}, False),
        ({"a": [1, 2]}, {"a": [1, 2]}, True),
        ({"a": [1, 2]}, {"a": [2, 1]}, False),
        ({"a": [1, 2]}, {"a": [[1, 2]]}, True),
        ({"a": {"$ne": 1}}, {"a": [3, 1]}, False),
        ({"a": {"$gt": 5, "$lt": 3}}, {"a": [1, 9]}, True),
        ({"a": {"$not": {"$gt": 5}}}, {"a": [1, 9]}, False),
        ({"a": {"$in": ["x", [1]]}}, {"a": [1]}, True),
        ({"a": None}, {"a": [None]}, True),
        ({"a": None}, {"a": []}, False),
        ({"a": {"$exists": True}}, {"a": []}, True),
        # paths
        ({"a.b": 1}, {"a": {"b": 1}}, True),
        ({"a.b": 1}, {"a": [{"b": 2}, {"b": 1}]}, True),
        ({"a.b": None}, {"a": 5}, True),
        ({"a.b": None}, {"a": [1, 2]}, False),
        ({"a.b": None}, {"a": [{}]}, True),
        ({"a.b": {"$ne": 1}}, {"a": [{"b": 2}, {"b": 1}]}, False),
        ({"a.1": 5}, {"a": [4, 5]}, True),
        ({"a.1": 5}, {"a": {"1": 5}}, True),
        ({"a.1": None}, {"a": [4]}, False),
        ({"a.0.b": 1}, {"a": [{"b": [0, 1]}]}, True),
        ({"a.b": {"$exists": True}}, {"a": [{}, {"b": 0}]}, True),
        # documents
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2.0, "x": 1}}, True),
        ({"a": {"x": 1}}, {"a": {"x": 1, "y": 2}}, False),
        ({"a": {"x": None}}, {"a": {}}, False),
        ({"a": {}}, {"a": {}}, True),
        ({"a": {"x": True}}, {"a": {"x": 1}}, False),
        # siblings are ANDed, always
        ({"u": "me", "$or": [{"u": "you"}]}, {"u": "you"}, False),
        ({"$or": [{"a": 1}, {"b": 1}], "c": 1}, {"a": 1, "c": 2}, False),
        ({"$and": [{"$or": [{"a": 1}, {"a": 2}]}, {"b": {"$nin": [3]}}]}, {"a": 2}, True),
    ],
)
def test_plain_values(where: dict[str, Any], row: dict[str, Any], expected: bool) -> None:
    assert keeps(where, row) is expected
    assert keeps({"$not": where}, row) is not expected


@pytest.mark.parametrize(
    ("kind", "value", "condition", "expected"),
    [
        ("decimal", "1.10", 1.1, True),
        ("decimal", "0.1", 0.1, True),
        ("decimal", "1.10", "1.1000", True),
        ("decimal", "10", {"$gt": 9}, True),
        ("decimal", "10", {"$gt": "9"}, True),
        ("decimal", "10", {"$gt": "x"}, False),
        ("decimal", "1", True, False),
        ("decimal", "1e2", {"$in": [3, "100"]}, True),
        ("decimal", "NaN", "NaN", True),
        ("decimal", "NaN", {"$in": ["NaN"]}, True),
        ("decimal", "NaN", {"$gt": 0}, False),
        ("decimal", "NaN", {"$lte": "NaN"}, False),
        ("decimal", "Infinity", {"$gt": 10**30}, True),
        ("decimal", "-Infinity", {"$lt": "-1e999"}, True),
        ("int64", "9007199254740993", "9007199254740993", True),
        ("int64", "9007199254740993", 2**53 + 1, True),
        ("int64", "9007199254740993", {"$gt": 5}, True),
        ("int64", "9007199254740993", {"$gt": "9007199254740992"}, True),
        ("int64", "9007199254740993", {"$gt": "5"}, False),
        ("float", "Infinity", "Infinity", True),
        ("float", "Infinity", {"$gt": 5}, True),
        ("float", "-Infinity", {"$lt": -5}, True),
        ("float", "NaN", "NaN", True),
        ("float", "NaN", {"$lt": "Infinity"}, False),
        ("date", "2024-01-05", "2024-01-05T00:00:00Z", True),
        ("date", "2024-01-05", {"$lt": "2024-01-05T00:00:01"}, True),
        ("date", "0044-03-15 BC", {"$lt": "0001-01-01"}, True),
        ("date", "0044-03-15 BC", {"$gt": "0045-03-15 BC"}, True),
        ("date", "12345-01-01", {"$gt": "9999-12-31"}, True),
        ("timestamp", "2024-01-05T10:00:00", "2024-01-05 10:00", True),
        ("timestamp", "2024-01-05T10:00:00.5", {"$gt": "2024-01-05T10:00:00.499999"}, True),
        ("timestamp", "infinity", {"$gt": "99999-01-01"}, True),
        ("timestamp", "infinity", "infinity", True),
        ("timestamptz", "2024-01-05T10:00:00Z", "2024-01-05T12:00:00+02:00", True),
        ("timestamptz", "2024-01-05T10:00:00Z", "2024-01-05T10:00:00", True),
        ("timestamptz", "2024-01-05T10:00:00Z", {"$in": ["2024-01-05T05:30:00-0430"]}, True),
        ("timestamptz", "-infinity", {"$lt": "4713-01-01 BC"}, True),
        ("timestamptz", "2024-01-05T10:00:00Z", {"$lt": "tomorrow"}, False),
        ("timestamptz", "2024-01-05T10:00:00Z", {"$gt": 5}, False),
        ("timestamptz", "2024-02-29T00:00:00Z", {"$gt": "2023-02-29"}, False),
        ("time", "10:00:00", "10:00", True),
        ("time", "24:00:00", {"$gt": "23:59:59.999999"}, True),
        ("time", "-01:00:00", {"$lt": "00:00"}, True),
        ("uuid", "7e57d004-2b97-0e7a-b45f-5387367791cd", "7E57D004-2B97-0E7A-B45F-5387367791CD", True),
        ("uuid", "7e57d004-2b97-0e7a-b45f-5387367791cd", {"$gt": "7"}, False),
        ("bytes", "AP8=", "AP8=", True),
        ("bytes", "/w==", {"$gt": "AP8="}, True),
        ("bytes", "AP8=", {"$gt": "é"}, False),
        ("interval", "P1D", "P1D", True),
        ("decimal[]", ["1.0", None, "2"], 2, True),
        ("decimal[]", ["1.0", "2"], [1, 2], True),
        ("decimal[]", [["1.0"], ["2"]], [2], True),
        ("date[]", ["2024-01-05"], {"$gt": "2024-01-04T23:59"}, True),
        ("unheard-of", "x", "x", True),
    ],
)
def test_kinds_decide_how_literals_are_read(kind: str, value: Any, condition: Any, expected: bool) -> None:
    assert keeps({"a": condition}, {"a": value}, {"a": kind}) is expected
    assert keeps({"d.a": condition}, {"d": {"a": value}}, {"d.a": kind}) is expected
    assert keeps({"b": 1, "a": condition}, {"a": value, "b": 1}, {"a": kind, "c": "uuid"}) is expected


def test_kinds_inside_documents_and_by_index() -> None:
    assert keeps({"d": {"x": 1}}, {"d": {"x": "1.0"}}, {"d.x": "decimal"})
    assert keeps({"a.0": 1}, {"a": ["1.0"]}, {"a": "decimal[]"})


def test_constants() -> None:
    assert compile_predicate(TRUE)({}) is True
    assert compile_predicate(FALSE)({"a": 1}, {"a": "uuid"}) is False


def test_names_and_strings_are_never_code() -> None:
    for text in ("'\"\\\n\0{v}", "') or True or ('", "\ud800", "\u2028", "%s{}"):
        row = {text.replace(".", ""): text}
        assert keeps({text.replace(".", ""): text}, row)
        assert not keeps({text.replace(".", ""): "x"}, row)


def test_many_kinds_of_one_field_stay_bounded() -> None:
    predicate = compile_predicate(parse_where({"a": "1"}))
    for number in range(1000):
        assert predicate({"a": "1"}, {"a": f"kind{number}"})
    assert len(predicate._variants) <= 64
    assert predicate.for_types({"a": "decimal"})({"a": "1.0"})
    assert predicate.for_types(None)({"a": "1"})


def test_a_large_predicate_compiles() -> None:
    where = {"$or": [{f"f{i}": {"$in": [i, str(i), None, [i]]}} for i in range(100)]}
    assert keeps(where, {f"f{i}": 0.5 for i in range(100)} | {"f99": 99})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("9223372036854775808", 2**63),
        ("1e400", Decimal("1e400")),
        ("-1e99999999999999999999", Decimal("-Infinity")),
        ("1e-400", 0.0),
        ("1" * 5000, Decimal("1" * 5000)),
        (r'"\ud800x"', "\ud800x"),
        (r'"\ud83d\ude00"', "😀"),
        ('{"a":[{},[],"],:"]}', {"a": [{}, [], "],:"]}),
        (r'[1, -2.5e1 , true,false,null,"\ud800"]', [1, -25.0, True, False, None, "\ud800"]),
    ],
)
def test_rows_decode_exactly(text: str, value: Any) -> None:
    assert decode_row(f'{{"v" : {text} }}'.encode()) == {"v": value}
    assert decode_row(memoryview(f'{{"v":{text}}}'.encode())) == {"v": value}


def test_rows_of_any_depth_decode() -> None:
    row = decode_row(b'{"v":' + b"[" * 20_000 + b"]" * 20_000 + b"}")
    depth, value = 0, row["v"]
    while value:
        depth, value = depth + 1, value[0]
    assert depth == 19_999


def test_numbers_beyond_floats_compare() -> None:
    row = decode_row(b'{"v":1e400,"w":-1e400}')
    assert keeps({"v": {"$gt": 10**300}, "w": {"$lt": 0.5}}, row)
    assert keeps({"v": {"$in": [10**400, 1]}}, row)


@pytest.mark.parametrize("text", ["[1]", "5", "", "{", '{"a":}}', '{"a":1} x', "nope"])
def test_what_is_no_row_is_an_error(text: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        decode_row(text.encode())


def test_many_values_in_a_large_array_are_looked_up() -> None:
    """In the time that one of them takes, not in a thousand times that."""
    row = {"a": [*range(100_000), "x", "12345678901234567890", None, True, [1]]}
    last = list(range(99_005, 100_000))
    for more, holds in (
        (["x", "12345678901234567890", None, True], True),
        ([[1], 5.0], True),
        ([False], False),
        ([0.5], False),
    ):
        assert compile_predicate(parse_where({"a": {"$contains": last + more}}))(row) is holds
