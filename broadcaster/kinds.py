"""How a value of each kind is read for comparison, and how a client's literal is read beside it. (pure)

A *kind* says what a row's JSON value stands for where JSON cannot tell (contracts §2, `types`). Values and literals of
one kind are brought into one ordered Python type, and only there compared.

Numbers are exact: a float stands for its shortest decimal text, so 0.1 equals the decimal "0.1", and 1e23 is 10**23.
A string literal that spells a number which JSON numbers cannot carry (an integer beyond ±(2**53-1), "Infinity",
"-Infinity") is also that number wherever it meets one, since such columns yield plain numbers for ordinary values.

Dates and timestamps lie on one line of microseconds; what has no zone is UTC; a date is its midnight.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeAlias

Ordered: TypeAlias = Any
"""int | float | Decimal for numbers, times and instants; str for text and uuid; bytes. One type of these per kind."""

SAFE_INTEGER: Final = 2**53 - 1
_INFINITIES: Final = {"Infinity": float("inf"), "-Infinity": float("-inf")}
_WIDE_INTEGER: Final = re.compile(r"-?[1-9][0-9]{15,999}")
_DECIMAL: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,9})?|-?Infinity")
_INSTANT: Final = re.compile(
    r"([0-9]{4,7})-([0-9]{2})-([0-9]{2})"
    r"(?:[Tt ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,32}))?)?"
    r"(?:([Zz])|([+-])([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2}))?)?)?)?"
    r"( BC)?"
)
_TIME: Final = re.compile(r"(-?)([0-9]{2,3}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,32}))?)?")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_DAYS_PER_400_YEARS: Final = 146_097
_DAY: Final = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Reader:
    """value: a row's scalar to what it is compared as; literal: a client's scalar likewise. None: it never compares."""

    value: Callable[[Any], Ordered | None]
    literal: Callable[[Any], Ordered | None]


def exact(number: Any) -> int | float | Decimal | None:
    """A JSON number as what its text says, None for anything else. Floats that come back are below 2**53, where
    Python's own comparison with integers agrees with that of the texts."""
    kind = number.__class__
    if kind is float:
        return number if -SAFE_INTEGER <= number <= SAFE_INTEGER else int(Decimal(repr(number)))
    return number if kind is int or kind is Decimal else None


def number_literal(literal: Any) -> int | float | None:
    """A number, or the string that spells one which JSON numbers cannot carry."""
    if isinstance(literal, str):
        return wide_number(literal)
    return literal if isinstance(literal, (int, float)) and not isinstance(literal, bool) else None


def wide_number(text: str) -> int | float | None:
    """The number that a string spells which JSON numbers cannot carry, else None."""
    if _WIDE_INTEGER.fullmatch(text):
        number = int(text)
        return number if abs(number) > SAFE_INTEGER else None
    return _INFINITIES.get(text)


def decimal_literal(literal: Any) -> Decimal | None:
    """A number, or a string that spells any."""
    if isinstance(literal, str):
        return Decimal(literal) if _DECIMAL.fullmatch(literal) else None
    return _decimal_value(literal)


def instant(text: Any) -> int | float | None:
    """Microseconds since 1970-01-01T00:00Z of an ISO 8601 date or timestamp, `infinity` and `-infinity` included.

    Accepts a blank for `T`, no seconds, offsets, years of up to 7 digits, ` BC`; digits beyond microseconds are cut
    off. None for anything else.
    """
    if not isinstance(text, str):
        return None
    match = _INSTANT.fullmatch(text)
    if match is None:
        return {"infinity": float("inf"), "-infinity": float("-inf")}.get(text.lower())
    year, month, day, hour, minute, second, fraction, _, sign, *offset, bc = match.groups()
    era_year = int(year) if bc is None else 1 - int(year)
    if int(year) == 0:
        return None
    cycles, cycle_year = divmod(era_year - 1, 400)
    try:
        days = (datetime(cycle_year + 1, int(month), int(day)) - datetime(1970, 1, 1)).days
    except ValueError:
        return None
    of_day = _of_day(int(hour or 0), int(minute or 0), int(second or 0), fraction)
    hours, minutes, seconds = (int(part or 0) for part in offset)
    shift = _of_day(hours, minutes, seconds)
    if of_day is None or shift is None or of_day > _DAY or shift >= _DAY:
        return None
    return (days + cycles * _DAYS_PER_400_YEARS) * _DAY + of_day + (shift if sign == "-" else -shift)


def time_of_day(text: Any) -> int | None:
    """Microseconds since midnight of `HH:MM[:SS[.ffffff]]`; MySQL's reach beyond a day and below zero."""
    match = _TIME.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    sign, hour, minute, second, fraction = match.groups()
    micros = _of_day(int(hour), int(minute), int(second or 0), fraction)
    return -micros if sign and micros is not None else micros


def uuid_text(text: Any) -> str | None:
    """In lower case, whose order is that of the bytes."""
    return text.lower() if isinstance(text, str) and _UUID.fullmatch(text) else None


def _of_day(hour: int, minute: int, second: int, fraction: str | None = None) -> int | None:
    if minute > 59 or second > 59:
        return None
    return ((hour * 60 + minute) * 60 + second) * 1_000_000 + int(f"{fraction or '':0<6.6}")


def _bytes(text: Any) -> bytes | None:
    if not isinstance(text, str):
        return None
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None


def _wide_value(value: Any) -> int | float | Decimal | None:
    """Of a column whose ordinary values are plain numbers: int64 and float. NaN never compares."""
    if value.__class__ is not str:
        return exact(value)
    return wide_number(value)


def _decimal_value(value: Any) -> Decimal | None:
    """NaN never compares."""
    kind = value.__class__
    try:
        if kind is str:
            number = Decimal(value)
        elif kind is float:
            return Decimal(repr(value))
        elif kind is int or kind is Decimal:
            return Decimal(value)
        else:
            return None
    except InvalidOperation:
        return None
    return None if number.is_nan() else number


def _text(value: Any) -> str | None:
    return value if value.__class__ is str else None


NUMBER: Final = Reader(exact, number_literal)
TEXT: Final = Reader(_text, _text)
INSTANT: Final = Reader(instant, instant)
READERS: Final[Mapping[str, Reader]] = {
    "decimal": Reader(_decimal_value, decimal_literal),
    "int64": Reader(_wide_value, number_literal),
    "float": Reader(_wide_value, number_literal),
    "date": INSTANT,
    "timestamp": INSTANT,
    "timestamptz": INSTANT,
    "time": Reader(time_of_day, time_of_day),
    "uuid": Reader(uuid_text, uuid_text),
    "bytes": Reader(_bytes, _bytes),
}
"""The kinds whose strings are not text. All others (interval, timetz, objectId, unknown ones) compare as text."""

HAS_NAN: Final = frozenset({"decimal", "float"})
"""The kinds in which "NaN" equals itself, though it is neither above nor below anything."""


def base_kind(kind: str | None) -> str | None:
    """Of an array's kind that of its elements, at any depth; None for a kind that compares as text."""
    if kind is None:
        return None
    while kind.endswith("[]"):
        kind = kind[:-2]
    return kind if kind in READERS else None
