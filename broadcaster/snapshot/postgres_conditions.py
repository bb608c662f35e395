"""One comparison of one Postgres column with a literal, as SQL, for each type whose order is the evaluator's. (pure)

Parameters are texts, always with an explicit cast, and already within the type's range: no literal makes Postgres fail.
A condition may be NULL where the column is; it is never used as if that were true.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final, TypeAlias

from broadcaster.kinds import decimal_literal, exact, instant, number_literal, uuid_text
from broadcaster.predicate import Comparison, Literal
from broadcaster.snapshot.pushed_down import NEVER, PushedDown

EQ, GT, GTE, LT, LTE = Comparison


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """What the push-down must know of a column.

    type: the name in pg_type, of the base type for a domain, `enum` for any enum, and none of the scalar types' names
        for arrays and composites.
    deterministic: of the column's collation (pg_collation.collisdeterministic).
    utf8: the server's encoding is UTF8, so that any text can be sent and bytes sort by code point.
    """

    name: str
    type: str
    deterministic: bool = True
    utf8: bool = True


Compare: TypeAlias = Callable[[ColumnInfo, Comparison, Literal], PushedDown]

_SQL: Final[Mapping[Comparison, str]] = {EQ: "=", GT: ">", GTE: ">=", LT: "<", LTE: "<="}
_INT8: Final = (-(2**63), 2**63 - 1)
_NUMERIC_DIGITS: Final = 131_072  # before the point
_NUMERIC_SCALE: Final = 16_383
_FLOAT4_MAX: Final = 34028235 * 10**31
_FLOAT4_MIN: Final = 1.1754944e-38  # below it, input is refused as an underflow
_DAY: Final = 86_400_000_000
_FIRST_DAY: Final = -2_440_588  # 4714-11-24 BC, Julian day 0
_LAST_DAY: Final = 2_145_042_905  # 5874897-12-31
_LAST_INSTANT: Final = 9_224_318_015_999_999_999  # 294276-12-31T23:59:59.999999
_DAYS_PER_400_YEARS: Final = 146_097
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


def quoted(name: str) -> str:
    """A name as an identifier, % doubled as placeholders want it."""
    escaped = name.replace('"', '""').replace("%", "%%")
    return f'"{escaped}"'


def present(column: ColumnInfo, exact: bool) -> PushedDown:
    """Any value."""
    return PushedDown(f"{quoted(column.name)} IS NOT NULL", (), exact)


def _condition(
    left: str, op: Comparison, cast: str, text: str, exact: bool = True, nan_on_top: bool = False
) -> PushedDown:
    """nan_on_top: the type has a NaN, which Postgres puts above all numbers."""
    sql = f"{left} {_SQL[op]} %s::{cast}"
    if nan_on_top and op in (GT, GTE):
        sql = f"{sql} AND {left} <> 'NaN'::{cast}"
    return PushedDown(sql, (text,), exact)


def _beyond(column: ColumnInfo, op: Comparison, above: bool) -> PushedDown:
    """The literal lies above (or below) all values there can be."""
    reached = (LT, LTE) if above else (GT, GTE)
    return present(column, exact=True) if op in reached else NEVER


def _integer(column: ColumnInfo, op: Comparison, literal: Literal) -> PushedDown:
    number = number_literal(literal)
    if number is None:
        return NEVER
    if not _INT8[0] <= number <= _INT8[1]:
        return _beyond(column, op, above=number > 0)
    whole = math.floor(number)
    if whole != number:
        if op is EQ:
            return NEVER
        op = GT if op in (GT, GTE) else LTE
    return _condition(quoted(column.name), op, "int8", str(whole))


def _numeric(column: ColumnInfo, op: Comparison, literal: Literal) -> PushedDown:
    name = quoted(column.name)
    number = decimal_literal(literal)
    if number is None:
        return _condition(name, EQ, "numeric", "NaN") if literal == "NaN" and op is EQ else NEVER
    if number.is_infinite():
        # By text, since numeric has infinities only from version 14 on.
        towards = (GT, GTE) if number > 0 else (LT, LTE)
        if op is EQ or op is towards[1]:
            return _condition(f"{name}::text", EQ, "text", str(number))
        return NEVER if op is towards[0] else present(column, exact=False)
    exponent = number.as_tuple().exponent
    if number.adjusted() >= _NUMERIC_DIGITS or not isinstance(exponent, int) or exponent < -_NUMERIC_SCALE:
        return present(column, exact=False)
    return _condition(name, op, "numeric", str(number), nan_on_top=True)


def _float8(column: ColumnInfo, op: Comparison, literal: Literal) -> PushedDown:
    name = quoted(column.name)
    number = number_literal(literal)
    if number is None:
        return _condition(name, EQ, "float8", "NaN") if literal == "NaN" and op is EQ else NEVER
    try:
        nearest = float(number)
    except OverflowError:
        return _outside(name, op, "float8", above=number > 0)
    shown = exact(nearest) if math.isfinite(nearest) else nearest
    if shown is None or shown == number:
        return _condition(name, op, "float8", repr(nearest), nan_on_top=True)
    if op is EQ:
        return NEVER
    # The literal lies between two floats, next to `nearest`.
    above, below = (GTE, LT) if shown > number else (GT, LTE)
    op = above if op in (GT, GTE) else below
    return _condition(name, op, "float8", repr(nearest), nan_on_top=True)


def _float4(column: ColumnInfo, op: Comparison, literal: Literal) -> PushedDown:
    """A float4 shows as its shortest text, which is not its value: 1.1 is 1.10000002384…; rounding a literal to float4
    keeps the order of those texts, but may make two of them equal."""
    name = quoted(column.name)
    number = number_literal(literal)
    if number is None:
        return _condition(name, EQ, "float4", "NaN") if literal == "NaN" and op is EQ else NEVER
    if isinstance(number, float) and math.isinf(number):
        return _condition(name, op, "float4", repr(number), nan_on_top=True)
    if abs(number) > _FLOAT4_MAX:
        return _outside(name, op, "float4", above=number > 0)
    if 0 < abs(number) < _FLOAT4_MIN:
        return present(column, exact=False)
    loose = {EQ: EQ, GT: GTE, GTE: GTE, LT: LTE, LTE: LTE}[op]
    return _condition(name, loose, "float4", repr(number), exact=False)


def _outside(name: str, op: Comparison, cast: str, above: bool) -> PushedDown:
    """The literal lies between the largest finite float and infinity (or below the smallest)."""
    if op is EQ:
        return NEVER
    if above:
        return _condition(name, GTE if op in (GT, GTE) else LT, cast, "Infinity", nan_on_top=True)
    return _condition(name, GT if op in (GT, GTE) else LTE, cast, "-Infinity", nan_on_top=True)


def _bool(column: ColumnInfo, op: Comparison, literal: Literal) -> PushedDown:
    if not isinstance(literal, bool):
        return NEVER
    return _condition(quoted(column.name), op, "bool", "true" if literal else "false")


def _text(column: ColumnInfo, op: Comparison, literal: Literal) -> PushedDown:
    return _as_text(column, quoted(column.name), op, literal, column.deterministic)


def _enum(column: ColumnInfo, op: Comparison, literal: Literal) -> PushedDown:
    return _as_text(column, f"{quoted(column.name)}::text", op, literal, True)


def _bpchar(column: ColumnInfo, op: Comparison, literal: Literal) -> PushedDown:
    """Rows show the padding, which Postgres ignores when it compares."""
    found = _as_text(column, quoted(column.name), op, literal, False)
    if op is not EQ and found is not NEVER:
        return present(column, exact=False)
    return PushedDown(found.sql.replace("::text", "::bpchar"), found.params, found.exact)


def like(column: ColumnInfo, pattern: str) -> PushedDown:
    """A text that matches the pattern, whose `\\` is Postgres' own escape."""
    name = quoted(column.name)
    left = {"text": name, "varchar": name, "enum": f"{name}::text"}.get(column.type)
    if left is None or not column.utf8 or "\0" in pattern or not _is_unicode(pattern):
        return present(column, exact=False)
    return PushedDown(f'{left} COLLATE "C" LIKE %s::text', (pattern,), True)


