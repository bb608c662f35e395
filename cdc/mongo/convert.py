"""BSON to JSON, value by value. (pure)

*Wire text* is BSON, or JSON made of it, as a str with one character per byte: the bytes decoded as Latin-1. All
structure is ASCII, the bytes of UTF-8 pass through untouched, and str is much the faster type for cutting and joining;
`utf8` makes bytes of it in the end. Everything here takes a message as bytes (`raw`) and as wire text (`text`), and
where in it (`at`).

https://bsonspec.org/spec.html
"""

from __future__ import annotations

import math
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from json.encoder import encode_basestring
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from typing import Final, TypeAlias

from bson.decimal128 import Decimal128

Kinds: TypeAlias = dict[str, str | None]

MALFORMED: Final = (IndexError, KeyError, ValueError, StructError)
"""What bytes that are not BSON raise here. Whoever calls knows what was read, and says so in a ProtocolError."""

CACHED: Final = 4096
SAFE: Final = 2**53 - 1
_DAY_MS: Final = 86_400_000
_DAYS_PER_400_YEARS: Final = 146_097
_EPOCH: Final = datetime(1970, 1, 1)
_YEAR_1: Final = -62_135_596_800_000
_YEAR_10000: Final = 253_402_300_800_000
_END: Final = "\0"
uint32: Final = Struct("<I").unpack_from
_int32: Final = Struct("<i").unpack_from
_int64: Final = Struct("<q").unpack_from
double: Final = Struct("<d").unpack_from


class _Names(dict[str, str]):
    """Field names to `"name":`, as wire text; what was seen lately is remembered."""

    def __missing__(self, name: str) -> str:
        if len(self) >= CACHED:
            self.clear()
        self[name] = text = f"{encode_basestring(name)}:"
        return text


class _Minutes(dict[int, str]):
    """Minutes since 1970 to the text of a date in one, up to its seconds; what was seen lately is remembered."""

    def __missing__(self, minute: int) -> str:
        if len(self) >= CACHED:
            self.clear()
        self[minute] = text = f'"{iso_date(minute * 60_000)[:-3]}'
        return text


_names: Final = _Names()
_minutes: Final = _Minutes()


def wire_text(text: str) -> str:
    """A string as wire text."""
    return text if text.isascii() else text.encode(errors="replace").decode("latin-1")


def utf8(text: str) -> bytes:
    """Wire text as UTF-8. MongoDB lets strings through that are none; what is not becomes U+FFFD."""
    data = text.encode("latin-1")
    if not text.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            data = data.decode(errors="replace").encode()
    return data


def iso_date(millis: int) -> str:
    """A BSON date, Unix ms, as ISO 8601; the fraction without its last zeros, as the other databases have it."""
    try:
        return _iso(_EPOCH + timedelta(milliseconds=millis)) + "Z"
    except OverflowError:  # beyond Python's years
        days, of_day = divmod(millis, _DAY_MS)
        cycles, days = divmod(days, _DAYS_PER_400_YEARS)
        moment = _EPOCH + timedelta(days=days, milliseconds=of_day)
        year = moment.year + 400 * cycles
        rest = _iso(moment)[4:] + "Z"
        return f"{year:04}{rest}" if year > 0 else f"{1 - year:04}{rest} BC"


def _iso(moment: datetime) -> str:
    text = moment.isoformat()
    return text.rstrip("0") if moment.microsecond else text


def date_text(millis: int) -> str:
    """A BSON date, Unix ms, as JSON."""
    if not _YEAR_1 <= millis < _YEAR_10000:
        return f'"{iso_date(millis)}"'
    minute, rest = divmod(millis, 60_000)
    if rest % 1000:
        return f"{_minutes[minute]}{rest // 1000:02}.{rest % 1000:03}".rstrip("0") + 'Z"'
    return f'{_minutes[minute]}{rest // 1000:02}Z"'


def uuid_text(raw: bytes) -> str:
    """A UUID as one writes it."""
    digits = raw.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


# One function per BSON type: (raw, text, at, path, kinds, array) -> (JSON, where it ends).
# kinds: gets what is to be told of `path`; None where a path is read in more than one way.
# array: the `[]` that belong to the path's kind; None outside of arrays, where a path is met but once.


def _note(kinds: Kinds, path: str, kind: str | None) -> None:
    if kinds.setdefault(path, kind) != kind:
        kinds[path] = None


