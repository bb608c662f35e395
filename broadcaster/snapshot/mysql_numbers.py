"""Comparisons of MySQL's and MariaDB's numbers, as SQL. (pure)"""

from __future__ import annotations

import math
import struct
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Final

from broadcaster.kinds import decimal_literal, exact, number_literal
from broadcaster.predicate import Comparison, Literal
from broadcaster.snapshot.mysql_terms import (
    EQ,
    GT,
    GTE,
    LT,
    LTE,
    Condition,
    Equality,
    beyond,
    condition,
    past_floor,
    present,
    quoted,
    type_numbers,
)
from broadcaster.snapshot.pushed_down import NEVER, PushedDown
from cdc.mysql.table import Column

_INTEGERS: Final = (-(2**63), 2**64 - 1)
_FLOAT4_MAX: Final = 3.4028234663852886e38
_DIGITS: Final = Context(prec=200, rounding=ROUND_FLOOR)


def integer(column: Column, op: Comparison, literal: Literal) -> Condition:
    return _whole(column, quoted(column.name), op, literal)


def _whole(column: Column, left: str, op: Comparison, literal: Literal) -> Condition:
    number = number_literal(literal)
    if number is None:
        return NEVER
    if not _INTEGERS[0] <= number <= _INTEGERS[1]:
        return beyond(column, op, above=number > 0)
    whole = math.floor(number)
    if whole != number:
        past = past_floor(op)
        if past is None:
            return NEVER
        op = past
    return condition(left, op, str(whole))


def year(column: Column, op: Comparison, literal: Literal) -> Condition:
    """The server would take 5 for 2005."""
    return _whole(column, f"({quoted(column.name)} + 0)", op, literal)


def boolean(column: Column, op: Comparison, literal: Literal) -> Condition:
    """0 and 1 are false and true, all else (of a `tinyint(1)`) is a number."""
    name = quoted(column.name)
    if isinstance(literal, bool):
        if op is EQ:
            return Equality(((name, str(int(literal))),))
        kept = [str(int(value)) for value in (False, True) if _holds(value, op, literal)]
        return PushedDown(f"{name} IN ({', '.join(kept)})", (), True) if kept else NEVER
    if op is EQ:
        return NEVER if literal in (0, 1) else integer(column, op, literal)
    found = integer(column, op, literal)
    assert isinstance(found, PushedDown)
    return found if found is NEVER else PushedDown(f"{found.sql} AND {name} NOT IN (0, 1)", (), found.exact)


def _holds(value: bool, op: Comparison, literal: bool) -> bool:
    return {GT: value > literal, GTE: value >= literal, LT: value < literal, LTE: value <= literal}[op]


def decimal(column: Column, op: Comparison, literal: Literal) -> Condition:
    number = decimal_literal(literal)
    if number is None:
        return NEVER
    digits, scale = type_numbers(column) or (65, 30)
    if not number.is_finite() or (number and number.adjusted() >= digits - scale):
        return beyond(column, op, above=number > 0)
    unit = Decimal(1).scaleb(-scale)
    tiny = number.adjusted() < -scale and not number.is_zero()
    floor = (-unit if number < 0 else Decimal(0)) if tiny else number.quantize(unit, context=_DIGITS)
    if floor != number:
        past = past_floor(op)
        if past is None:
            return NEVER
        op = past
    return condition(quoted(column.name), op, f"{floor:f}")


def double(column: Column, op: Comparison, literal: Literal) -> Condition:
    number = number_literal(literal)
    if number is None:
        return NEVER
    try:
        nearest = float(number)
    except OverflowError:
        return beyond(column, op, above=number > 0)
    if not math.isfinite(nearest):
        return beyond(column, op, above=number > 0)
    shown = exact(nearest)
    if shown != number:
        if op is EQ:
            return NEVER
        # The literal lies between two doubles, next to `nearest`.
        above, below = (GTE, LT) if shown is not None and shown > number else (GT, LTE)
        op = above if op in (GT, GTE) else below
    return condition(quoted(column.name), op, _approximate(nearest))


def single(column: Column, op: Comparison, literal: Literal) -> Condition:
    """A FLOAT shows as its shortest text, which is not its value: 1.1 is 1.10000002384…; rounding a literal to a FLOAT
    keeps the order of those texts, but may make two of them equal."""
    number = number_literal(literal)
    if number is None:
        return NEVER
    if abs(number) >= _FLOAT4_MAX:
        # The largest FLOAT shows as 3.4028235e38, more than it is.
        return present(column, exact=False)
    low, high = (_approximate(edge) for edge in _float4_neighbours(float(number)))
    name = quoted(column.name)
    bounds = [f"{name} >= {low}"] if op in (EQ, GT, GTE) else []
    bounds += [f"{name} <= {high}"] if op in (EQ, LT, LTE) else []
    return PushedDown(" AND ".join(bounds), (), False)


def _float4_neighbours(number: float) -> tuple[float, float]:
    """Of the 32-bit float that is nearest: those below and above it."""
    (bits,) = struct.unpack("<i", struct.pack("<f", abs(number)))
    low: float
    high: float
    low, high = struct.unpack("<ff", struct.pack("<ii", max(bits - 1, 0), min(bits + 1, 0x7F7FFFFF)))
    if bits == 0:
        return -high, high
    return (-high, -low) if number < 0 else (low, high)


def _approximate(number: float) -> str:
    """A double's literal; without an exponent it would be a decimal."""
    text = repr(number)
    return text if "e" in text else f"{text}e0"
