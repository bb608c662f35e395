from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import pytest

from broadcaster import index_ranges
from broadcaster.index import AFTER, BEFORE, MAYBE_AFTER, MAYBE_BEFORE, Index
from broadcaster.index_ranges import HIGH_IS_OPEN, LOW_IS_OPEN, Intervals
from broadcaster.index_terms import branches
from broadcaster.index_values import literal_keys, number_code, text_code
from broadcaster.query import parse_where

Row = dict[str, Any]


def index_of(*wheres: Any) -> Index[int]:
    index: Index[int] = Index()
    for number, where in enumerate(wheres):
        index.add(number, branches(parse_where(where)))
    return index


def found(index: Index[int], row: Row, other: Row | None = None, **types: str) -> list[int]:
    return sorted(index.touched_by(row, other, types))


@pytest.mark.parametrize(
    ("where", "inside", "outside"),
    [
        ({"a": 1}, [{"a": 1}, {"a": 1.0}, {"a": [3, 1]}], [{"a": 2}, {}, {"a": "1"}, {"a": {"a": 1}}]),
        ({"a": "x"}, [{"a": "x"}], [{"a": "y"}, {"a": None}]),
        ({"a": True}, [{"a": True}], [{"a": False}, {"a": "true"}]),
        ({"a": None}, [{}, {"a": None}, {"a": [None]}], [{"a": 0}, {"a": ""}, {"a": []}, {"a": {}}]),
        ({"a": {"$exists": False}}, [{}, {"a": None}], [{"a": 0}, {"a": {}}]),
        ({"a": {"$in": [1, "x", None]}}, [{"a": 1}, {"a": "x"}, {}], [{"a": 2}, {"a": "y"}]),
        ({"a.b": 1}, [{"a": {"b": 1}}, {"a": [{"b": 1}, {}]}], [{"a": {"b": 2}}, {"a": 1}, {"b": 1}]),
        ({"a.0": 1}, [{"a": [1, 2]}, {"a": [[1]]}], [{"a": [2, 1]}, {"a": 1}]),
        ({"a": {"$gt": 1}}, [{"a": 2}, {"a": [2]}], [{"a": 0}, {"a": "2"}, {"a": None}, {}, {"a": []}]),
        ({"a": {"$lte": 1}}, [{"a": 1}, {"a": -10}], [{"a": 2}]),
        ({"a": {"$gte": 1, "$lt": 5}}, [{"a": 1}, {"a": 4}, {"a": [0, 9]}], [{"a": 0}, {"a": 6}, {"a": "3"}]),
        ({"a": {"$gte": "b", "$lt": "d"}}, [{"a": "b"}, {"a": "cc"}], [{"a": "a"}, {"a": "e"}, {"a": 3}]),
        ({"a": {"$gt": 5, "$lt": 1}}, [{"a": [0, 6]}], [{"a": 3}, {"a": 0}, {"a": 6}]),
        ({"a": {"$gt": 5, "$lt": "x"}}, [{"a": [6, "a"]}], [{"a": 6}, {"a": "a"}]),
        ({"$or": [{"a": 1}, {"b": 2}]}, [{"a": 1}, {"b": 2}], [{"a": 2, "b": 1}]),
        ({"c": {"$gt": 3}, "$or": [{"a": 1}, {"b": 2}]}, [{"a": 1, "c": 4}], [{"a": 2, "b": 1, "c": 4}]),
        ({"$and": [{"a": {"$ne": 1}}, {"b": 2}]}, [{"b": 2}], [{"b": 1}]),
        ({"a": {"$contains": "x"}}, [{"a": "x"}, {"a": ["y", "x"]}], [{"a": "xy"}, {"a": ["y"]}, {}]),
        ({"a": {"$contains": ["x"]}}, [{"a": ["y", "x"]}, {"a": [["x"]]}], [{"a": ["y"]}, {"a": []}, {}]),
        ({"a": {"$contains": {"b": {"c": 1}}}}, [{"a": {"b": {"c": 1}}}], [{"a": {"b": 1}}, {"a": 1}]),
    ],
)  # fmt: skip
def test_what_is_found_and_what_is_not(where: Any, inside: list[Row], outside: list[Row]) -> None:
    index = index_of(where)
    assert [row for row in inside if not found(index, row)] == []
    assert [row for row in outside if found(index, row)] == []


