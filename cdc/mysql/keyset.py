"""Where a table is read on after a key: the key as text, and the condition for all rows beyond it. (pure)

The condition orders rows as `ORDER BY` of the key does, in the columns' own collations, and the server can use the key.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from cdc.errors import ProtocolError
from cdc.mysql.table import Column, Table
from cdc.mysql.target import identifier, literal

# An ENUM and a SET are ordered by their numbers, which they are compared by with a number only.
_NUMBERS: Final = frozenset(
    {"tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "year", "bit", "enum", "set"}
)
_FLOATS: Final = frozenset({"float", "double"})
_BYTES: Final = frozenset({
    "binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob",
    "char", "varchar", "tinytext", "text", "mediumtext", "longtext",
})  # fmt: skip
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?")
_HEX: Final = re.compile(r"(?:[0-9A-F]{2})*")


def key_list(table: Table) -> str:
    """The expressions of a SELECT whose texts are a row's key, one for each of its columns, in key order."""
    return ", ".join(_selected(column) for column in _key(table))


def order_of_key(table: Table) -> str:
    """The terms of ORDER BY."""
    return ", ".join(identifier(name) for name in table.key)


def beyond(table: Table, after: Sequence[str] | None) -> str:
    """The condition for the rows after the key of these texts; for all rows where there is none.

    Raises ProtocolError where they are no key of the table.
    """
    if after is None:
        return "TRUE"
    key = _key(table)
    if len(after) != len(key):
        raise ProtocolError(
            f"{table.schema}.{table.name}: {len(after)} values for a key of {len(key)} columns"
        )
    condition = ""
    for column, text in zip(reversed(key), reversed(after), strict=True):
        name, value = identifier(column.name), _literal(column, text)
        condition = (
            f"{name} > {value} OR {name} = {value} AND ({condition})" if condition else f"{name} > {value}"
        )
    first = f"{identifier(key[0].name)} >= {_literal(key[0], after[0])}"
    return f"{first} AND ({condition})"


def _key(table: Table) -> list[Column]:
    columns = {column.name: column for column in table.columns}
    return [columns[name] for name in table.key]


def _selected(column: Column) -> str:
    name = identifier(column.name)
    if column.data_type in _NUMBERS:
        return f"{name} + 0"
    if column.data_type in _FLOATS:
        return f"{name} * 1e0"
    if column.data_type in _BYTES:
        return f"HEX({name})"
    return f"CAST({name} AS CHAR)"


def _literal(column: Column, text: str) -> str:
    if column.data_type in _NUMBERS or column.data_type in _FLOATS:
        form, value = _NUMBER, text
    elif column.data_type in _BYTES:
        form, value = _HEX, f"x'{text}'" if column.charset is None else f"_{column.charset} x'{text}'"
    else:
        return literal(text)
    if not form.fullmatch(text):
        raise ProtocolError(f"{text!r} is no value of the key's column {column.name}")
    return value
