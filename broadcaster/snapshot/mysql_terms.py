"""How conditions on MySQL's and MariaDB's columns are written. (pure)"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from broadcaster.predicate import Comparison
from broadcaster.snapshot.pushed_down import NEVER, PushedDown
from cdc.mysql.table import Column

EQ, GT, GTE, LT, LTE = Comparison


@dataclass(frozen=True, slots=True)
class Equality:
    """Each expression equals its literal, of which the last decides. exact: as in `PushedDown`."""

    pairs: tuple[tuple[str, str], ...]
    exact: bool = True


Condition: TypeAlias = PushedDown | Equality

SQL: Final[Mapping[Comparison, str]] = {EQ: "=", GT: ">", GTE: ">=", LT: "<", LTE: "<="}
_NUMBERS: Final = re.compile(r"\((\d+)(?:,(\d+))?\)")


def quoted(name: str) -> str:
    """A name as an identifier."""
    return "`{}`".format(name.replace("`", "``"))


def present(column: Column, exact: bool) -> PushedDown:
    """Any value."""
    return PushedDown(f"{quoted(column.name)} IS NOT NULL", (), exact)


def absent(column: Column) -> PushedDown:
    """NULL. Not `IS NULL`, which of a NOT NULL date also finds 0000-00-00."""
    return PushedDown(f"{quoted(column.name)} <=> NULL", (), True)


def condition(left: str, op: Comparison, right: str, exact: bool = True) -> Condition:
    if op is EQ:
        return Equality(((left, right),), exact)
    return PushedDown(f"{left} {SQL[op]} {right}", (), exact)


def beyond(column: Column, op: Comparison, above: bool, exact: bool = True) -> PushedDown:
    """The literal lies above (or below) all values there can be."""
    reached = (LT, LTE) if above else (GT, GTE)
    return present(column, exact) if op in reached else NEVER


def past_floor(op: Comparison) -> Comparison | None:
    """The comparison with the next lower value that a column can have; None: nothing equals the literal."""
    return None if op is EQ else GT if op in (GT, GTE) else LTE


def type_numbers(column: Column) -> tuple[int, int] | None:
    """Of `decimal(10,2)`: 10 and 2; of `datetime(3)`: 3 and 0; None where there are none."""
    found = _NUMBERS.search(column.column_type)
    return None if found is None else (int(found[1]), int(found[2] or 0))
