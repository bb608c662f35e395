"""What the catalog says of a table, as far as stream and snapshot need it. (pure)"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Hint: TypeAlias = Literal[
    "boolean", "json", "uuid", "inet4", "inet6", "vector",
    "digits1", "digits2", "digits3", "digits4", "digits5", "digits6",
]  # fmt: skip
"""What a column is beyond what the binlog's table map tells: `tinyint(1)`, MariaDB's JSON (a LONGTEXT with
`CHECK (json_valid(…))`), MariaDB's UUID, INET4, INET6 and VECTOR (which travel as binary strings), and the fraction
digits of MariaDB's times in their old formats (mysql56_temporal_format=OFF)."""


@dataclass(frozen=True, slots=True)
class Column:
    """data_type: as `information_schema.columns.data_type`, such as `bigint`; column_type: with its attributes, such
    as `bigint(20) unsigned` or `enum('a','b')`; charset: of text, else None."""

    name: str
    data_type: str
    column_type: str
    charset: str | None = None
    hint: Hint | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """columns: all that the binlog carries, in its order, invisible and generated ones included; key: the primary
    key's columns, in key order; empty if there is none."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    @property
    def hints(self) -> dict[str, Hint]:
        """By column name, where there is one."""
        return {column.name: column.hint for column in self.columns if column.hint is not None}
