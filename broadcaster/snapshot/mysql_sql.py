"""A predicate as a WHERE condition for MySQL and MariaDB. (pure)

What the server selects is a superset of what the evaluator will keep: a condition is pushed down only as far as the
server's meaning contains the evaluator's, and marked exact only where both agree on every row. An exact condition can
be negated, an inexact one cannot.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from broadcaster.predicate import (
    And,
    Compare,
    Comparison,
    Constant,
    Contains,
    Document,
    Exists,
    In,
    Leaf,
    Like,
    Literal,
    Node,
    Not,
    Or,
    Regex,
)
from broadcaster.snapshot import mysql_json
from broadcaster.snapshot.mysql_conditions import COMPARISONS, kind_of, like
from broadcaster.snapshot.mysql_terms import Condition, Equality, absent, present
from broadcaster.snapshot.pushed_down import ALWAYS, ANYTHING, NEVER, PushedDown, all_of, any_of, negated
from cdc.mysql.table import Column

_OTHER_SCALARS: Final = frozenset({"inet4", "inet6"})


def push_down(node: Node, columns: Mapping[str, Column]) -> PushedDown:
    """The node as SQL without placeholders, for the columns of one table by name.

    For a session with `time_zone = '+00:00'` and `sql_mode = ''`. The condition is not true for a row only if the
    predicate is false for it; it raises no error whatever the literals are. Fields without a column, paths into
    anything but JSON and types not known here are left to the evaluator.
    """
    match node:
        case Constant(value):
            return ALWAYS if value else NEVER
        case Not(leaf):
            return negated(_leaf(leaf, columns))
        case And(children):
            return all_of([push_down(child, columns) for child in children])
        case Or(children):
            return any_of([push_down(child, columns) for child in children])
        case _:
            return _leaf(node, columns)


def _leaf(leaf: Leaf, columns: Mapping[str, Column]) -> PushedDown:
    name, *segments = leaf.path.split(".")
    column = columns.get(name)
    if column is None:
        return ANYTHING
    kind = kind_of(column)
    if kind == "json":
        return _json_leaf(column, segments, leaf)
    if segments:
        return ANYTHING
    scalar = kind in COMPARISONS or kind in _OTHER_SCALARS
    match leaf:
        case Exists():
            return present(column, exact=scalar)
        case In(_, items):
            return _one_of([_equal(column, item, scalar) for item in items])
        case Compare(_, Comparison.EQ, operand):
            return _one_of([_equal(column, operand, scalar)])
        case Like(_, pattern):
            return like(column, pattern)
        case Regex() | Contains():
            return present(column, exact=False)
        case Compare(_, op, operand):
            compare = COMPARISONS.get(kind)
            return (
                present(column, exact=False) if compare is None else _one_of([compare(column, op, operand)])
            )


def _json_leaf(column: Column, segments: list[str], leaf: Leaf) -> PushedDown:
    match leaf:
        case In(_, items):
            return any_of([mysql_json.equal(column, segments, item) for item in items])
        case Compare(_, Comparison.EQ, operand):
            return mysql_json.equal(column, segments, operand)
        case _:
            return mysql_json.reached(column, segments)


def _equal(column: Column, literal: Literal, scalar: bool) -> Condition:
    if literal is None:
        return absent(column) if scalar else ANYTHING
    compare = COMPARISONS.get(kind_of(column))
    if compare is None:
        return present(column, exact=False)
    if isinstance(literal, (tuple, Document)):
        return NEVER
    return compare(column, Comparison.EQ, literal)


def _one_of(conditions: Sequence[Condition]) -> PushedDown:
    """The disjunction. Equalities of the same expressions become one `IN` each: the last expression decides, so that
    those before it may be tested apart."""
    parts = [each for each in conditions if isinstance(each, PushedDown)]
    groups: dict[tuple[tuple[str, ...], bool], list[Equality]] = {}
    for each in conditions:
        if isinstance(each, Equality):
            lefts = tuple(left for left, _ in each.pairs)
            groups.setdefault((lefts, each.exact), []).append(each)
    for (lefts, exact), group in groups.items():
        tests = [_in(left, [each.pairs[at][1] for each in group]) for at, left in enumerate(lefts)]
        parts.append(PushedDown(" AND ".join(tests), (), exact))
    return any_of(parts)


def _in(left: str, rights: list[str]) -> str:
    return f"{left} = {rights[0]}" if len(rights) == 1 else f"{left} IN ({', '.join(rights)})"
