"""One value's text, as Postgres prints it, to JSON text. (pure)

Wire text is what everything here takes and returns (`cdc.wire_text`).

The session prints with DateStyle ISO, IntervalStyle iso_8601, TimeZone UTC, bytea_output hex, extra_float_digits 3.
A text that does not have its type's form raises ValueError or LookupError.
"""

from __future__ import annotations

from binascii import b2a_base64
from typing import Final

from cdc.wire_text import Marked, string

INT8_SHORT: Final = 16
"""Shorter integers are exact everywhere."""

BOOLEANS: Final = {"t": "true", "f": "false"}

_INT53: Final = 2**53 - 1


def int8(text: str) -> str:
    """int8: a number, or a marked string where JavaScript's numbers are not exact."""
    if len(text) < INT8_SHORT or -_INT53 <= int(text) <= _INT53:
        return text
    return Marked(f'"{text}"')


def floating(text: str) -> str:
    """float4, float8: a number, or a marked string: NaN, Infinity, -Infinity."""
    return text if text[-1] < ":" else Marked(string(text))


def timestamp(text: str) -> str:
    """timestamp: ISO 8601; `infinity`, `-infinity` and years BC stay as Postgres prints them."""
    return string(text if text.endswith(("infinity", "BC")) else text.replace(" ", "T", 1))


def timestamptz(text: str) -> str:
    """timestamptz, printed in UTC: ISO 8601 with Z; infinities and years BC as for timestamp."""
    if text.endswith(("infinity", "BC")):
        return string(text)
    if not text.endswith("+00"):
        raise ValueError("timestamptz is not in UTC: the session's TimeZone was changed")
    return string(text[:-3].replace(" ", "T", 1) + "Z")


def timetz(text: str) -> str:
    """timetz: ISO 8601 with the zone it was stored with, Z for UTC."""
    return string(text[:-3] + "Z" if text.endswith("+00") else text)


def bytea(text: str) -> str:
    """bytea in hex to base64."""
    if not text.startswith("\\x"):
        raise ValueError("bytea is not in hex: the session's bytea_output was changed")
    return f'"{b2a_base64(bytes.fromhex(text[2:]), newline=False).decode()}"'
