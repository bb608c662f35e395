"""How the rows of a live query are ordered: one total order, whatever the database. (pure)

A row's *rank* is bytes whose order is that of the rows. Null and missing come first, then numbers (by their digits, NaN
above all), text (by code point), bools, instants, times, UUIDs, binary, what its kind cannot read, documents and arrays
(by their JSON with sorted keys). The row's kinds decide how a string is read, as in `broadcaster.kinds`. Descending
reverses a field, nulls included. The primary key, ascending, breaks ties, so that no two rows have one rank.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from broadcaster.conditions import array_path, is_index
from broadcaster.evaluate import decode_row
from broadcaster.kinds import HAS_NAN, INSTANT, READERS, SAFE_INTEGER, Reader, base_kind, exact, instant

_NULL, _NUMBER, _TEXT, _BOOL, _INSTANT, _TIME, _UUID, _BYTES, _UNREADABLE, _DOCUMENT, _ARRAY = (
    bytes([code]) for code in range(0x10, 0x1B)
)
_CLASSES: Final[Mapping[str, bytes]] = {"time": _TIME, "uuid": _UUID, "bytes": _BYTES}
_NUMERIC: Final = frozenset({"decimal", "int64", "float"})
_TRUE, _FALSE = _BOOL + b"\2", _BOOL + b"\1"
_NEGATIVE_INFINITY, _NEGATIVE, _ZERO, _POSITIVE, _INFINITY, _NAN = (
    _NUMBER + bytes([code]) for code in range(1, 7)
)
_MIDDLE_EXPONENT: Final = 1 << 62
INVERTED: Final = bytes(range(255, -1, -1))
_DIGITS: Final = bytes(48 + digit if digit < 10 else 0 for digit in range(256))
_MOMENT: Final = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})([T ].*)?")
_HALF: Final = Decimal("0.5")
_DEPTH: Final = 64


@dataclass(frozen=True, slots=True)
class SortField:
    """A dotted path. It leads through documents, and by number into arrays."""

    path: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """sort: the fields, the most significant first; limit: how many rows are shown, None for all."""

    sort: tuple[SortField, ...] = ()
    limit: int | None = None

    def text(self) -> str:
        """A text that two orders share only if they are the same."""
        return json.dumps([[[field.path, field.descending] for field in self.sort], self.limit])

    def rank(self, key: bytes, row: Mapping[str, Any], types: Mapping[str, str] | None) -> bytes:
        """The place of a row. key: the primary key as JSON, its fields in order; row, types: as the evaluator's."""
        return b"".join(self.parts(key, row, types))

    def parts(self, key: bytes, row: Mapping[str, Any], types: Mapping[str, str] | None) -> Sequence[bytes]:
        """The rank, one part for each field of `sort` and of the primary key, and one more."""
        parts = [_part(field, row, types) for field in self.sort]
        parts += [placed(value, kind_at(name, types)) for name, value in decode_row(key).items()]
        parts.append(key)
        return parts

    def rounded(self, key: bytes, row: Mapping[str, Any], types: Mapping[str, str] | None) -> bytes:
        """The first part, as it is if numbers are rounded to doubles: what sorts numbers by their exact values, and not
        by their shortest digits, agrees with that."""
        if self.sort:
            return _part(self.sort[0], row, types, _placed_rounded)
        name, value = next(iter(decode_row(key).items()))
        return _placed_rounded(value, kind_at(name, types))


def _part(
    field: SortField,
    row: Mapping[str, Any],
    types: Mapping[str, str] | None,
    place: Callable[[Any, str | None], bytes] | None = None,
) -> bytes:
    path = field.path
    value = value_at(row, path)
    part = _NULL if value is None else (place or placed)(value, kind_at(path, types))
    return part.translate(INVERTED) if field.descending else part


def value_at(row: Mapping[str, Any], path: str) -> Any:
    """What a dotted path leads to; None where that is missing."""
    if "." not in path:
        return row.get(path)
    node: Any = row
    for segment in path.split("."):
        if node.__class__ is dict:
            node = node.get(segment)
        elif node.__class__ is list and is_index(segment) and int(segment) < len(node):
            node = node[int(segment)]
        else:
            return None
    return node


