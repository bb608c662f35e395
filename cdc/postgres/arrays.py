"""The text of a Postgres array to nested JSON arrays. (pure)

PostgreSQL documentation, "Arrays", "Array Input and Output Syntax". Works on wire text (see `scalars`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from cdc.wire_text import Marked

_BOUNDS: Final = re.compile(r"(?:\[[+-]?\d+:[+-]?\d+\])+=")
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
_FOLLOWS: Final = {"": "{", "{": "{}v", "v": ",}", ",": "{v", "}": ",}"}
"""What may come after what; v is an element."""


def array_encoder(element: Callable[[str], str], delimiter: str) -> Callable[[str], str]:
    """The function from an array's text to its JSON, given the elements' function and delimiter.

    The result is marked if an element's is. Bounds (`[0:1]={…}`) are dropped: JSON arrays have none.
    The function raises ValueError for a text that is not an array, and what `element` raises.
    """
    d = re.escape(delimiter)
    token = re.compile(rf'([{{}}])|({d})|"((?:[^"\\]|\\.)*)"|([^{{}}"{d}]+)', re.DOTALL)

    def encode(text: str) -> str:
        bounds = _BOUNDS.match(text)
        at = bounds.end() if bounds else 0
        parts: list[str] = []
        marked = False
        depth = 0
        before = ""
        while at < len(text):
            found = token.match(text, at)
            if found is None or (depth == 0 and parts):
                raise ValueError("not an array")
            at = found.end()
            brace, comma, quoted, plain = found.groups()
            kind = brace or (comma and ",") or "v"
            if kind not in _FOLLOWS[before]:
                raise ValueError("not an array")
            before = kind
            if kind == "v":
                part = _element(quoted, plain, element)
                marked = marked or type(part) is Marked
            elif kind == "{":
                part = "["
                depth += 1
            elif kind == "}":
                part = "]"
                depth -= 1
            else:
                part = ","
            parts.append(part)
        if depth or not parts:
            raise ValueError("not an array")
        return Marked("".join(parts)) if marked else "".join(parts)

    return encode


def _element(quoted: str | None, plain: str, element: Callable[[str], str]) -> str:
    if quoted is not None:
        return element(_ESCAPED.sub(r"\1", quoted) if "\\" in quoted else quoted)
    return "null" if plain.upper() == "NULL" else element(plain)
