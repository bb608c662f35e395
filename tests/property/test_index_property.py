"""The index against asking every query: none that a row matches is missed, whatever comes and goes, and of none that is
asked no more the answer would have been another."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_query_property import LITERALS_BY_KIND, PLAIN, PLAIN_POOL, VALUES_BY_KIND, rows, wheres

from broadcaster import index_tree
from broadcaster.evaluate import compile_predicate, decode_row
from broadcaster.index import AFTER, BEFORE, MAYBE_AFTER, MAYBE_BEFORE, Index
from broadcaster.index_terms import branches
from broadcaster.predicate import Node
from broadcaster.query import parse_where

KINDS = sorted(LITERALS_BY_KIND)


@st.composite
def narrow_wheres(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """What an index is for: equalities and two-sided ranges, several at once."""
    scalars = PLAIN | st.sampled_from(LITERALS_BY_KIND[kind])
    bounds = scalars.filter(lambda value: value is not None)
    condition = st.one_of(
        scalars,
        st.fixed_dictionaries({"$in": st.lists(scalars, max_size=3)}),
        st.fixed_dictionaries({"$gt": bounds, "$lt": bounds}),
        st.fixed_dictionaries({"$gte": bounds, "$lte": bounds}),
        st.fixed_dictionaries({"$gte": bounds}),
        st.fixed_dictionaries({"$contains": bounds | st.lists(scalars, max_size=3)}),
        st.fixed_dictionaries({"$contains": st.dictionaries(st.sampled_from("xy0"), scalars, max_size=2)}),
    )
    fields = st.sampled_from(["a", "b", "k", "k", "n.x", "n"])
    where: dict[str, Any] = draw(st.dictionaries(fields, condition, min_size=1, max_size=3))
    if draw(st.booleans()):
        where["$or"] = draw(st.lists(st.dictionaries(fields, condition, max_size=2), min_size=1, max_size=3))
    return where


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Any], str]:
    """Steps: a query that comes, ("leave", which) one that leaves, ("row", …) a change to judge."""
    kind = draw(st.sampled_from(KINDS))
    query = st.tuples(st.just("come"), narrow_wheres(kind) | wheres(kind))
    leave = st.tuples(st.just("leave"), st.integers(0, 100))
    change = st.tuples(st.just("change"), rows(), rows(), st.sampled_from("cud"))
    steps = draw(st.lists(st.one_of(query, query, query, leave, change), min_size=5, max_size=40))
    return [*steps, *draw(st.lists(change, min_size=4, max_size=4))], kind


def check(index: Index[int], nodes: dict[int, Node], before: Any, after: Any, types: dict[str, str]) -> None:
    found = index.touched_by(after, before, types)
    assert found.keys() <= nodes.keys()
    for number, node in nodes.items():
        test = compile_predicate(node)
        known = found.get(number, 0)
        for row, is_sure, is_open in ((after, AFTER, MAYBE_AFTER), (before, BEFORE, MAYBE_BEFORE)):
            is_match = row is not None and test(row, types)
            case = node, row, types, known
            assert known & (is_sure | is_open) or not is_match, ("missed", case)
            assert not known & is_sure or is_match, ("taken for a match", case)


@pytest.mark.parametrize("split", [0, 1, 64])
@settings(max_examples=250)
@given(histories())
def test_what_matches_is_found(split: int, history: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index_tree, "_SPLIT", split)
        index: Index[int] = Index()
        nodes: dict[int, Node] = {}
        for step, (what, *details) in enumerate(history[0]):
            if what == "come":
                nodes[step] = parse_where(details[0])
                index.add(step, branches(nodes[step]))
            elif what == "leave" and nodes:
                number = sorted(nodes)[details[0] % len(nodes)]
                del nodes[number]
                index.remove(number)
            elif what == "change":
                (after, types), (before, _), op = details
                after, before = (decode_row(json.dumps(row).encode()) for row in (after, before))
                check(index, nodes, None if op == "c" else before, None if op == "d" else after, types)
            assert len(index) == len(nodes)
        for number in nodes:
            index.remove(number)
        assert not index.tells_apart
        assert not index.touched_by({}, None, None)


@pytest.mark.parametrize("kind", ["plain", *VALUES_BY_KIND])
def test_every_value_beside_every_literal_is_found(kind: str) -> None:
    """What random cases meet too rarely: the very values at which two readings part."""
    literals = [*PLAIN_POOL, *LITERALS_BY_KIND.get(kind, [])]
    bounds = [item for item in literals if item is not None and not isinstance(item, (list, dict))]
    conditions: list[Any] = [{"$eq": literal} for literal in literals]
    conditions += [{"$in": [literal, "never"]} for literal in literals]
    conditions += [{op: bound} for bound in bounds for op in ("$gt", "$gte", "$lt", "$lte")]
    conditions += [{"$exists": False}, {"$in": [None, 1]}]
    pairs = [{"$gte": low, "$lte": high} for low in bounds for high in bounds[::3]]
    index: Index[int] = Index()
    nodes: dict[int, Node] = {}
    for path in ("k", "k.0", "k.x"):
        for condition in [*conditions, *pairs] if path == "k" else conditions:
            node = parse_where({path: condition})
            nodes[len(nodes)] = node
            index.add(len(nodes) - 1, branches(node))
    tests = {number: compile_predicate(node) for number, node in nodes.items()}
    values = VALUES_BY_KIND.get(kind, PLAIN_POOL)
    cases: list[tuple[dict[str, Any], dict[str, str]]] = [({"k": value}, {"k": kind}) for value in values]
    cases += [({"k": [value, None]}, {"k": f"{kind}[]"}) for value in values]
    cases += [({"k": [value, values[0]]}, {"k": f"{kind}[]"}) for value in values]
    cases += [({"k": {"x": value}}, {"k.x": kind}) for value in values]
    cases += [({"k": [{"x": value}, {"x": values[-1]}]}, {"k.x": kind}) for value in values]
    cases += [({}, {}), ({"k": []}, {}), ({"k": [[]]}, {}), ({"k": {}}, {})]
    for row, types in cases:
        found = index.touched_by(row, None, types)
        for number, test in tests.items():
            known, is_match = found.get(number, 0), test(row, types)
            assert known or not is_match, ("missed", nodes[number], row, types)
            assert not known & AFTER or is_match, ("taken for a match", nodes[number], row, types)
