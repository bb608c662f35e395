from __future__ import annotations

from typing import Any

import pytest

from broadcaster.errors import CODES, RequestError
from broadcaster.predicate import FALSE, TRUE, canonical, conjunction, fields, leaves, negate
from broadcaster.query import QueryLimits, parse_where


def text(where: Any) -> str:
    return canonical(parse_where(where))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, "true"),
        ({"a": 1}, 'eq("a",1)'),
        ({"a": {"$like": r"%%a\b\%"}}, r'like("a","%ab\\%")'),
        ({"a": {"$options": "mii", "$regex": "^a"}}, 'regex("a","^a",im)'),
        ({"a": {"$not": {"$regex": "a"}}}, 'not(regex("a","a",))'),
        ({"a": {"$contains": {"y": [1.0], "x": "b"}}}, 'contains("a",{"x":"b","y":[1]})'),
        ({"a": None}, 'eq("a",null)'),
        ({"a": True}, 'eq("a",true)'),
        ({"a": {"$ne": 1}}, 'not(eq("a",1))'),
        ({"a": {"$gt": 1, "$lte": 5}}, 'and(gt("a",1),lte("a",5))'),
        ({"a": {"x": 1}}, 'eq("a",{"x":1})'),
        ({"a": {}}, 'eq("a",{})'),
        ({"a": [1, "x", [None]]}, 'eq("a",[1,"x",[null]])'),
        ({"a": {"$in": []}}, "false"),
        ({"a": {"$nin": []}}, "true"),
        ({"a": {"$in": [2, 1, 2.0]}}, 'in("a",1,2)'),
        ({"a": {"$nin": [1]}}, 'not(eq("a",1))'),
        ({"a": {"$exists": True}}, 'exists("a")'),
        ({"a": {"$exists": False}}, 'not(exists("a"))'),
        ({"a.b.0": 1}, 'eq("a.b.0",1)'),
        ({"b": 1, "a": 1}, 'and(eq("a",1),eq("b",1))'),
        ({"b": 1, "$or": [{"a": 1}, {"a": 2}]}, 'and(eq("b",1),or(eq("a",1),eq("a",2)))'),
        ({"$or": [{"a": 1}, {}]}, "true"),
        ({"$and": [{"a": 1}, {"$nor": [{}]}]}, "false"),
        ({"$not": {"a": 1, "b": 2}}, 'or(not(eq("a",1)),not(eq("b",2)))'),
        ({"$nor": [{"a": 1}, {"b": 2}]}, 'and(not(eq("a",1)),not(eq("b",2)))'),
        ({"a": {"$not": {"$gt": 5}}}, 'not(gt("a",5))'),
        ({"a": {"$not": {"$not": {"$gt": 5}}}}, 'gt("a",5)'),
        ({"a": {"$not": {"$gt": 5, "$lt": 9}}}, 'or(not(gt("a",5)),not(lt("a",9)))'),
    ],
)
def test_what_it_becomes(where: Any, expected: str) -> None:
    assert text(where) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": 1.0}),
        ({"a": 1}, {"a": {"$eq": 1}}),
        ({"a": 1}, {"a": {"$in": [1]}}),
        ({"a": 0}, {"a": -0.0}),
        ({"a": 1e23}, {"a": 10**23}),
        ({"a": 9007199254740992.0}, {"a": 2**53}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}),
        ({"a": {"$ne": 1}}, {"a": {"$not": {"$eq": 1}}}),
        ({"$or": [{"a": 1}]}, {"a": 1}),
        (
            {"$or": [{"a": 1}, {"$or": [{"b": 1}, {"c": 1}]}]},
            {"$or": [{"c": 1}, {"b": 1}, {"a": 1}, {"b": 1}]},
        ),
        ({"$and": [{"a": 1}, {"$and": [{"b": 1}, {"a": 1}]}]}, {"b": 1, "a": 1}),
        ({"$nor": [{"a": 1}, {"b": 1}]}, {"$not": {"$or": [{"b": 1}, {"a": 1}]}}),
        ({"$not": {"$not": {"a": 1}}}, {"a": 1}),
    ],
)
def test_same_meaning_same_text(one: Any, other: Any) -> None:
    assert parse_where(one) == parse_where(other)
    assert hash(parse_where(one)) == hash(parse_where(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1}, {"a": True}),
        ({"a": 1}, {"a": "1"}),
        ({"a": None}, {"a": "null"}),
        ({"a": None}, {"a": {"$exists": False}}),
        ({"a": "x,y"}, {"a": {"$in": ["x", "y"]}}),
        ({"a": [1, 2]}, {"a": {"$in": [1, 2]}}),
        ({"a": 2**53}, {"a": 2**53 + 1}),
        ({"a": {"$gt": 1}}, {"a": {"$not": {"$lte": 1}}}),
        ({"a": '"'}, {"a": '\\"'}),
    ],
)
def test_other_meaning_other_text(one: Any, other: Any) -> None:
    assert parse_where(one) != parse_where(other)


