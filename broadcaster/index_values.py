"""What a row's value and a client's literal are looked up by: two that the evaluator calls equal share a key, and codes
keep its order. (pure)

Both may say more than is true (numbers are rounded to doubles, long texts cut off), never less; the evaluator decides.
The kind of a column is known only beside a row, so a literal has a key for every reading of it.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias

from broadcaster.conditions import is_index
from broadcaster.kinds import READERS, SAFE_INTEGER, decimal_literal, instant, time_of_day

Key: TypeAlias = "str | int | float | None"
"""A text as it is (uuid in lower case, bytes in canonical base64), a number, microseconds, a bool, or None: null."""

NUMBER: Final = 0
TEXT: Final = 1
INSTANT: Final = 2
TIME: Final = 3
"""Brackets: only codes of the same one are compared."""

_TEXT_BYTES: Final = 16
_EPOCH: Final = datetime(1970, 1, 1)
_EPOCH_UTC: Final = _EPOCH.replace(tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_to_bits: Final = struct.Struct(">d").pack
_from_bits: Final = struct.Struct(">Q").unpack
_parse: Final = datetime.fromisoformat


def key_of(value: Any, kind: str | None) -> Key:
    """The key of a row's scalar; kind: as `base_kind` has it."""
    key: Key = value
    if value.__class__ is str:
        if kind is not None:
            key = _READ[kind](value)
    elif value is not None and not -SAFE_INTEGER <= value <= SAFE_INTEGER:
        key = _rounded(value)
    return key


def code_of(key: Key, kind: str | None, value: Any) -> tuple[int, int] | None:
    """(bracket, code) of a row's scalar, which is not null, by its key; None where nothing is above or below it."""
    if key.__class__ is str:
        return (TEXT, text_code(key)) if kind is None else None
    if key is None:
        return None
    return (NUMBER if value.__class__ is not str else _BRACKETS[kind]), number_code(key)  # type: ignore[arg-type, index]


def literal_keys(literal: bool | int | float | str | None) -> frozenset[Key]:
    """Every key that a value may have which equals the literal."""
    if not isinstance(literal, str):
        return frozenset((key_of(literal, None),))
    keys = {
        literal,
        _uuid(literal),
        _bytes(literal),
        instant(literal),
        time_of_day(literal),
        _number(literal),
    }
    return frozenset(keys - {None})


def literal_codes(literal: bool | int | float | str) -> dict[int, int]:
    """Bracket → code for every reading of a range's bound."""
    if not isinstance(literal, str):
        return {NUMBER: number_code(key_of(literal, None))}  # type: ignore[arg-type]
    codes = {TEXT: text_code(literal)}
    for bracket, read in ((NUMBER, _number), (INSTANT, instant), (TIME, time_of_day)):
        if (found := read(literal)) is not None:
            codes[bracket] = number_code(found)
    return codes


def prefix_codes(prefix: str) -> tuple[dict[int, int], dict[int, int]]:
    """The codes, as of `literal_codes`, between which every text lies that begins so."""
    low = text_code(prefix)
    room = 8 * max(0, _TEXT_BYTES - len(prefix.encode("utf-8", "surrogatepass")))
    return {TEXT: low}, {TEXT: low | (1 << room) - 1}


def number_code(number: float) -> int:
    """A number as 64 bits in its order."""
    bits: int = _from_bits(_to_bits(number + 0.0))[0]
    return bits | 1 << 63 if bits < 1 << 63 else bits ^ (1 << 64) - 1


def text_code(text: str) -> int:
    """A text's first 16 bytes, in the order of its code points."""
    return int.from_bytes(
        text[:_TEXT_BYTES].encode("utf-8", "surrogatepass")[:_TEXT_BYTES].ljust(_TEXT_BYTES, b"\0")
    )


def values_at(node: Any, segments: tuple[str, ...]) -> list[Any]:
    """All that a path reaches, as the evaluator walks it, and the elements of the arrays among that."""
    found: list[Any] = []
    _reach(node, segments, 0, found)
    return [*found, *(element for value in found if value.__class__ is list for element in value)]


def _reach(node: Any, segments: tuple[str, ...], depth: int, found: list[Any]) -> None:
    while depth < len(segments):
        segment = segments[depth]
        if node.__class__ is dict:
            node = node.get(segment)
            depth += 1
        elif node.__class__ is list:
            if is_index(segment) and int(segment) < len(node):
                _reach(node[int(segment)], segments, depth + 1, found)
            for element in node:
                if element.__class__ is dict:
                    _reach(element, segments, depth, found)
            return
        else:
            node, depth = None, len(segments)
    found.append(node)


def _rounded(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def _numeric(text: str) -> float | str:
    """NaN, which equals itself by its text, stays one; so does what is no number."""
    try:
        number = float(text)
    except ValueError:
        return text
    return number if number == number else text


def _micros(text: str) -> int | float | None:
    """As the evaluator reads it: by the standard library where that suffices."""
    try:
        found = _parse(text)
    except ValueError:
        return instant(text)
    return (found - (_EPOCH if found.tzinfo is None else _EPOCH_UTC)) // _MICROSECOND


def _uuid(text: str) -> str:
    return text.lower()


def _bytes(text: str) -> str | None:
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except ValueError:
        return None


def _number(literal: str) -> float | None:
    number: Decimal | None = decimal_literal(literal)
    return None if number is None else _rounded(number)


_READ: Final[Mapping[str, Callable[[str], Key]]] = {
    "decimal": _numeric,
    "int64": _numeric,
    "float": _numeric,
    "date": _micros,
    "timestamp": _micros,
    "timestamptz": _micros,
    "time": time_of_day,
    "uuid": _uuid,
    "bytes": _bytes,
}
assert _READ.keys() == READERS.keys()
_BRACKETS: Final[Mapping[str, int]] = {
    "decimal": NUMBER,
    "int64": NUMBER,
    "float": NUMBER,
    "date": INSTANT,
    "timestamp": INSTANT,
    "timestamptz": INSTANT,
    "time": TIME,
}

UNORDERED: Final = frozenset(("uuid", "bytes"))
"""Kinds that have keys but no codes: nobody asks for ranges of them, so all ranges of the field are candidates."""
