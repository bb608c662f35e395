"""The order of a live query as ORDER BY for Postgres, as far as its order is that of `broadcaster.order`. (pure)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from broadcaster.order import Order, SortField
from broadcaster.snapshot.postgres_conditions import ColumnInfo, quoted

_PLAIN: Final = frozenset({
    "int2", "int4", "int8", "oid", "numeric", "float4", "float8", "bool", "date", "time", "timestamp", "timestamptz",
    "uuid", "bytea",
})  # fmt: skip
_TEXT: Final = frozenset({"text", "varchar", "enum"})


@dataclass(frozen=True, slots=True)
class Bands:
    """Conditions that part the rows, and in what order to read the parts: `where` → `order_by`, both SQL.

    pushed: how many fields of the order (then of the primary key) are the order in which the rows so come.
    """

    parts: Sequence[tuple[str, str]]
    pushed: int


def bands(order: Order | None, key: Sequence[str], columns: Mapping[str, ColumnInfo]) -> Bands:
    """columns: by name. Nulls are read apart, so that an index serves whichever way it has them."""
    fields = [] if order is None else [*order.sort, *map(SortField, key)]
    terms: list[tuple[SortField, str]] = []
    for field in fields:
        column = columns.get(field.path)
        expression = None if column is None else _expression(column)
        if expression is None:
            break
        terms.append((field, expression))
    if not terms:
        return Bands([("TRUE", "")], 0)
    first = terms[0][0]
    name = quoted(first.path)
    direction = "DESC" if first.descending else "ASC"
    rest = [_term(field, expression, field.path in key) for field, expression in terms[1:]]
    ordered = _order_by([f"{terms[0][1]} {direction}", *rest])
    if first.path in key:
        return Bands([("TRUE", ordered)], len(terms))
    parts = [(f"{name} IS NULL", _order_by(rest)), (f"{name} IS NOT NULL", ordered)]
    return Bands(parts[::-1] if first.descending else parts, len(terms))


def _expression(column: ColumnInfo) -> str | None:
    name = quoted(column.name)
    if column.type in _PLAIN:
        return name
    if column.type in _TEXT and column.utf8:
        return f'{name}{"::text" if column.type == "enum" else ""} COLLATE "C"'
    return None


def _term(field: SortField, expression: str, is_key: bool) -> str:
    if is_key:
        return f"{expression} {'DESC' if field.descending else 'ASC'}"
    return f"{expression} {'DESC NULLS LAST' if field.descending else 'ASC NULLS FIRST'}"


def _order_by(terms: Sequence[str]) -> str:
    return f" ORDER BY {', '.join(terms)}" if terms else ""