def kind_at(path: str, types: Mapping[str, str] | None) -> str | None:
    """How what is at the path is read: a key of `READERS`, None for plain JSON."""
    return base_kind(types.get(path) or types.get(array_path(path))) if types else None


def placed(value: Any, kind: str | None) -> bytes:
    """The place of a value among all values: bytes that sort as they do, equal for equal ones. Of two different results
    neither begins with the other, so that they can stand before something else."""
    if value is None:
        return _NULL
    if value.__class__ is bool:
        return _TRUE if value else _FALSE
    if value.__class__ is dict:
        return _DOCUMENT + _ended(_canonical(value, 0))
    if value.__class__ is list:
        return _ARRAY + _ended(_canonical(value, 0))
    if kind is not None:
        return _of_kind(value, kind, READERS[kind])
    if value.__class__ is str:
        return _TEXT + _ended(value)
    return _number(value)


def _placed_rounded(value: Any, kind: str | None) -> bytes:
    number = value
    if kind in _NUMERIC:
        number = READERS[kind].value(value)
    elif kind is not None:
        return placed(value, kind)
    if number is None or number.__class__ not in (int, float, Decimal):
        return placed(value, kind)
    try:
        return _number(float(number))
    except OverflowError:
        return _INFINITY if number > 0 else _NEGATIVE_INFINITY


def _of_kind(value: Any, kind: str, reader: Reader) -> bytes:
    read = reader.value(value)
    if read is None:
        if value == "NaN" and kind in HAS_NAN:
            return _NAN
        return (_no_moment(value) if reader is INSTANT else None) or _UNREADABLE + _ended(str(value))
    if reader is INSTANT:
        return _INSTANT + _number(read)
    kind_class = _CLASSES.get(kind)
    if kind_class is None:
        return _number(read)
    return kind_class + (_number(read) if kind == "time" else _ended(read))


def _no_moment(text: Any) -> bytes | None:
    """The place of a date that there is not, as MySQL has them: 0000-00-00 before all, 2024-02-00 before 2024-02-01."""
    match = _MOMENT.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        return None
    year, month, day = map(int, match.groups()[:3])
    if year == 0:
        year, month = 1, 1
    elif month == 0:
        month = 1
    elif day > 0:
        year, month = year + month // 12, month % 12 + 1
    following = instant(f"{year:04d}-{month:02d}-01")
    if following is None:
        return None
    return _INSTANT + _number(Decimal(following) - _HALF) + _ended(match[0])


def _number(value: Any) -> bytes:
    """The sign, the decimal exponent, then the digits as far as they are not zeros at the end."""
    if value.__class__ is int:
        digits = b"%d" % abs(value)
        negative, exponent = value < 0, len(digits) - 1
    else:
        number = Decimal(repr(value)) if value.__class__ is float else value
        if not number.is_finite():
            return _NAN if number.is_nan() else _INFINITY if number > 0 else _NEGATIVE_INFINITY
        negative, exponent = number.is_signed(), number.adjusted()
        digits = bytes(number.as_tuple().digits).translate(_DIGITS)
    digits = digits.rstrip(b"0")
    if not digits:
        return _ZERO
    body = (exponent + _MIDDLE_EXPONENT).to_bytes(8) + digits + b"\0"
    return _NEGATIVE + body.translate(INVERTED) if negative else _POSITIVE + body


def _ended(text: str | bytes) -> bytes:
    """The bytes with an end that is below all that could follow. UTF-8 sorts by code point, lone surrogates too."""
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    return data.replace(b"\0", b"\0\xff") + b"\0\0"


def _canonical(value: Any, depth: int) -> str:
    """A document or array as JSON with sorted keys; what is nested beyond any use counts as equal."""
    if depth == _DEPTH:
        return "…"
    if value.__class__ is dict:
        members = [
            f"{json.dumps(key, ensure_ascii=False)}:{_canonical(value[key], depth + 1)}"
            for key in sorted(value)
        ]
        return f"{{{','.join(members)}}}"
    if value.__class__ is list:
        return f"[{','.join([_canonical(item, depth + 1) for item in value])}]"
    if value.__class__ is float and value.is_integer():
        return f"{exact(int(value) if abs(value) <= SAFE_INTEGER else value)}"
    if isinstance(value, Decimal):
        return str(value)
    return json.dumps(value, ensure_ascii=False)