@pytest.mark.parametrize(
    ("kind", "literal", "equal", "others"),
    [
        ("decimal", 12.5, ["12.50", "12.5"], ["12.51", "NaN"]),
        ("decimal", "NaN", ["NaN"], ["1"]),
        ("int64", "9007199254740993", ["9007199254740993"], ["9007199254749999"]),
        ("timestamptz", "2024-01-05T12:00:00+02:00", ["2024-01-05T10:00:00Z"], ["2024-01-05T12:00:00Z"]),
        ("date", "2024-01-05T00:00", ["2024-01-05"], ["2024-01-06"]),
        ("time", "10:00", ["10:00:00"], ["10:00:01"]),
        ("uuid", "7E57D004-2B97-0E7A-B45F-5387367791CD", ["7e57d004-2b97-0e7a-b45f-5387367791cd"],
         ["8e57d004-2b97-0e7a-b45f-5387367791cd"]),
        ("bytes", "AB==", ["AA=="], ["AP8="]),
        ("interval", "P1D", ["P1D"], ["P1M"]),
    ],
)  # fmt: skip
def test_the_kind_decides_by_what_a_value_is_found(
    kind: str, literal: Any, equal: list[Any], others: list[Any]
) -> None:
    index = index_of({"a": literal}, {"a": {"$in": [literal, "?"]}})
    for value in equal:
        assert found(index, {"a": value}, a=kind) == [0, 1]
        assert found(index, {"a": ["other", value]}, a=f"{kind}[]") == [0, 1]
    for value in others:
        assert found(index, {"a": value}, a=kind) == []


def test_ranges_of_instants_and_decimals() -> None:
    index = index_of(
        {"a": {"$gte": "2024-01-05", "$lt": "2024-01-06"}}, {"a": {"$gt": "9.5"}}, {"a": {"$gt": 9.5}}
    )
    assert found(index, {"a": "2024-01-05T23:00:00Z"}, a="timestamptz") == [0]
    assert found(index, {"a": "2024-01-06T01:00:00Z"}, a="timestamptz") == []
    assert found(index, {"a": "10"}, a="decimal") == [1, 2]
    assert found(index, {"a": "10"}) == [], "as text it is below both texts"


def test_kinds_without_order_ask_all_ranges_of_their_field() -> None:
    index = index_of({"a": {"$gt": "AA=="}}, {"a": {"$lt": "AA=="}}, {"b": {"$lt": "AA=="}})
    assert found(index, {"a": "AQ=="}, a="bytes") == [0, 1]


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"a": {"$ne": 1}},
        {"a": {"$nin": [1, 2]}},
        {"a": {"$exists": True}},
        {"a": {"$not": {"$gt": 1}}},
        {"a": {"x": 1}},
        {"a": [1, 2]},
        {"a": {"$in": [1, [2]]}},
        {"a": {"$contains": []}},
        {"a": {"$contains": {"x.y": 1}}},
        {"$or": [{"a": 1}, {"b": {"$ne": 1}}]},
        {"$or": [{"a": number, "b": number} for number in range(33)]},
        {"$or": [{name: {"$in": list(range(1000))}} for name in "abcde"]},
    ],
)
def test_what_no_index_finds_is_always_found(where: Any) -> None:
    assert branches(parse_where(where)) is None
    index = index_of(where, {"z": 1})
    assert found(index, {}) == [0]
    assert found(index, {"z": 1}) == [0, 1]


def test_what_never_matches_is_never_found() -> None:
    assert branches(parse_where({"a": {"$in": []}})) == ()
    index = index_of({"a": {"$in": []}})
    assert not index.tells_apart and list(index.all()) == [0]
    index.remove(0)
    assert len(index) == 0


def test_both_images_are_looked_up() -> None:
    index = index_of({"a": 1}, {"a": 2}, {"a": 3}, {"b": 1})
    assert found(index, {"a": 1, "b": 1}, {"a": 2, "b": 1}) == [0, 1, 3]
    assert found(index, {"a": 1}, {"a": 1}) == [0]


