"""Wire text: how the sources that generate code handle rows on their way from a database to JSON. (pure)

*Wire text* is a str with one character per byte of UTF-8, that is the bytes decoded as Latin-1. All structure is
ASCII, other bytes pass through untouched, and str is much the faster type for cutting and joining. Encode with
Latin-1 to get the bytes back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import accumulate
from json.encoder import encode_basestring
from typing import Final

JSON_DEPTH: Final = 256
"""Documents nested deeper are passed on as a string of kind `json`: JSON readers (msgspec's, to begin with) bound the
depth, and one such row must not stop every reader."""

JSON_SHORT: Final = 2 * JSON_DEPTH
"""Shorter documents cannot be nested that deep."""

_KEPT_TYPES: Final = 1024
_ESCAPES: Final = re.compile(
    r"\\\\"  # an escaped backslash, so that the u behind it is a letter
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a surrogate pair
    r"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_NOT_BRACKETS: Final = re.compile(r'"(?:[^"\\]+|\\.)*"|[^\[\]{}"]+')
_STEPS: Final = {"[": 1, "{": 1, "]": -1, "}": -1}

string = encode_basestring
"""Wire text to a JSON string; only what JSON demands is escaped."""


class Marked(str):
    """The JSON text of a value whose kind must be named, though its column's usual values have none."""

    __slots__ = ()


def json(text: str) -> str:
    """A document: as it is, digits and all, but on one line: rows travel in lines. Line ends stand only between
    tokens, where a space is as good. Escapes of lone surrogates, which no UTF-8 can hold, become U+FFFD. One that is
    nested too deeply becomes a marked string."""
    if "\n" in text or "\r" in text:
        text = text.replace("\n", " ").replace("\r", " ")
    if "\\u" in text:
        text = _ESCAPES.sub(lambda found: "\\ufffd" if found["lone"] else found[0], text)
    if text.count("[") + text.count("{") > JSON_DEPTH:
        brackets = _NOT_BRACKETS.sub("", text)
        if max(accumulate(_STEPS[bracket] for bracket in brackets)) > JSON_DEPTH:
            return Marked(string(text))
    return text


class RowTypes(dict[int, Mapping[str, str] | None]):
    """The `types` of a row by its marks: bit i is set if column i is marked in it. None: empty.

    columns: name, kind and whether the kind is told only where the value is marked.
    """

    def __init__(self, columns: Iterable[tuple[str, str | None, bool]]) -> None:
        super().__init__()
        self._columns = list(columns)

    def __missing__(self, marked: int) -> Mapping[str, str] | None:
        kinds = {
            name: kind
            for i, (name, kind, varying) in enumerate(self._columns)
            if kind is not None and (not varying or marked >> i & 1)
        }
        if len(self) < _KEPT_TYPES:
            self[marked] = kinds or None
        return kinds or None


def json_name(name: str) -> str:
    """A name as a JSON string in wire text."""
    return wire_text(string(name))


def wire_text(text: str) -> str:
    """Any text to wire text."""
    return text.encode().decode("latin-1")


def literal(text: str) -> str:
    """Wire text for the inside of an f-string that stands between three double quotes or one."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-:, ") else f"\\x{ord(c):02x}" for c in text)


def indent(depth: int, lines: Iterable[str]) -> list[str]:
    return ["    " * depth + line for line in lines]


def check_utf8(text: str) -> None:
    """Raises UnicodeDecodeError if the bytes of this wire text are not UTF-8."""
    text.encode("latin-1").decode()
