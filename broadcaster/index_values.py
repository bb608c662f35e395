"""What a row's value and a client's literal are looked up by: two that the evaluator calls equal share a key, and codes
keep its order. (pure)

The kind of a column is known only beside a row, so a literal has a key for every reading of it. Keys and codes may say
more than is true (numbers are rounded to doubles, long texts cut off), never less. Where they say no more than is true
they are *sure*: a sure key of a row's value is that of an equal literal, and a sure code lies above or below that of
a literal only where the value does; it is *exact* where it also is that of a literal only where the value equals it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias

from broadcaster.conditions import is_index
from broadcaster.index_ranges import Code
from broadcaster.kinds import (
    READERS,
    SAFE_INTEGER,
    decimal_literal,
    instant,
    time_of_day,
    uuid_text,
    wide_number,
)

Key: TypeAlias = "str | int | float | tuple[str | bool, Any] | None"
"""A text, a number, or None: null. (False, bool). Of a reading by a kind, its name and what is read."""

NUMBER: Final = 0
TEXT: Final = 1
INSTANT: Final = 2
TIME: Final = 3
BOOL: Final = 4
SPELT: Final = 5
"""Brackets: only codes of the same one are compared. SPELT: numbers, one at least spelt as a text that only a column of
numbers as texts is compared to."""

_TEXT_BYTES: Final = 16
_MOST: Final = 2.0**900
_EPOCH: Final = datetime(1970, 1, 1)
_EPOCH_UTC: Final = _EPOCH.replace(tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_parse: Final = datetime.fromisoformat

TRUE_KEY: Final = False, True
FALSE_KEY: Final = False, False
"""Apart from the numbers that Python takes bools for."""


def keys_of(value: Any, kind: str | None) -> tuple[tuple[Key, ...], bool]:
    """The keys of a row's scalar, and whether they are sure; kind: as `base_kind` has it."""
    if value is None:
        return (None,), True
    if value.__class__ is bool:
        return (TRUE_KEY if value else FALSE_KEY,), True
    if value.__class__ is str:
        if kind is None:
            return (value,), True
        return _READ[kind](value)
    is_safe = _is_safe(value)
    key = value if is_safe else _rounded(value)
    if kind is None:
        return (key,), is_safe
    return (key, ("n", key)), False


def place_of(value: Any, kind: str | None) -> tuple[tuple[int, ...], Code, bool, bool] | None:
    """(brackets, code, whether it is sure, and exact) of a row's scalar; None where nothing is above or below it."""
    if value.__class__ is str:
        if kind is None:
            return _TEXTS, text_code(value), True, False
        if kind in _SPELT_KINDS:
            number = _numeric(value)
            return None if number.__class__ is str else _number_place(number, kind)
        read = time_of_day(value) if kind == "time" else _micros(value)
        if read is None:
            return None
        return _TIMES if kind == "time" else _INSTANTS, number_code(read), True, _is_safe(read)
    if value is None:
        return None
    if value.__class__ is bool:
        return _BOOLS, float(value), True, True
    return _number_place(value, kind)


def literal_keys(literal: bool | int | float | str | None) -> frozenset[Key]:
    """Every key that a value may have which equals the literal."""
    if not isinstance(literal, str):
        return frozenset(keys_of(literal, None)[0])
    keys: set[Key] = {literal}
    readings: list[tuple[str, Any]] = [
        ("u", uuid_text(literal)),
        ("b", _bytes(literal)),
        ("i", instant(literal)),
        ("t", time_of_day(literal)),
        ("n", literal if literal == "NaN" else _number(literal)),
    ]
    keys.update(reading for reading in readings if reading[1] is not None)
    if (number := wide_number(literal)) is not None:
        keys.add(_rounded(number))
    return frozenset(keys)