@pytest.mark.parametrize(
    ("where", "code", "path"),
    [
        (None, "bad_where", "$.where"),
        ([], "bad_where", "$.where"),
        ("x", "bad_where", "$.where"),
        ({"$or": [{}, 1]}, "bad_where", "$.where.$or[1]"),
        ({"": 1}, "bad_where", "$.where."),
        ({"a..b": 1}, "bad_where", "$.where.a..b"),
        ({"a.$b": 1}, "bad_where", "$.where.a.$b"),
        ({1: 1}, "bad_where", "$.where"),
        ({"$where": "1"}, "unknown_operator", "$.where.$where"),
        ({"$gt": 5}, "unknown_operator", "$.where.$gt"),
        ({"a": {"$gtt": 5}}, "unknown_operator", "$.where.a.$gtt"),
        ({"a": {"$or": []}}, "unknown_operator", "$.where.a.$or"),
        ({"$or": [{"b": 1}, {"age": {"$gt": None}}]}, "bad_operand", "$.where.$or[1].age.$gt"),
        ({"a": {"$gt": [1]}}, "bad_operand", "$.where.a.$gt"),
        ({"a": {"$lte": {"x": 1}}}, "bad_operand", "$.where.a.$lte"),
        ({"a": {"$in": 1}}, "bad_operand", "$.where.a.$in"),
        ({"a": {"$in": [1, {"$gt": 1}]}}, "bad_operand", "$.where.a.$in[1].$gt"),
        ({"a": {"$exists": 1}}, "bad_operand", "$.where.a.$exists"),
        ({"a": {"$not": 1}}, "bad_operand", "$.where.a.$not"),
        ({"a": {"$not": {}}}, "bad_operand", "$.where.a.$not"),
        ({"a": {"$not": {"x": 1}}}, "bad_operand", "$.where.a.$not"),
        ({"a": {"$gt": 1, "x": 1}}, "bad_operand", "$.where.a"),
        ({"a": {"x": {"$gt": 1}}}, "bad_operand", "$.where.a.x.$gt"),
        ({"a": {1: 1}}, "bad_operand", "$.where.a"),
        ({"$or": {}}, "bad_operand", "$.where.$or"),
        ({"$and": []}, "bad_operand", "$.where.$and"),
        ({"a": float("nan")}, "bad_operand", "$.where.a"),
        ({"a": [float("inf")]}, "bad_operand", "$.where.a[0]"),
        ({"a": b"x"}, "bad_operand", "$.where.a"),
        ({"a": 1 << 5000}, "bad_operand", "$.where.a"),
        ({".".join("a" * 33): 1}, "where_too_deep", None),
        ({"a" * 1001: 1}, "where_too_deep", None),
        ({"a": [[[[[[[[[1]]]]]]]]]}, "where_too_deep", "$.where.a" + "[0]" * 9),
        ({"a": list(range(1000))}, "where_too_large", "$.where.a[999]"),
        ({"a": {"$nin": [0] * 1001}}, "in_too_large", "$.where.a.$nin"),
        ({"a": {"$like": 5}}, "bad_operand", "$.where.a.$like"),
        ({"a": {"$like": "a\\"}}, "bad_operand", "$.where.a.$like"),
        ({"a": {"$like": "a" * 1001}}, "pattern_too_long", "$.where.a.$like"),
        ({"a": {"$regex": "("}}, "bad_operand", "$.where.a.$regex"),
        ({"a": {"$regex": None}}, "bad_operand", "$.where.a.$regex"),
        ({"a": {"$regex": "a" * 1001}}, "pattern_too_long", "$.where.a.$regex"),
        ({"a": {"$regex": "a", "$options": "x"}}, "bad_operand", "$.where.a.$options"),
        ({"a": {"$regex": "a", "$options": 1}}, "bad_operand", "$.where.a.$options"),
        ({"a": {"$options": "i"}}, "bad_operand", "$.where.a.$options"),
        ({"a": {"$contains": None}}, "bad_operand", "$.where.a.$contains"),
        ({f"f{i}": 1 for i in range(101)}, "where_too_large", "$.where.f100"),
        ({f"f{i}": {"$in": list(range(1000))} for i in range(11)}, "where_too_large", "$.where.f10.$in[0]"),
        ({"a": {"$in": [[i] for i in range(101)]}}, "where_too_large", "$.where.a.$in"),
        ({"a": {"$contains": [{"b": i} for i in range(101)]}}, "where_too_large", "$.where.a.$contains"),
        ({"a": {"$contains": {"b": [[[i]] for i in range(51)]}}}, "where_too_large", "$.where.a.$contains"),
        ({f"f{i}": {"$regex": ".{500}"} for i in range(5)}, "where_too_large", "$.where.f4.$regex"),
    ],
)
def test_refusals_name_code_and_path(where: Any, code: str, path: str | None) -> None:
    with pytest.raises(RequestError) as refused:
        parse_where(where)
    assert refused.value.code == code
    assert path is None or refused.value.path == path
    assert (refused.value.status, refused.value.retryable) == (400, False)
    assert len(str(refused.value.path)) < 1100


