"""The order of a live query as ORDER BY for MySQL and MariaDB, as far as it is that of `broadcaster.order`. (pure)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from broadcaster.order import Order, SortField
from broadcaster.snapshot.mysql_conditions import kind_of
from broadcaster.snapshot.mysql_terms import quoted, type_numbers
from broadcaster.snapshot.mysql_text import ONE_SPELLING
from cdc.mysql.table import Column

_PLAIN: Final = frozenset({
    "tinyint", "smallint", "mediumint", "int", "bigint", "bit", "decimal", "float", "double", "year", "date",
    "datetime", "timestamp", "time",
})  # fmt: skip
_TEXT: Final = frozenset({"char", "varchar"})
_BINARY: Final = frozenset({"binary", "varbinary"})
_SORTED_BYTES: Final = 1024
"""Of longer values the servers sort by the first bytes only (`max_sort_length`)."""
_BYTES_PER_CHARACTER: Final = 4


def order_by(order: Order, key: Sequence[str], columns: Mapping[str, Column]) -> tuple[str, int]:
    """(terms, how many fields of the order, then of the primary key, they stand for). columns: by name. Both servers
    put nulls first, and last where the order is descending, as is wanted."""
    terms: list[str] = []
    pushed = 0
    for field in [*order.sort, *map(SortField, key)]:
        column = columns.get(field.path)
        expressions = () if column is None else _expressions(column)
        if not expressions:
            break
        terms += [f"{expression} {'DESC' if field.descending else 'ASC'}" for expression in expressions]
        pushed += 1
    return ", ".join(terms), pushed


def _expressions(column: Column) -> tuple[str, ...]:
    """What to sort by, for values of this column; nothing where no order of the server's will do."""
    name, kind = quoted(column.name), kind_of(column)
    if kind in _PLAIN:
        return (name,)
    if kind == "boolean":  # of a `tinyint(1)`, what is neither false nor true is a number
        return f"{name} IN (0, 1)", name
    length, _ = type_numbers(column) or (_SORTED_BYTES + 1, 0)
    if kind in _BINARY and length <= _SORTED_BYTES:
        return (name,)
    if kind in _TEXT and column.charset in ONE_SPELLING and length * _BYTES_PER_CHARACTER <= _SORTED_BYTES:
        return (f"CAST(CONVERT({name} USING utf8mb4) AS BINARY)",)
    return ()
