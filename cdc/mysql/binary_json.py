"""MySQL's binary JSON to text, as the server prints it but for the spaces. (pure)

Format: mysql-server's sql-common/json_binary.h. Members are in the order in which the server keeps and prints them.
What is not in that format raises ValueError, LookupError or struct.error.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable
from math import isfinite
from struct import Struct
from typing import Final

from cdc.mysql import column_types as types
from cdc.wire_text import string

_SMALL_OBJECT: Final = 0x00
_LARGE_OBJECT: Final = 0x01
_SMALL_ARRAY: Final = 0x02
_LARGE_ARRAY: Final = 0x03
_LITERAL: Final = 0x04
_INT16: Final = 0x05
_UINT16: Final = 0x06
_INT32: Final = 0x07
_UINT32: Final = 0x08
_DOUBLE: Final = 0x0B
_STRING: Final = 0x0C
_OPAQUE: Final = 0x0F

_NUMBERS: Final = {
    _INT16: Struct("<h"), _UINT16: Struct("<H"), _INT32: Struct("<i"), _UINT32: Struct("<I"),
    0x09: Struct("<q"), 0x0A: Struct("<Q"),
}  # fmt: skip
_LITERALS: Final = {0: "null", 1: "true", 2: "false"}
_DOUBLES: Final = Struct("<d")
DEPTH: Final = 100
"""The deepest that the server lets a document be."""

_LINE: Final = 57  # bytes of base64 on one of the server's lines
FIXED_POINT: Final = 15
_DIGITS: Final = 9
_DIGIT_BYTES: Final = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)


def text_of(data: bytes) -> str:
    """A document as wire text. An empty one is null, as for the server."""
    if not data:
        return "null"
    return _value(data, data[0], 1, 0)


def _value(data: bytes, kind: int, at: int, depth: int) -> str:
    """The value of this type that begins at `at`."""
    if kind <= _LARGE_ARRAY:
        if depth > DEPTH:
            raise ValueError("a JSON document is nested too deeply")
        return _container(data, kind, at, depth + 1)
    if kind == _STRING:
        size, at = _size(data, at)
        return string(str(_slice(data, at, size), "latin-1"))
    if kind == _LITERAL:
        return _LITERALS[data[at]]
    if kind == _DOUBLE:
        return double(_DOUBLES.unpack_from(data, at)[0])
    if kind == _OPAQUE:
        size, start = _size(data, at + 1)
        return opaque(data[at], _slice(data, start, size))
    return str(_NUMBERS[kind].unpack_from(data, at)[0])


def _container(data: bytes, kind: int, base: int, depth: int) -> str:
    """base: where the offsets in it count from."""
    large = kind in (_LARGE_OBJECT, _LARGE_ARRAY)
    width = 4 if large else 2
    count = int.from_bytes(data[base : base + width], "little")
    size = int.from_bytes(data[base + width : base + 2 * width], "little")
    if base + size > len(data):
        raise ValueError(f"a JSON container of {size} bytes at {base} of {len(data)}")
    is_object = kind in (_SMALL_OBJECT, _LARGE_OBJECT)
    keys = base + 2 * width
    entries = keys + (count * (width + 2) if is_object else 0)
    if entries + count * (width + 1) > base + size:
        raise ValueError(f"a JSON container of {size} bytes with {count} elements")
    parts = []
    for entry in range(entries, entries + count * (width + 1), width + 1):
        kind = data[entry]
        if kind in (_LITERAL, _INT16, _UINT16) or (large and kind in (_INT32, _UINT32)):
            parts.append(_value(data, kind, entry + 1, depth))
        else:
            offset = int.from_bytes(data[entry + 1 : entry + 1 + width], "little")
            parts.append(_value(data, kind, base + offset, depth))
    if not is_object:
        return f"[{','.join(parts)}]"
    names = []
    for key in range(keys, entries, width + 2):
        offset = int.from_bytes(data[key : key + width], "little")
        length = int.from_bytes(data[key + width : key + width + 2], "little")
        names.append(string(str(_slice(data, base + offset, length), "latin-1")))
    return f"{{{','.join(f'{name}:{part}' for name, part in zip(names, parts, strict=True))}}}"


def _slice(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise ValueError(f"{size} bytes at {at} of {len(data)} in a JSON document")
    return data[at : at + size]


def _size(data: bytes, at: int) -> tuple[int, int]:
    """A length of seven bits a byte, and where it ends."""
    size = 0
    for shift in range(0, 35, 7):
        byte = data[at]
        at += 1
        size |= (byte & 0x7F) << shift
        if byte < 0x80:
            return size, at
    raise ValueError("a length of more than five bytes in a JSON document")


def double(value: float) -> str:
    """A DOUBLE as the server prints it in JSON (mysys/dtoa.cc, my_gcvt): its shortest digits, in fixed point up to a
    size, else `1e20`."""
    if not isfinite(value):
        raise ValueError("a number that is not finite in a JSON document")
    sign = "-" if str(value)[0] == "-" else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, part = mantissa.partition(".")
    digits = (whole + part).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + part) - len(digits))
    digits = digits.rstrip("0")
    if not digits:
        return f"{sign}0.0"
    if point < 1 - FIXED_POINT or (point > FIXED_POINT and len(digits) <= point):
        fraction = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{fraction}e{point - 1}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if len(digits) <= point:
        return f"{sign}{digits}{'0' * (point - len(digits))}.0"
    return f"{sign}{digits[:point]}.{digits[point:]}"


def opaque(kind: int, data: bytes) -> str:
    """A value of an SQL type that JSON does not have."""
    convert = _OPAQUE_TYPES.get(kind)
    if convert is not None:
        return convert(data)
    lines = [b2a_base64(data[i : i + _LINE], newline=False).decode() for i in range(0, len(data), _LINE)]
    return string(f"base64:type{kind}:" + "\n".join(lines))


def _decimal(data: bytes) -> str:
    """Precision, scale, and the digits as in a DECIMAL column (see `readings`)."""
    precision, scale = data[0], data[1]
    before, after = _groups(precision - scale, leading=True), _groups(scale, leading=False)
    size = sum(_DIGIT_BYTES[digits] for digits in before + after)
    if precision < scale or len(data) != 2 + size or not size:
        raise ValueError(f"a DECIMAL({precision},{scale}) of {len(data)} bytes in a JSON document")
    negative = data[2] < 0x80
    flip = (1 << 8 * size) - 1 if negative else 0
    bits = ((int.from_bytes(data[2:]) ^ flip) ^ 1 << 8 * size - 1).to_bytes(size)
    texts = []
    at = 0
    for digits in before + after:
        width = _DIGIT_BYTES[digits]
        texts.append(f"{int.from_bytes(bits[at : at + width]):0{digits}}")
        at += width
    whole = "".join(texts[: len(before)]).lstrip("0") or "0"
    fraction = "".join(texts[len(before) :])
    return f"{'-' if negative else ''}{whole}{'.' if fraction else ''}{fraction}"


def _groups(digits: int, *, leading: bool) -> list[int]:
    whole, part = divmod(digits, _DIGITS)
    parts = [part] * (part > 0)
    return parts + [_DIGITS] * whole if leading else [_DIGITS] * whole + parts


def _packed(data: bytes) -> tuple[str, int, int]:
    """(sign, whole part, microseconds) of a date or time."""
    packed = int.from_bytes(data, "little", signed=True)
    if len(data) != 8:
        raise ValueError(f"a date or time of {len(data)} bytes in a JSON document")
    return "-" if packed < 0 else "", abs(packed) >> 24, abs(packed) & 0xFFFFFF


def _date(data: bytes) -> str:
    return f'"{_day(_packed(data)[1])}"'


def _datetime(data: bytes) -> str:
    _, whole, micros = _packed(data)
    return f'"{_day(whole)} {whole >> 12 & 31:02}:{whole >> 6 & 63:02}:{whole & 63:02}.{micros:06}"'


def _day(whole: int) -> str:
    months = whole >> 22
    return f"{months // 13:04}-{months % 13:02}-{whole >> 17 & 31:02}"


def _time(data: bytes) -> str:
    sign, whole, micros = _packed(data)
    return f'"{sign}{whole >> 12 & 0x3FF:02}:{whole >> 6 & 63:02}:{whole & 63:02}.{micros:06}"'


_OPAQUE_TYPES: Final[dict[int, Callable[[bytes], str]]] = {
    types.NEWDECIMAL: _decimal,
    types.DATE: _date,
    types.DATETIME: _datetime,
    types.TIMESTAMP: _datetime,
    types.TIME: _time,
}
