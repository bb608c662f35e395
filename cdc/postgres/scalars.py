"""One value's text, as Postgres prints it, to JSON text. (pure)

*Wire text* is what everything here takes and returns: a str with one character per byte of the UTF-8 on the wire, that
is the bytes decoded as Latin-1. All structure is ASCII, other bytes pass through untouched, and str is much the faster
type for cutting and joining. Encode with Latin-1 to get the bytes back.

The session prints with DateStyle ISO, IntervalStyle iso_8601, TimeZone UTC, bytea_output hex, extra_float_digits 3.
A text that does not have its type's form raises ValueError or LookupError.
"""

from __future__ import annotations

import re
from binascii import b2a_base64
from itertools import accumulate
from json.encoder import encode_basestring
from typing import Final


class Marked(str):
    """The JSON text of a value whose kind must be named, though its column's usual values have none."""

    __slots__ = ()


JSON_DEPTH: Final = 256
"""Documents nested deeper are passed on as a string of kind `json`: JSON readers (msgspec's, to begin with) bound the
depth, and one such row must not stop every reader."""

JSON_SHORT: Final = 2 * JSON_DEPTH
"""Shorter documents cannot be nested that deep."""

INT8_SHORT: Final = 16
"""Shorter integers are exact everywhere."""

BOOLEANS: Final = {"t": "true", "f": "false"}

_INT53: Final = 2**53 - 1
_ESCAPES: Final = re.compile(
    r"\\\\"  # an escaped backslash, so that the u behind it is a letter
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a surrogate pair
    r"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_NOT_BRACKETS: Final = re.compile(r'"(?:[^"\\]+|\\.)*"|[^\[\]{}"]+')
_STEPS: Final = {"[": 1, "{": 1, "]": -1, "}": -1}

string = encode_basestring
"""Wire text to a JSON string; only what JSON demands is escaped."""


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


def json(text: str) -> str:
    """json, jsonb: as it is, digits and all, but on one line: rows travel in lines. Line ends stand only between
    tokens, where a space is as good. Escapes of lone surrogates, which `json` lets through and no UTF-8 can hold,
    become U+FFFD."""
    if "\n" in text or "\r" in text:
        text = text.replace("\n", " ").replace("\r", " ")
    if "\\u" in text:
        text = _ESCAPES.sub(lambda found: "\\ufffd" if found["lone"] else found[0], text)
    if text.count("[") + text.count("{") > JSON_DEPTH:
        brackets = _NOT_BRACKETS.sub("", text)
        if max(accumulate(_STEPS[bracket] for bracket in brackets)) > JSON_DEPTH:
            return Marked(string(text))
    return text
