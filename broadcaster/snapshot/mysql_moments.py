"""Comparisons of MySQL's and MariaDB's dates and times, as SQL. (pure)"""

from __future__ import annotations

import math
from datetime import date
from typing import Final

from broadcaster.kinds import instant, time_of_day
from broadcaster.predicate import Comparison, Literal
from broadcaster.snapshot.mysql_terms import (
    EQ,
    GT,
    GTE,
    LT,
    LTE,
    Condition,
    beyond,
    condition,
    past_floor,
    present,
    quoted,
    type_numbers,
)
from broadcaster.snapshot.pushed_down import NEVER, PushedDown
from cdc.mysql.table import Column

_DAY: Final = 86_400_000_000
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()
_FIRST_DAY: Final = 1 - _EPOCH_ORDINAL  # 0001-01-01
_LAST_DAY: Final = date.max.toordinal() - _EPOCH_ORDINAL
_LAST_TIME: Final = (838 * 3600 + 59 * 60 + 59) * 1_000_000


def day(column: Column, op: Comparison, literal: Literal) -> Condition:
    micros = instant(literal)
    if micros is None:
        return NEVER
    if math.isinf(micros):
        return beyond(column, op, above=micros > 0, exact=False)
    day, of_day = divmod(int(micros), _DAY)
    past = past_floor(op) if of_day else op
    return NEVER if past is None else _moment(column, past, day, 0, "DATE")


def timestamp(column: Column, op: Comparison, literal: Literal) -> Condition:
    micros = instant(literal)
    if micros is None:
        return NEVER
    if math.isinf(micros):
        return beyond(column, op, above=micros > 0, exact=False)
    floor = _floor(int(micros), column)
    past = op if floor == micros else past_floor(op)
    return NEVER if past is None else _moment(column, past, *divmod(floor, _DAY), "TIMESTAMP")


def _moment(column: Column, op: Comparison, day: int, of_day: int, literal_type: str) -> Condition:
    """Ranges are not exact: 0000-00-00 and 2024-02-00 are in the server's order, but are no moments."""
    if not _FIRST_DAY <= day <= _LAST_DAY:
        return beyond(column, op, above=day > 0, exact=False)
    text = date.fromordinal(day + _EPOCH_ORDINAL).isoformat()
    if literal_type == "TIMESTAMP":
        text += f" {_clock(of_day)}"
    return condition(quoted(column.name), op, f"{literal_type}'{text}'", exact=op is EQ)


def time(column: Column, op: Comparison, literal: Literal) -> Condition:
    micros = time_of_day(literal)
    if micros is None:
        return NEVER
    if abs(micros) > _LAST_TIME:
        return _extreme_time(column, op, micros)
    floor = _floor(micros, column)
    past = op if floor == micros else past_floor(op)
    if past is None:
        return NEVER
    return condition(quoted(column.name), past, _time_text(floor))


def _extreme_time(column: Column, op: Comparison, micros: int) -> Condition:
    """Beyond 838:59:59 there are values on MariaDB only, within that second."""
    if op in ((LT, LTE) if micros > 0 else (GT, GTE)):
        return present(column, exact=False)
    reached = ">=" if micros > 0 else "<="
    edge = _LAST_TIME if micros > 0 else -_LAST_TIME
    return PushedDown(f"{quoted(column.name)} {reached} {_time_text(edge)}", (), False)


def _time_text(micros: int) -> str:
    return f"TIME'{'-' if micros < 0 else ''}{_clock(abs(micros))}'"


def _floor(micros: int, column: Column) -> int:
    """To the fraction that the column has."""
    digits, _ = type_numbers(column) or (0, 0)
    unit: int = 10 ** (6 - digits)
    return micros // unit * unit


def _clock(micros: int) -> str:
    seconds, fraction = divmod(micros, 1_000_000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{fraction:06d}"
