"""The values in a `where` to the predicate's normal form. (pure)"""

from __future__ import annotations

import math
from typing import Any, Final

from broadcaster.errors import RequestError
from broadcaster.predicate import Document, Literal

_INTEGER_BITS: Final = 4096
_LITERAL_DEPTH: Final = 8
_LITERAL_VALUES: Final = 1000


def parse_literal(value: object, at: str) -> Literal:
    """Bring a JSON value into the normal form of `predicate.Literal`. Raises RequestError: bad_operand,
    where_too_deep, where_too_large (at most 8 levels and 1,000 values in one literal)."""
    return _LiteralParser().parse(value, at, 0)


class _LiteralParser:
    """One literal; counts its values as it goes."""

    def __init__(self) -> None:
        self.values = 0

    def parse(self, value: object, at: str, depth: int) -> Literal:
        self.values += 1
        if self.values > _LITERAL_VALUES:
            raise RequestError("where_too_large", f"more than {_LITERAL_VALUES:,} values in one literal", at)
        if depth > _LITERAL_DEPTH:
            raise RequestError("where_too_deep", f"a value nested more than {_LITERAL_DEPTH} levels deep", at)
        if value is None or isinstance(value, (bool, str)):
            return value
        if isinstance(value, int):
            if value.bit_length() > _INTEGER_BITS:
                raise RequestError("bad_operand", f"an integer of more than {_INTEGER_BITS} bits", at)
            return value
        if isinstance(value, float):
            return _whole(value, at)
        if isinstance(value, list):
            return tuple(self.parse(item, f"{at}[{i}]", depth + 1) for i, item in enumerate(value))
        if isinstance(value, dict):
            return Document(tuple(sorted(self.members(value, at, depth))))
        raise RequestError("bad_operand", f"not a JSON value: {type(value).__name__}", at)

    def members(self, value: dict[Any, Any], at: str, depth: int) -> list[tuple[str, Literal]]:
        members = []
        for key, item in value.items():
            if not isinstance(key, str):
                raise RequestError("bad_operand", f"a document's key must be a string, got {named(key)}", at)
            if is_operator(key):
                raise RequestError(
                    "bad_operand",
                    f"{key} cannot stand inside a document to compare with; conditions on its fields take a dotted "
                    'path, as {"address.city": {"$ne": "Rome"}}',
                    f"{at}.{key}",
                )
            members.append((key, self.parse(item, f"{at}.{key}", depth + 1)))
        return members


def _whole(value: float, at: str) -> Literal:
    """A float as its shortest decimal text has it: whole numbers become integers."""
    if not math.isfinite(value):
        raise RequestError("bad_operand", "NaN and infinities are not JSON; write them as strings", at)
    if not value.is_integer():
        return value
    digits, _, exponent = repr(value).partition("e")
    whole, _, fraction = digits.partition(".")
    fraction = fraction.rstrip("0")
    return int(f"{whole}{fraction}{'0' * (int(exponent or 0) - len(fraction))}")


def values_in(literal: Literal) -> int:
    """How many values a literal is made of, itself included."""
    if isinstance(literal, tuple):
        return 1 + sum(map(values_in, literal))
    if isinstance(literal, Document):
        return 1 + sum(values_in(item) for _, item in literal.items)
    return 1


def is_operator(key: object) -> bool:
    """Whether a key is an operator's, known or not."""
    return isinstance(key, str) and key.startswith("$")


def named(value: object) -> str:
    """The JSON type of a value, for messages: the value itself may be anything, also secret."""
    match value:
        case None:
            return "null"
        case bool():
            return "a bool"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case dict():
            return "a document"
        case _:
            return type(value).__name__
