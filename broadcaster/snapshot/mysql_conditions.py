"""One comparison of one MySQL or MariaDB column with a literal, for each type whose order is the evaluator's. (pure)

Literals are written into the SQL as digits, hexadecimal or typed moments, made here from checked values: nothing of
what a client sent is ever quoted, and whatever the literals are, none makes the server fail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from broadcaster.predicate import Comparison, Literal
from broadcaster.snapshot import mysql_moments, mysql_numbers, mysql_text
from broadcaster.snapshot.mysql_terms import Condition, present
from broadcaster.snapshot.pushed_down import PushedDown
from cdc.mysql.table import Column

Compare: TypeAlias = Callable[[Column, Comparison, Literal], Condition]


COMPARISONS: Final[Mapping[str, Compare]] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "bigint", "bit"), mysql_numbers.integer),
    **dict.fromkeys(
        ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"), mysql_text.text
    ),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), mysql_text.binary),
    "boolean": mysql_numbers.boolean,
    "year": mysql_numbers.year,
    "decimal": mysql_numbers.decimal,
    "float": mysql_numbers.single,
    "double": mysql_numbers.double,
    "date": mysql_moments.day,
    "datetime": mysql_moments.timestamp,
    "timestamp": mysql_moments.timestamp,
    "time": mysql_moments.time,
    "uuid": mysql_text.uuid,
}
"""By `kind_of`; the literal is a number, string or bool. Other types are not pushed down."""


def kind_of(column: Column) -> str:
    """The key of `COMPARISONS`: the hint, or the data type."""
    if column.data_type == "bit" and column.column_type.lower() == "bit(1)":
        return "boolean"
    return column.hint or column.data_type.lower()


def like(column: Column, pattern: str) -> PushedDown:
    """A text that matches the pattern, as the canonical predicate spells it."""
    if COMPARISONS.get(kind_of(column)) is not mysql_text.text:
        return present(column, exact=False)
    return mysql_text.like(column, pattern)
