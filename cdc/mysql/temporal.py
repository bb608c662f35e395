"""Dates and times as the binlog has them and as the server prints them, to JSON. (pure)

Formats: mysql-server's mysys/my_time.cc (my_datetime_packed_from_binary and its like). Zero and partial dates are
values like others. Fractions lose their trailing zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

_KEPT: Final = 1 << 14
_EPOCH: Final = date(1970, 1, 1)
_DATETIME_OFFSET: Final = 1 << 39
_TIME_OFFSET: Final = 1 << 23
_DAY_S: Final = 86_400
_SECONDS: Final = tuple(f"{second:02}" for second in range(64))
ZERO_TIMESTAMP: Final = '"0000-00-00T00:00:00Z"'


class _Kept(dict[int, str]):
    """What `make` makes of a number, for so many numbers as are worth it."""

    def __init__(self, make: Callable[[int], str]) -> None:
        super().__init__()
        self._make = make

    def __missing__(self, number: int) -> str:
        text = self._make(number)
        if len(self) >= _KEPT:
            self.clear()
        self[number] = text
        return text


def _date(packed: int) -> str:
    return f'"{packed >> 9:04}-{packed >> 5 & 15:02}-{packed & 31:02}"'


def _packed_day(packed: int) -> str:
    months = packed >> 5
    return f'"{months // 13:04}-{months % 13:02}-{packed & 31:02}T'


def _packed_minute(packed: int) -> str:
    return f"{packed >> 6:02}:{packed & 63:02}:"


def _epoch_day(days: int) -> str:
    return f'"{_EPOCH + timedelta(days=days)}T'


def _minute_of_day(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}:"


dates: Final = _Kept(_date)
"""DATE: its three bytes as a number (year << 9 | month << 5 | day)."""

_packed_days: Final = _Kept(_packed_day)
_packed_minutes: Final = _Kept(_packed_minute)
_epoch_days: Final = _Kept(_epoch_day)
_minutes_of_day: Final = _Kept(_minute_of_day)


def fraction_size(digits: int) -> int:
    """Bytes of a fraction of so many digits."""
    return (digits + 1) // 2


def datetime2(data: bytes) -> str:
    """DATETIME: five bytes, and those of the fraction."""
    packed = int.from_bytes(data[:5]) - _DATETIME_OFFSET
    minute = _packed_minutes[packed >> 6 & 0x7FF]
    return f'{_packed_days[packed >> 17]}{minute}{_SECONDS[packed & 63]}{fraction(data[5:])}"'


def timestamp2(data: bytes) -> str:
    """TIMESTAMP: seconds since 1970 in four bytes, and those of the fraction."""
    seconds = int.from_bytes(data[:4])
    return timestamp(seconds, fraction(data[4:]))


def timestamp(seconds: int, fraction: str = "") -> str:
    """Seconds since 1970, of which 0 stands for the zero timestamp."""
    if not seconds:
        return ZERO_TIMESTAMP
    day, second = divmod(seconds, _DAY_S)
    minute = _minutes_of_day[second // 60]
    return f'{_epoch_days[day]}{minute}{_SECONDS[second % 60]}{fraction}Z"'


def time2(data: bytes) -> str:
    """TIME: three bytes, and those of the fraction; as a whole they are a number with an offset."""
    extra = len(data) - 3
    packed = int.from_bytes(data) - (_TIME_OFFSET << 8 * extra)
    sign = ""
    if packed < 0:
        packed = -packed
        sign = "-"
    whole = packed >> 8 * extra
    rest = fraction((packed & (1 << 8 * extra) - 1).to_bytes(extra))
    return f'"{sign}{whole >> 12 & 0x3FF:02}:{_SECONDS[whole >> 6 & 63]}:{_SECONDS[whole & 63]}{rest}"'


def fraction(data: bytes) -> str:
    """A fraction of one, two or three bytes, two digits each."""
    value = int.from_bytes(data)
    return f".{value:0{2 * len(data)}}".rstrip("0") if value else ""


def printed_datetime(text: str) -> str:
    """`2024-01-02 03:04:05.600`."""
    return f'"{text[:10]}T{_trimmed(text[11:])}"'


def printed_timestamp(text: str) -> str:
    """The same of a session in UTC."""
    return f'"{text[:10]}T{_trimmed(text[11:])}Z"'


def printed_time(text: str) -> str:
    """`-838:59:59.500`."""
    return f'"{_trimmed(text)}"'


def _trimmed(text: str) -> str:
    return text.rstrip("0").removesuffix(".") if "." in text else text