def test_several_equalities_together_are_as_selective_as_one_on_all() -> None:
    """And each of two moves of one field finds the old and the new pair, not the cross of both."""
    pairs = [{"a": a, "b": b} for a in range(20) for b in range(20)]
    index = index_of(*pairs)
    for row in pairs[::37]:
        assert found(index, row) == [pairs.index(row)]
    assert found(index, {"a": 1, "b": 2}, {"a": 3, "b": 4}) == [22, 64]
    assert found(index, {"a": 1, "b": 2}, {"a": 1, "b": 4}) == [22, 24]


def test_an_equality_that_many_share_is_told_apart_by_a_range() -> None:
    index = index_of(*({"done": False, "price": {"$gte": at, "$lt": at + 1}} for at in range(100)))
    assert found(index, {"done": False, "price": 7.5}) == [7]
    assert found(index, {"done": True, "price": 7.5}) == []
    for number in range(100):
        if number != 7:
            index.remove(number)
    assert found(index, {"done": False, "price": 7.5}) == [7]
    index.remove(7)
    assert not index.tells_apart


def test_of_several_equalities_one_that_few_share_is_taken() -> None:
    wheres = [{"group": "g", "owner": f"u{number}", "gone": None} for number in range(500)]
    index = index_of(*wheres)
    assert found(index, {"group": "g", "owner": "u7", "gone": None}) == [7]
    assert found(index, {"group": "g", "owner": "nobody", "gone": None}) == []
    assert found(index, {"group": "other", "owner": "u499"}) == [499], "filed by its owner alone"
    assert found(index, {"gone": None}) == []


def test_one_query_cannot_fill_the_index() -> None:
    """The product of its keys is bounded, also where others make its buckets split."""
    many = [{name: {"$in": list(range(500))} for name in "abcd"} for _ in range(12)]
    index: Index[int] = Index()
    for number, where in enumerate(many):
        index.add(number, branches(parse_where(where)))
    assert found(index, dict.fromkeys("abcd", 1)) == list(range(12))
    assert found(index, {}) == []


@pytest.mark.parametrize("unit", [1, 0.01, 2.0**-70, 2.0**140, 2.0**880, 1 << 100])
@pytest.mark.parametrize("shift", [0, -20])
def test_intervals_come_and_go(unit: float, shift: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_ranges, "_BLOCK", 4)
    spans = [(low, high) for low in range(shift, shift + 40, 3) for high in range(low, shift + 40, 5)]
    places = [(low, None) for low in range(shift, shift + 40, 2)] * 2
    bounds: list[tuple[int | None, int | None]] = [*spans, *places, *((high, low) for low, high in places)]
    intervals: Intervals[int] = Intervals()

    def scaled(code: int | None) -> Any:
        return None if code is None else code * unit

    def check(present: Iterable[int]) -> None:
        for code in range(shift - 1, shift + 42):
            found: tuple[list[int], list[int], list[int]] = ([], [], [])
            intervals.at(code * unit, *found)
            expected: tuple[list[int], list[int], list[int]] = ([], [], [])
            for number in present:
                low, high = bounds[number]
                if (low is None or low <= code) and (high is None or code <= high):
                    is_open = (code == low and number & LOW_IS_OPEN) or (
                        code == high and number & HIGH_IS_OPEN
                    )
                    expected[(2 if is_open else 1) if code in (low, high) else 0].append(number)
            assert tuple(map(sorted, found)) == expected

    order = Random(3).sample(range(len(bounds)), len(bounds))
    for number in order:
        intervals.add(*map(scaled, bounds[number]), number, number)
    check(range(len(bounds)))
    for number in order[:-20]:
        intervals.remove(*map(scaled, bounds[number]), number)
    check(sorted(order[-20:]))
    for number in order[-20:]:
        intervals.remove(*map(scaled, bounds[number]), number)
    assert not intervals


