"""DATETIME, TIMESTAMP and TIME of MariaDB columns from before 5.6's formats (mysql56_temporal_format=OFF). (pure)

The table map does not tell their fraction digits; the catalog's hint does. Formats: MariaDB's sql/field.cc
(Field_datetime_hires and its like).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cdc.mysql import column_types as types
from cdc.mysql import temporal
from cdc.mysql.forms import Form
from cdc.mysql.table import Hint

_FRACTION_BYTES: Final = (0, 1, 1, 2, 2, 3, 3)
_DATETIME_BYTES: Final = (8, 6, 6, 7, 7, 7, 8)
_TIME_BYTES: Final = (3, 4, 4, 5, 5, 5, 6)
_TIME_ZERO_S: Final = 839 * 3600


def reading(kind: int, hint: Hint | None) -> tuple[Form, int, Callable[[bytes], str]]:
    """(form, bytes, what makes JSON of them) of a column of this type."""
    digits = int(hint[-1]) if hint is not None and hint.startswith("digits") else 0
    if kind == types.DATETIME:
        return "datetime", _DATETIME_BYTES[digits], lambda data: _datetime(data, digits)
    if kind == types.TIMESTAMP:
        return "timestamp", 4 + _FRACTION_BYTES[digits], lambda data: _timestamp(data, digits)
    return "time", _TIME_BYTES[digits], lambda data: _time(data, digits)


def _datetime(data: bytes, digits: int) -> str:
    if not digits:
        text = f"{int.from_bytes(data, 'little'):014}"
        return f'"{text[:4]}-{text[4:6]}-{text[6:8]}T{text[8:10]}:{text[10:12]}:{text[12:14]}"'
    seconds, rest = divmod(int.from_bytes(data), 10**digits)
    days, second = divmod(seconds, 86_400)
    months, day = divmod(days, 32)
    date = f"{months // 13:04}-{months % 13:02}-{day:02}"
    return f'"{date}T{_clock(second)}{_fraction(rest, digits)}"'


def _timestamp(data: bytes, digits: int) -> str:
    if not digits:
        return temporal.timestamp(int.from_bytes(data, "little"))
    return temporal.timestamp(int.from_bytes(data[:4]), _fraction(int.from_bytes(data[4:]), digits))


def _time(data: bytes, digits: int) -> str:
    if not digits:
        number = int.from_bytes(data, "little", signed=True)
        text = f"{abs(number):06}"
        return f'"{"-" if number < 0 else ""}{text[:-4]}:{text[-4:-2]}:{text[-2:]}"'
    number = int.from_bytes(data) - _TIME_ZERO_S * 10**digits
    seconds, rest = divmod(abs(number), 10**digits)
    return f'"{"-" if number < 0 else ""}{_clock(seconds)}{_fraction(rest, digits)}"'


def _clock(seconds: int) -> str:
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


def _fraction(value: int, digits: int) -> str:
    return f".{value:0{digits}}".rstrip("0") if value else ""