def _as_text(
    column: ColumnInfo, left: str, op: Comparison, literal: Literal, deterministic: bool
) -> PushedDown:
    if not isinstance(literal, str):
        return NEVER
    if "\0" in literal:
        # No text in Postgres holds one: values are above the literal just if they are above what stands before it.
        if op is EQ:
            return NEVER
        literal, op = literal.partition("\0")[0], GT if op in (GT, GTE) else LTE
    if not _is_unicode(literal):
        return NEVER if op is EQ else present(column, exact=False)
    if not column.utf8 and (op is not EQ or not literal.isascii()):
        return present(column, exact=False)
    if op is EQ:
        return _condition(left, EQ, "text", literal, exact=deterministic)
    return _condition(f'{left} COLLATE "C"', op, "text", literal)


def _is_unicode(text: str) -> bool:
    """Lone surrogates cannot be sent."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _uuid(column: ColumnInfo, op: Comparison, literal: Literal) -> PushedDown:
    text = uuid_text(literal)
    return NEVER if text is None else _condition(quoted(column.name), op, "uuid", text)


def _date(column: ColumnInfo, op: Comparison, literal: Literal) -> PushedDown:
    micros = instant(literal)
    if micros is None:
        return NEVER
    if isinstance(micros, float):
        return _moment(column, op, "date", micros, _FIRST_DAY, _LAST_DAY)
    day, of_day = divmod(micros, _DAY)
    if of_day:
        if op is EQ:
            return NEVER
        op = GT if op in (GT, GTE) else LTE
    return _moment(column, op, "date", day, _FIRST_DAY, _LAST_DAY)


def _timestamp(column: ColumnInfo, op: Comparison, literal: Literal) -> PushedDown:
    micros = instant(literal)
    if micros is None:
        return NEVER
    return _moment(column, op, column.type, micros, _FIRST_DAY * _DAY, _LAST_INSTANT)


def _moment(
    column: ColumnInfo, op: Comparison, cast: str, moment: int | float, first: int, last: int
) -> PushedDown:
    """moment: days of a date, microseconds of a timestamp, or an infinity, which Postgres has as values."""
    name = quoted(column.name)
    if isinstance(moment, float):
        return _condition(name, op, cast, "infinity" if moment > 0 else "-infinity")
    if first <= moment <= last:
        return _condition(name, op, cast, _moment_text(moment, cast))
    if op is EQ:
        return NEVER
    if moment > last:
        return _condition(name, GTE if op in (GT, GTE) else LT, cast, "infinity")
    return _condition(name, GT if op in (GT, GTE) else LTE, cast, "-infinity")


def _moment_text(moment: int, cast: str) -> str:
    days, micros = (moment, 0) if cast == "date" else divmod(moment, _DAY)
    cycles, ordinal = divmod(days + _EPOCH_ORDINAL - 1, _DAYS_PER_400_YEARS)
    day = date.fromordinal(ordinal + 1)
    year = cycles * 400 + day.year
    text = f"{year if year > 0 else 1 - year:04d}-{day.month:02d}-{day.day:02d}"
    if cast != "date":
        seconds, fraction = divmod(micros, 1_000_000)
        text += f" {seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{fraction:06d}"
        text += "+00" if cast == "timestamptz" else ""
    return text if year > 0 else f"{text} BC"


COMPARISONS: Final[Mapping[str, Compare]] = {
    "int2": _integer,
    "int4": _integer,
    "int8": _integer,
    "numeric": _numeric,
    "float4": _float4,
    "float8": _float8,
    "bool": _bool,
    "text": _text,
    "varchar": _text,
    "bpchar": _bpchar,
    "enum": _enum,
    "uuid": _uuid,
    "date": _date,
    "timestamp": _timestamp,
    "timestamptz": _timestamp,
}
"""By type name; the literal is a number, string or bool. Other types are not pushed down."""