def literal_codes(literal: bool | int | float | str) -> dict[int, Code]:
    """Bracket → code for every reading of a range's bound. A number may also be compared as one that is spelt."""
    if isinstance(literal, bool):
        return {BOOL: float(literal)}
    if not isinstance(literal, str):
        code = number_code(literal)
        return {NUMBER: code, SPELT: code}
    codes: dict[int, Code] = {TEXT: text_code(literal)}
    for bracket, read in ((SPELT, _number), (INSTANT, instant), (TIME, time_of_day)):
        if (found := read(literal)) is not None:
            codes[bracket] = number_code(found)
    if wide_number(literal) is not None:
        codes[NUMBER] = codes[SPELT]
    return codes


def prefix_codes(prefix: str) -> tuple[dict[int, Code], dict[int, Code]]:
    """The codes, as of `literal_codes`, between which every text lies that begins so."""
    low = text_code(prefix)
    room = 8 * max(0, _TEXT_BYTES - len(prefix.encode("utf-8", "surrogatepass")))
    return {TEXT: low}, {TEXT: low | (1 << room) - 1}


def number_code(number: Any) -> float:
    """A number as a double in its order."""
    return max(-_MOST, min(_rounded(number), _MOST))


def text_code(text: str) -> int:
    """A text's first 16 bytes, in the order of its code points."""
    return int.from_bytes(
        text[:_TEXT_BYTES].encode("utf-8", "surrogatepass")[:_TEXT_BYTES].ljust(_TEXT_BYTES, b"\0")
    )


def values_at(node: Any, segments: tuple[str, ...]) -> list[Any]:
    """All that a path reaches, as the evaluator walks it, the elements of the arrays among that, and theirs."""
    found: list[Any] = []
    _reach(node, segments, 0, found)
    elements = [element for value in found if value.__class__ is list for element in value]
    inner = [element for value in elements if value.__class__ is list for element in value]
    return [*found, *elements, *inner]


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


def _is_safe(number: Any) -> bool:
    """Whether a double has its value, and that of no other number that a row or a literal may have."""
    return bool(-SAFE_INTEGER <= number <= SAFE_INTEGER)


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


def _bytes(text: str) -> str | None:
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode()
    except ValueError:
        return None


def _number(literal: str) -> float | None:
    number: Decimal | None = decimal_literal(literal)
    return None if number is None else _rounded(number)


def _number_place(number: Any, kind: str | None) -> tuple[tuple[int, ...], float, bool, bool]:
    code = number_code(number)
    if kind is None:
        return _PLAIN, code, True, _is_safe(number)
    return _NUMBERS, code, kind == "decimal" and -_MOST < code < _MOST, False


def _reading(name: str, read: Callable[[str], Any]) -> Callable[[str], tuple[tuple[Key, ...], bool]]:
    """Keys of a text that is read so; what cannot be read equals nothing."""

    def keys(text: str) -> tuple[tuple[Key, ...], bool]:
        found = read(text)
        return ((), False) if found is None else (((name, found),), True)

    return keys


def _spelt(text: str) -> tuple[tuple[Key, ...], bool]:
    number = _numeric(text)
    return (("n", number),) if number.__class__ is str else (number, ("n", number)), False


_READ: Final[Mapping[str, Callable[[str], tuple[tuple[Key, ...], bool]]]] = {
    "decimal": _spelt,
    "int64": _spelt,
    "float": _spelt,
    "date": _reading("i", _micros),
    "timestamp": _reading("i", _micros),
    "timestamptz": _reading("i", _micros),
    "time": _reading("t", time_of_day),
    "uuid": _reading("u", str.lower),
    "bytes": _reading("b", _bytes),
}
assert _READ.keys() == READERS.keys()
_SPELT_KINDS: Final = frozenset(("decimal", "int64", "float"))
UNORDERED: Final = frozenset(("uuid", "bytes"))
"""Kinds that have keys but no codes: nobody asks for ranges of them, so all ranges of the field are candidates."""

_PLAIN: Final = (NUMBER,)
_NUMBERS: Final = (NUMBER, SPELT)
_TEXTS: Final = (TEXT,)
_INSTANTS: Final = (INSTANT,)
_TIMES: Final = (TIME,)
_BOOLS: Final = (BOOL,)