def test_hints() -> None:
    with pytest.raises(RequestError, match=r"did you mean \$gte\?"):
        parse_where({"a": {"$gtee": 5}})
    with pytest.raises(RequestError, match="write it as"):
        parse_where({"a": {"$and": []}})


@pytest.mark.parametrize("op", ["$and", "$or", "$nor", "$not"])
def test_nesting_is_bounded(op: str) -> None:
    where: Any = {"a": 1}
    for _ in range(8):
        where = {op: where if op == "$not" else [where]}
    parse_where(where)
    with pytest.raises(RequestError) as refused:
        parse_where({op: where if op == "$not" else [where]})
    assert refused.value.code == "where_too_deep"
    # Far beyond the interpreter's own limit.
    for _ in range(5000):
        where = {"$not": where}
    with pytest.raises(RequestError):
        parse_where(where)


def test_limits_are_the_callers() -> None:
    limits = QueryLimits(depth=1, conditions=2, in_items=3, pattern_characters=2)
    parse_where({"$or": [{"a": {"$in": [1, 2, 3]}}, {"b": 1}]}, limits)
    for where, code in [
        ({"$or": [{"$not": {"a": 1}}]}, "where_too_deep"),
        ({"a": {"$not": {"$not": {"$gt": 1}}}}, "where_too_deep"),
        ({"a": {"$gt": 1, "$lt": 2, "$ne": 1}}, "where_too_large"),
        ({"a": {"$in": [1, 2, 3, 4]}}, "in_too_large"),
        ({"a": {"$like": "abc"}}, "pattern_too_long"),
    ]:
        with pytest.raises(RequestError) as refused:
            parse_where(where, limits)
        assert refused.value.code == code


def test_the_path_starts_where_the_caller_says() -> None:
    with pytest.raises(RequestError) as refused:
        parse_where({"a": {"$gt": None}}, at="$.subscriptions[3].where")
    assert refused.value.path == "$.subscriptions[3].where.a.$gt"


def test_fields_and_leaves() -> None:
    node = parse_where({"a.b": 1, "$or": [{"c": {"$ne": 1}}, {"d": {"$exists": True}}, {"a.x": None}]})
    assert fields(node) == {"a", "c", "d"}
    assert sorted(leaf.path for leaf in leaves(node)) == ["a.b", "a.x", "c", "d"]
    assert fields(TRUE) == frozenset()


def test_conjunction_with_a_constant() -> None:
    node = parse_where({"a": 1})
    assert conjunction(node, TRUE) == node
    assert conjunction(node, FALSE) == FALSE
    assert conjunction(node, node) == node
    assert negate(TRUE) == FALSE
    assert node != 'eq("a",1)'


def test_every_code_has_a_status_of_the_contract_and_a_meaning() -> None:
    for code, (status, meaning) in CODES.items():
        assert code.replace("_", "").isalpha()
        assert status in (400, 401, 403, 404, 413, 429, 500, 503)
        assert meaning
    error = RequestError("overloaded", "later")
    assert (error.status, error.retryable, error.path, str(error)) == (503, True, None, "later")