def _string(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    at += 4
    end = at + uint32(raw, at - 4)[0]
    if array is not None:
        _note(kinds, path, None)
    return encode_basestring(text[at : end - 1]), end


def _document(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    return fields(raw, text, at, f"{path}.", kinds, None if array is None else "")


def fields(raw: bytes, text: str, at: int, prefix: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    end = at + uint32(raw, at)[0] - 1
    at += 4
    pieces = []
    while at < end:
        kind = text[at]
        stop = text.index(_END, at + 1)
        name = text[at + 1 : stop]
        value, at = CONVERT[kind](raw, text, stop + 1, prefix + name, kinds, array)
        pieces.append(_names[name] + value)
    if at != end or text[end] != _END:
        raise ValueError(f"a document that should end at byte {end} does not")
    return "{" + ",".join(pieces) + "}", end + 1


def _array(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    end = at + uint32(raw, at)[0] - 1
    at += 4
    array = f"{array or ''}[]"
    items = []
    while at < end:
        kind = text[at]
        at = text.index(_END, at + 1) + 1
        if kind == "\x10":  # as `_int`, without the call
            items.append(str(_int32(raw, at)[0]))
            at += 4
        else:
            value, at = CONVERT[kind](raw, text, at, path, kinds, array)
            items.append(value)
    if at != end or text[end] != _END:
        raise ValueError(f"an array that should end at byte {end} does not")
    return "[" + ",".join(items) + "]", end + 1


def _float(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    number = double(raw, at)[0]
    if math.isfinite(number):
        return repr(number), at + 8
    _note(kinds, path, f"float{array or ''}")
    return ('"NaN"' if math.isnan(number) else '"Infinity"' if number > 0 else '"-Infinity"'), at + 8


def _int(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    return str(_int32(raw, at)[0]), at + 4


def _long(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    number = _int64(raw, at)[0]
    if -SAFE <= number <= SAFE:
        return str(number), at + 8
    _note(kinds, path, f"int64{array or ''}")
    return f'"{number}"', at + 8


def _bool(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    return ("true" if raw[at] else "false"), at + 1


def _null(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    return "null", at


def _object_id(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    _note(kinds, path, f"objectId{array or ''}")
    return f'"{raw[at : at + 12].hex()}"', at + 12


def _date(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    _note(kinds, path, f"timestamptz{array or ''}")
    return date_text(_int64(raw, at)[0]), at + 8


def _decimal(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    _note(kinds, path, f"decimal{array or ''}")
    return f'"{Decimal128.from_bid(raw[at : at + 16])}"', at + 16


def _binary(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    size, subtype = uint32(raw, at)[0], raw[at + 4]
    at += 5
    end = at + size
    if subtype == 4 and size == 16:
        _note(kinds, path, f"uuid{array or ''}")
        return f'"{uuid_text(raw[at:end])}"', end
    if subtype == 2:  # an old form, which tells its size once more
        at += 4
    _note(kinds, path, f"bytes{array or ''}")
    return f'"{b2a_base64(raw[at:end], newline=False).decode()}"', end


def _regex(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    middle = text.index(_END, at)
    end = text.index(_END, middle + 1)
    pattern, options = encode_basestring(text[at:middle]), encode_basestring(text[middle + 1 : end])
    return f'{{"$regularExpression":{{"pattern":{pattern},"options":{options}}}}}', end + 1


def _pointer(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    name, at = _string(raw, text, at, "", {}, None)
    return f'{{"$ref":{name},"$id":"{raw[at : at + 12].hex()}"}}', at + 12


def _code(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    code, end = _string(raw, text, at, "", {}, None)
    return f'{{"$code":{code}}}', end


def _code_with_scope(
    raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None
) -> tuple[str, int]:
    code, at = _string(raw, text, at + 4, "", {}, None)
    scope, end = _document(raw, text, at, "", {}, None)  # kinds in there are not told
    return f'{{"$code":{code},"$scope":{scope}}}', end


def _timestamp(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    return f'{{"$timestamp":{{"t":{uint32(raw, at + 4)[0]},"i":{uint32(raw, at)[0]}}}}}', at + 8


def _min_key(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    return '{"$minKey":1}', at


def _max_key(raw: bytes, text: str, at: int, path: str, kinds: Kinds, array: str | None) -> tuple[str, int]:
    return '{"$maxKey":1}', at


CONVERT: Final[Mapping[str, Callable[[bytes, str, int, str, Kinds, str | None], tuple[str, int]]]] = {
    "\x01": _float,
    "\x02": _string,
    "\x03": _document,
    "\x04": _array,
    "\x05": _binary,
    "\x06": _null,  # undefined
    "\x07": _object_id,
    "\x08": _bool,
    "\x09": _date,
    "\x0a": _null,
    "\x0b": _regex,
    "\x0c": _pointer,
    "\x0d": _code,
    "\x0e": _string,  # symbol
    "\x0f": _code_with_scope,
    "\x10": _int,
    "\x11": _timestamp,
    "\x12": _long,
    "\x13": _decimal,
    "\x7f": _max_key,
    "\xff": _min_key,
}
