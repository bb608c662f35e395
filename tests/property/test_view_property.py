"""What of a row is shown equals what a plain walk over Python values keeps."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from broadcaster.evaluate import compile_predicate
from broadcaster.query import parse_where
from broadcaster.view import Projection, View

names = st.sampled_from(("a", "b", "c", "0", "1", "é", 'q"', "a.b"))
scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=3)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=12,
)
rows = st.dictionaries(names, values, max_size=4)
paths = st.lists(names.filter(lambda name: "." not in name), min_size=1, max_size=3).map(".".join)


def _only(value: Any, paths: list[list[str]]) -> Any:
    """Of a document or array what the paths lead to; None for what they lead through to nothing."""
    if isinstance(value, list):
        return [part for item in value if (part := _only(item, paths)) is not None]
    if not isinstance(value, dict):
        return None
    kept = {}
    for name, inner in value.items():
        below = [rest for first, *rest in paths if first == name]
        if [] in below:
            kept[name] = inner
        elif below and (part := _only(inner, below)) is not None:
            kept[name] = part
    return kept


def _without(value: Any, paths: list[list[str]]) -> Any:
    if isinstance(value, list):
        kept = []
        for index, item in enumerate(value):
            own = [rest for first, *rest in paths if first == str(index)]
            if [] not in own:
                kept.append(_without(_without(item, paths), own))
        return kept
    if isinstance(value, str) and paths and value.lstrip()[:1] in ("{", "["):
        return None
    if not isinstance(value, dict):
        return value
    kept_fields = {}
    for name, inner in value.items():
        below = [rest for first, *rest in paths if first == name]
        if [] not in below:
            kept_fields[name] = _without(inner, below)
    return kept_fields


def _shown(row: dict[str, Any], view: View) -> dict[str, Any]:
    if view.select is not None:
        row = _only(row, [["id"], *(path.split(".") for path in view.select)])
    row = _without(row, [path.split(".") for path in view.hidden])
    row = {name: value for name, value in row.items() if name not in view.hidden}
    return row | {name: json.loads(value) for name, value in view.forced}


@given(
    rows,
    st.none() | st.lists(paths, min_size=1, max_size=3),
    st.lists(paths, max_size=3),
    st.dictionaries(names, scalars, max_size=2),
)
def test_a_projection_is_a_plain_walk(
    row: dict[str, Any], select: list[str] | None, hidden: list[str], forced: dict[str, Any]
) -> None:
    row |= {"id": 1}
    view = View(
        None if select is None else tuple(select),
        (*hidden, *forced),
        tuple((name, json.dumps(value)) for name, value in forced.items()),
    )
    shown = Projection(view).doc(b'{"id":1}', json.dumps(row, indent=1).encode())
    assert json.loads(shown) == _shown(row, view)


@given(rows, paths, paths)
def test_a_condition_that_is_allowed_says_nothing_about_what_is_hidden(
    row: dict[str, Any], hidden: str, asked: str
) -> None:
    """It holds for the row as it is just where it holds for the row as it is shown."""
    view = View(hidden=(hidden,))
    if view.hides(asked) or any(segment.isdigit() for segment in hidden.split(".")):
        return
    shown = json.loads(Projection(view).doc(b"{}", json.dumps(row).encode()))
    for condition in ({"$exists": True}, {"$gt": 0}, {"$gt": ""}, None, True):
        test = compile_predicate(parse_where({asked: condition}))
        assert test(row) == test(shown), condition