def test_codes_keep_the_order() -> None:
    numbers = [float("-inf"), -(2**70), -1.5, -1, 0, 5e-324, 0.1, 1, 2**53, 1e300, float("inf")]
    assert sorted(numbers, key=number_code) == numbers
    assert number_code(-0.0) == number_code(0)
    texts = ["", "\0a", "A", "a", "aa", "é", "￿", "𝒳", "𝒳" * 9]
    assert sorted(texts, key=text_code) == texts
    assert text_code("\ud800") > text_code("é")


def test_a_literal_has_a_key_for_every_reading() -> None:
    assert literal_keys("closed") == {"closed"}
    assert literal_keys("12.50") == {"12.50", ("n", 12.5)}
    assert literal_keys(str(2**60)) >= {str(2**60), 2.0**60}, "also beside numbers that are no texts"
    assert literal_keys(10**400) == literal_keys(10**500) == {float("inf")}
    assert literal_keys(True).isdisjoint(literal_keys(1))


@pytest.mark.parametrize(
    ("where", "row", "known"),
    [
        ({"a": 1}, {"a": 1}, AFTER),
        ({"a": 1}, {"a": [1]}, MAYBE_AFTER),
        ({"a": "x"}, {"a": "x"}, AFTER),
        ({"a": True}, {"a": True}, AFTER),
        ({"a": None}, {}, AFTER),
        ({"a": {"$in": [1, "x"]}}, {"a": "x"}, AFTER),
        ({"a": {"$contains": "x"}}, {"a": "x"}, AFTER),
        ({"a.b": 1}, {"a": {"b": 1}}, AFTER),
        ({"a": 2**60}, {"a": 2**60 + 1}, MAYBE_AFTER),
        ({"a": 1, "b": 2}, {"a": 1, "b": 2}, MAYBE_AFTER),
        ({"$or": [{"a": 1}, {"b": 2}]}, {"a": 0, "b": 2}, AFTER),
        ({"a": {"$gt": 1}}, {"a": 2}, AFTER),
        ({"a": {"$gte": 1}}, {"a": 1}, AFTER),
        ({"a": {"$gte": 1}}, {"a": [1]}, MAYBE_AFTER),
        ({"a": {"$gte": "a"}}, {"a": "a"}, MAYBE_AFTER),
        ({"a": {"$gte": 2**60}}, {"a": 2**60}, MAYBE_AFTER),
        ({"a": {"$gte": 1, "$lte": 1}}, {"a": 1}, AFTER),
        ({"a": {"$gte": "b", "$lt": "d"}}, {"a": "c"}, AFTER),
        ({"a": {"$gte": 1, "$lt": 5}}, {"a": 3}, AFTER),
        ({"a": {"$gt": 1, "$gte": 2}}, {"a": 3}, MAYBE_AFTER),
        ({"a": {"$like": "b%"}}, {"a": "bc"}, MAYBE_AFTER),
    ],
)  # fmt: skip
def test_what_is_found_by_all_that_it_says_need_not_be_asked(where: Any, row: Row, known: int) -> None:
    assert index_of(where).touched_by(row, None, None) == {0: known}


def test_what_is_known_of_each_row() -> None:
    index = index_of({"a": 1}, {"a": 2}, {"a": {"$gte": 1}}, {"b": 1})
    assert index.touched_by({"a": 1, "b": 1}, {"a": 2, "b": 1}, None) == {
        0: AFTER,
        1: BEFORE,
        2: AFTER | BEFORE,
        3: AFTER | BEFORE,
    }
    assert index.touched_by(None, {"a": 2}, None) == {1: BEFORE, 2: BEFORE}
    assert index_of({"a": 1}).touched_by({"a": True}, {"a": 1}, None) == {0: BEFORE}, (
        "Python calls them equal"
    )
    assert index_of({"a": {"$gt": 1}}).touched_by({"a": 1}, None, None) == {}, "an end that is outside"
    assert index_of({"b": {"$ne": 1}}).touched_by({}, {}, None) == {0: MAYBE_AFTER | MAYBE_BEFORE}


def test_equalities_that_are_told_apart_need_not_be_asked() -> None:
    index = index_of(*({"done": False, "price": {"$gte": at, "$lt": at + 2}} for at in range(100)))
    assert index.touched_by({"done": False, "price": 7.5}, None, None) == {6: AFTER, 7: AFTER}
