"""The compiled predicate against the reference, and the algebra that everything else relies on."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcaster.console_report import where_of
from broadcaster.evaluate import compile_predicate, decode_row
from broadcaster.predicate import FALSE, TRUE, all_of, any_of, canonical, conjunction, fields, negate
from broadcaster.query import parse_where
from support.reference_evaluator import matches

SAFE = 2**53 - 1
NUMBERS = st.sampled_from(
    [
        0,
        1,
        -1,
        2,
        1.0,
        0.1,
        -0.0,
        1.5,
        SAFE,
        SAFE + 1,
        SAFE + 2,
        -SAFE - 2,
        9007199254740992.0,
        1e23,
        10**23,
        10**30,
    ]
) | st.integers(-3, 3)
WIDE = ["9007199254740992", "9007199254740993", "-9007199254740993", "100000000000000000000000"]
TEXTS = st.sampled_from(
    ["", "a", "b", "B", "é", "𝒳", "￿", "1", "01", "true", "NaN", "Infinity", "-Infinity", *WIDE]
)
INSTANTS = [
    "2024-01-05", "2024-01-05T00:00:00", "2024-01-05T00:00:00Z", "2024-01-05T10:20:30.5",
    "2024-01-05T10:20:30.500001Z", "2024-01-05 12:20:30.5+02:00", "2024-01-05T24:00:00",
    "2024-01-05T10:20:30.5+24:00", "2024-01-06", "0044-03-15 BC", "0001-01-01", "0001-12-31 BC",
    "12345-06-07T08:09:10", "infinity", "-infinity", "2023-02-29", "2024-02-29", "0000-00-00",
    "2024-01-05T10:20", "9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999999Z", "4713-01-01 BC",
    "2024-01-05T10:20:30,5Z"[:19],
]  # fmt: skip
LITERALS_BY_KIND: dict[str, list[Any]] = {
    "decimal": ["1", "1.0", "0.10", "NaN", "Infinity", "-Infinity", "1e2", "100", "9007199254740993", "-0", "x", ".5"],
    "int64": [*WIDE, "5", 5, "x"],
    "float": ["NaN", "Infinity", "-Infinity", "1"],
    "date": INSTANTS,
    "timestamp": INSTANTS,
    "timestamptz": INSTANTS,
    "time": ["10:00", "10:00:00", "10:00:00.5", "24:00:00", "-01:00:00", "10:61", "838:59:59", "10:00:00.500000"],
    "uuid": [
        "7e57d004-2b97-0e7a-b45f-5387367791cd", "7E57D004-2B97-0E7A-B45F-5387367791CD",
        "8e57d004-2b97-0e7a-b45f-5387367791cd", "7e57d004",
    ],
    "bytes": ["", "AA==", "AP8=", "/w==", "AA", "?"],
    "interval": ["P1D", "P1M", "PT1H"],
}  # fmt: skip
VALUES_BY_KIND: dict[str, list[Any]] = {
    **LITERALS_BY_KIND,
    "decimal": ["1", "1.0", "0.10", "NaN", "Infinity", "-Infinity", "100", "9007199254740993", "0", "-5.5", 1, 0.1],
    "int64": WIDE,
    "float": ["NaN", "Infinity", "-Infinity", 1, 1.5],
    "date": ["2024-01-05", "2024-01-06", "0044-03-15 BC", "12345-06-07", "infinity", "-infinity"],
    "timestamp": ["2024-01-05T00:00:00", "2024-01-05T10:20:30.5", "0044-03-15T01:02:03 BC", "infinity",
        "9999-12-31T23:59:59.999999"],
    "timestamptz": ["2024-01-05T00:00:00Z", "2024-01-05T10:20:30.5Z", "0044-03-15T01:02:03Z BC",
        "12345-06-07T08:09:10Z", "-infinity"],
    "time": ["10:00:00", "10:00:00.5", "24:00:00", "-01:00:00", "838:59:59"],
    "uuid": ["7e57d004-2b97-0e7a-b45f-5387367791cd", "8e57d004-2b97-0e7a-b45f-5387367791cd"],
    "bytes": [base64.b64encode(raw).decode() for raw in (b"", b"\0", b"\0\xff", b"\xff")],
}  # fmt: skip
PLAIN = st.none() | st.booleans() | NUMBERS | TEXTS
NESTED = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xy0"), inner, max_size=2),
    max_leaves=5,
)
LIKES = st.text("ab%_é𝒳1", max_size=5) | st.sampled_from(
    ["\\%", "a\\_%", "\\a\\\\%", "%a%b%", "NaN", "2024%"]
)
REGEXES = st.sampled_from(
    ["", "a", "^a", "B$", "[ab]+", "^.$", "é|𝒳", "a.b", "^(?:a|b)*$", "Infinity", r"\d{2}", r"^\S?$"]
)
PATHS = st.sampled_from(["a", "b", "c", "k", "k", "n", "n.x", "n.0", "n.x.y", "n.0.x", "k.0", "missing"])


@st.composite
def rows(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, str]]:
    """A row: plain columns, one of some kind (or an array of it), one nested document; and its types."""
    row: dict[str, Any] = {"a": draw(PLAIN), "b": draw(PLAIN), "n": draw(NESTED)}
    if draw(st.booleans()):
        row["c"] = draw(NESTED)
    kind = draw(st.sampled_from(sorted(VALUES_BY_KIND)))
    value = st.none() | st.sampled_from(VALUES_BY_KIND[kind])
    if draw(st.integers(0, 3)):
        row["k"] = draw(value)
        return row, {"k": kind}
    row["k"] = draw(st.lists(value | st.lists(value, max_size=2), max_size=3))
    return row, {"k": f"{kind}[]"}


def operators(kind: str) -> st.SearchStrategy[Any]:
    """What may stand beside a field: a bare value or a document of operators."""
    scalars = PLAIN | st.sampled_from(LITERALS_BY_KIND[kind]) | st.sampled_from(LITERALS_BY_KIND[kind])
    literals = scalars | NESTED | st.lists(scalars, max_size=2)
    ranges = scalars.filter(lambda value: value is not None)
    documents = st.one_of(
        st.fixed_dictionaries({"$eq": literals}),
        st.fixed_dictionaries({"$ne": literals}),
        st.fixed_dictionaries({"$in": st.lists(literals, max_size=4)}),
        st.fixed_dictionaries({"$nin": st.lists(literals, max_size=4)}),
        st.fixed_dictionaries({"$exists": st.booleans()}),
        st.fixed_dictionaries({"$contains": literals.filter(lambda value: value is not None)}),
        st.fixed_dictionaries({"$like": LIKES}),
        st.fixed_dictionaries({"$regex": REGEXES}, optional={"$options": st.sampled_from(["", "i", "ims"])}),
        st.dictionaries(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), ranges, min_size=1, max_size=2),
    )
    return literals | documents | documents | st.fixed_dictionaries({"$not": documents})


OPERATORS = {kind: operators(kind) for kind in LITERALS_BY_KIND}


@st.composite
def wheres(draw: st.DrawFn, kind: str, depth: int = 2) -> dict[str, Any]:
    logical = draw(st.sampled_from([None, None, "$and", "$or", "$nor", "$not"])) if depth else None
    if logical is None:
        return {draw(PATHS): draw(OPERATORS[kind]) for _ in range(draw(st.integers(1, 2)))}
    inner = wheres(kind, depth - 1)
    return {logical: draw(inner) if logical == "$not" else draw(st.lists(inner, min_size=1, max_size=3))}


@st.composite
def cases(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    row, types = draw(rows())
    return draw(wheres(types["k"].removesuffix("[]"))), row, types


PLAIN_POOL = [
    None, True, False, 0, 1, 1.0, 0.1, -2.5, SAFE, SAFE + 1, SAFE + 2, -SAFE - 2, float(SAFE + 1), 1e23,
    10**23, 10**23 + 1, "", "a", "B", "\uffff", "\U0001d4b3", "1", "NaN", "Infinity", "-Infinity", *WIDE,
    [1], ["1", None], {"x": 1}, {"x": None},
]  # fmt: skip


@pytest.mark.parametrize("kind", ["plain", *VALUES_BY_KIND])
def test_every_value_beside_every_literal(kind: str) -> None:
    """What random cases meet too rarely: the very values at which two readings part."""
    literals = [*PLAIN_POOL, *LITERALS_BY_KIND.get(kind, [])]
    values = VALUES_BY_KIND.get(kind, PLAIN_POOL)
    rows = [({"k": value}, {"k": kind}) for value in values]
    rows += [({"k": [value, None]}, {"k": f"{kind}[]"}) for value in values]
    rows += [({"k": {"x": value}}, {"k.x": kind}) for value in values]
    for literal in literals:
        wheres: list[dict[str, Any]] = [{path: {"$eq": literal}} for path in ("k", "k.0", "k.x")]
        wheres += [
            {"k": {"$in": [literal, "never"]}},
            {"k": {"$eq": [literal, None]}},
            {"k": {"$eq": {"x": literal}}},
        ]
        if literal is not None and not isinstance(literal, (list, dict)):
            wheres += [
                {path: {op: literal}} for path in ("k", "k.x") for op in ("$gt", "$gte", "$lt", "$lte")
            ]
        for where in wheres:
            predicate = compile_predicate(parse_where(where))
            for row, types in rows:
                assert predicate(row, types) == matches(where, row, types), (where, row, types)


@settings(max_examples=1500)
@given(cases())
def test_compiled_predicate_means_what_the_reference_says(case: Any) -> None:
    where, row, types = case
    row = decode_row(json.dumps(row).encode())
    predicate = compile_predicate(parse_where(where))
    assert predicate(row, types) == matches(where, row, types)
    assert predicate(row) == predicate(row, {}) == matches(where, row, {})
    assert predicate.for_types(types)(row) == predicate(row, types)


@settings(max_examples=300)
@given(cases(), cases())
def test_complement_de_morgan_and_conjunction(one: Any, other: Any) -> None:
    (first_where, row, types), second_where = one, other[0]
    first, second = parse_where(first_where), parse_where(second_where)

    def holds(node: Any) -> bool:
        return compile_predicate(node)(row, types)

    assert holds(negate(first)) is not holds(first)
    assert negate(negate(first)) == first
    assert holds(conjunction(first, second)) == (holds(first) and holds(second))
    assert negate(any_of((first, second))) == all_of((negate(first), negate(second)))
    assert all_of((first, negate(first), FALSE)) == FALSE
    assert any_of((first, TRUE)) == TRUE


@settings(max_examples=300)
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_siblings_and_repeats_do_not_matter(case: Any, random: Any) -> None:
    where, _, _ = case

    def shuffled(node: Any, of_conditions: bool) -> Any:
        if isinstance(node, dict):
            items = [
                (key, shuffled(value, key in ("$and", "$or", "$nor", "$in", "$nin")))
                for key, value in node.items()
            ]
            return dict(random.sample(items, len(items)))
        if isinstance(node, list) and of_conditions:
            items = [shuffled(item, False) for item in node]
            return random.sample(items + items[:1], len(items) + len(items[:1]))
        return node

    assert canonical(parse_where(shuffled(where, False))) == canonical(parse_where(where))
    assert fields(parse_where(where)) <= {"a", "b", "c", "k", "n", "missing"}


LITERALS = st.recursive(
    st.sampled_from([None, True, False, 0, 1, 1.0, 0.5, 1e23, 10**23, "", "1", "a,b", '"', "true"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("xy"), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=1000)
@given(LITERALS, LITERALS)
def test_two_literals_share_a_canonical_text_only_if_they_are_equal(one: Any, other: Any) -> None:
    first, second = canonical(parse_where({"a": {"$eq": one}})), canonical(parse_where({"a": {"$eq": other}}))
    first.encode("ascii")
    # Inside an array, so that only the whole literal decides.
    assert (first == second) == matches({"a": {"x": [one]}}, {"a": {"x": [other]}})


JSON_TEXT = st.recursive(
    st.sampled_from(["1e400", "-1e400", "1e99999999999999999999", "1e-400", "-0", "9" * 5000, "null", "true"])
    | st.sampled_from([r'"\ud800"', r'"\ud83d\ude00 \u0000"', '"\u2028é"', r'"\"\\{[,:"'])
    | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    | st.integers().map(str),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[ {' , '.join(items)}]")
        | st.lists(inner, max_size=3).map(
            lambda items: "{" + ",".join(f'"k{i}" :{item}' for i, item in enumerate(items)) + " }"
        )
    ),
    max_leaves=8,
)


@settings(max_examples=300)
@given(JSON_TEXT)
def test_rows_decode_whatever_json_they_hold(text: str) -> None:
    row = decode_row(f'{{"v":{text}}}'.encode())
    try:
        assert row == msgspec.json.decode(f'{{"v":{text}}}')
    except msgspec.DecodeError:
        assert list(row) == ["v"]


@settings(max_examples=500)
@given(cases())
def test_a_predicate_as_a_where_means_the_same(case: Any) -> None:
    node = parse_where(case[0])
    assert parse_where(json.loads(json.dumps(where_of(node)))) == node
