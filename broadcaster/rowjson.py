"""Any JSON that a database can produce, to Python values: the slow way, for what msgspec refuses. (pure)

RFC 8259 bounds neither digits nor exponents nor nesting, and allows escapes of lone surrogates; Postgres' `json` lets
all of that through.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

_TOKEN: Final = re.compile(
    r'[ \t\r\n,:]*(?:([\[{])|([\]}])|("(?:[^"\\]|\\.)*")|(-?\d+)((?:\.\d+)?(?:[eE][+-]?\d+)?)|(true|false|null))',
    re.DOTALL,
)
_WORDS: Final = {"true": True, "false": False, "null": None}
_INTEGER_DIGITS: Final = 4000  # below the interpreter's limit for text to int


class _Frame:
    """An array or document that is still open, and the key whose value comes next."""

    __slots__ = ("container", "key")

    def __init__(self, container: Any) -> None:
        self.container = container
        self.key: str | None = None

    def add(self, value: Any) -> None:
        if isinstance(self.container, list):
            self.container.append(value)
        elif self.key is None:
            self.key = value
        else:
            self.container[self.key] = value
            self.key = None


def decode_any(text: str) -> Any:
    """Decode one JSON value of any depth, without recursion. Commas and colons are taken on trust.

    A number that neither an int of 4,000 digits nor a float can hold becomes a Decimal, and one beyond a Decimal's
    exponents an infinite Decimal or 0. Raises ValueError for what is not JSON.
    """
    root = _Frame([])
    stack = [root]
    position, end = 0, len(text.rstrip(" \t\r\n"))
    while position < end:
        token = _TOKEN.match(text, position)
        if token is None:
            raise ValueError(f"not JSON at character {position}")
        position = token.end()
        opening, closing, string, whole, rest, word = token.groups()
        if closing:
            if len(stack) == 1:
                raise ValueError(f"not JSON at character {position}")
            stack.pop()
        elif opening:
            frame = _Frame([] if opening == "[" else {})
            stack[-1].add(frame.container)
            stack.append(frame)
        elif string:
            stack[-1].add(json.loads(string, strict=False))
        elif whole:
            stack[-1].add(_number(whole, rest))
        else:
            stack[-1].add(_WORDS[word])
    if len(stack) != 1 or len(root.container) != 1:
        raise ValueError("not one JSON value")
    return root.container[0]


def _number(whole: str, rest: str) -> int | float | Decimal:
    if rest:
        value = float(whole + rest)
        if math.isfinite(value):
            return value
    elif len(whole) <= _INTEGER_DIGITS:
        return int(whole)
    try:
        return Decimal(whole + rest)
    except InvalidOperation:
        return Decimal("-Infinity" if whole.startswith("-") else "Infinity")
