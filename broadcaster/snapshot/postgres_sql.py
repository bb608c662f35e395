"""A predicate as a WHERE condition for Postgres. (pure)

What Postgres selects is a superset of what the evaluator will keep: a condition is pushed down only as far as
Postgres' meaning contains the evaluator's, and marked exact only where both agree on every row. An exact condition can
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
from broadcaster.snapshot.postgres_conditions import COMPARISONS, ColumnInfo, like, present, quoted
from broadcaster.snapshot.pushed_down import ALWAYS, ANYTHING, NEVER, PushedDown, all_of, any_of, negated

_OTHER_SCALARS: Final = frozenset({
    "oid", "name", "char", "bytea", "time", "timetz", "interval", "inet", "cidr", "macaddr", "macaddr8",
    "money", "bit", "varbit", "xml", "citext", "tsvector", "tsquery", "pg_lsn", "point", "line", "lseg",
    "box", "path", "polygon", "circle", "int4range", "int8range", "numrange", "tsrange", "tstzrange",
    "daterange",
})  # fmt: skip


def push_down(node: Node, columns: Mapping[str, ColumnInfo]) -> PushedDown:
    """The node as SQL with %s placeholders, for the columns of one table by name (literal % are doubled).

    The condition is not true for a row only if the predicate is false for it; it raises no error whatever the literals
    are. Fields without a column, dotted paths and types not known here are left to the evaluator.
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


def _leaf(leaf: Leaf, columns: Mapping[str, ColumnInfo]) -> PushedDown:
    column = columns.get(leaf.path)
    if (
        column is None or "." in leaf.path
    ):  # a path leads into a document, never to a column with a dot in its name
        return ANYTHING
    scalar = column.type in COMPARISONS or column.type in _OTHER_SCALARS
    match leaf:
        case Exists():
            return present(column, exact=scalar)
        case In(_, items):
            return any_of(_merged([_equal(column, item, scalar) for item in items]))
        case Compare(_, Comparison.EQ, operand):
            return _equal(column, operand, scalar)
        case Like(_, pattern):
            return like(column, pattern)
        case Regex() | Contains():
            return present(column, exact=False)
        case Compare(_, op, operand):
            compare = COMPARISONS.get(column.type)
            return present(column, exact=False) if compare is None else compare(column, op, operand)


def _equal(column: ColumnInfo, literal: Literal, scalar: bool) -> PushedDown:
    if literal is None:
        # JSON null is not SQL NULL, and an array may hold NULLs.
        return PushedDown(f"{quoted(column.name)} IS NULL", (), True) if scalar else ANYTHING
    compare = COMPARISONS.get(column.type)
    if compare is None:
        return present(column, exact=False)
    if isinstance(literal, (tuple, Document)):
        return NEVER
    return compare(column, Comparison.EQ, literal)


def _merged(parts: Sequence[PushedDown]) -> list[PushedDown]:
    """Equalities that differ in their parameter only become one `= ANY`."""
    groups: dict[tuple[str, bool], list[PushedDown]] = {}
    for part in parts:
        groups.setdefault((part.sql, part.exact), []).append(part)
    merged = []
    for (sql, exact), group in groups.items():
        left, mark, cast = sql.partition(" = %s::")
        if len(group) > 1 and mark and len(group[0].params) == 1:
            array = ",".join(_element(part.params[0]) for part in group)
            merged.append(PushedDown(f"{left} = ANY(%s::{cast}[])", (f"{{{array}}}",), exact))
        else:
            merged.append(group[0])
    return merged


def _element(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
