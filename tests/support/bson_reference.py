"""BSON documents as JSON, the slow way: what `cdc.mongo.values` must make of them, from what pymongo decodes."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

import msgspec
from bson import decode
from bson.binary import Binary, UuidRepresentation
from bson.code import Code
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp

Doc: TypeAlias = Mapping[str, Any]
Types: TypeAlias = dict[str, str]

OPTIONS: Final[CodecOptions[dict[str, Any]]] = CodecOptions(
    document_class=dict,
    uuid_representation=UuidRepresentation.UNSPECIFIED,
    unicode_decode_error_handler="replace",
    datetime_conversion=DatetimeConversion.DATETIME_MS,
)
"""Under these every document can be read: dates of any year, strings that are not UTF-8, UUIDs as binary."""

_SAFE: Final = 2**53 - 1
_DAY_MS: Final = 86_400_000
_DAYS_PER_400_YEARS: Final = 146_097
_EPOCH: Final = datetime(1970, 1, 1)
_UUID_SUBTYPE: Final = 4
_encode: Final = msgspec.json.Encoder().encode


class ReferenceRow(NamedTuple):
    """A document: its JSON, the JSON value of its `_id`, and its kinds."""

    json: bytes
    id: Any
    types: Types


def reference_row(raw: bytes) -> ReferenceRow:
    """Convert a document."""
    kinds: dict[str, str | None] = {}
    plain = _document(decode(raw, OPTIONS), "", kinds)
    return ReferenceRow(
        _encode(plain), plain.get("_id"), {path: kind for path, kind in kinds.items() if kind}
    )


def _document(
    doc: Doc, prefix: str, kinds: dict[str, str | None], array: str | None = None
) -> dict[str, Any]:
    """array: not None inside of an array, where a path can be met more than once."""
    plain: dict[str, Any] = {}
    for name, value in doc.items():
        kind = value.__class__
        if (kind is str and array is None) or (kind is int and -_SAFE <= value <= _SAFE):
            plain[name] = value
        else:
            plain[name] = _value(value, prefix + name, kinds, array)
    return plain


def _value(value: Any, path: str, kinds: dict[str, str | None], array: str | None) -> Any:
    """array: the `[]` that belong to the path's kind; None outside of arrays."""
    kind = value.__class__
    if kind is dict:
        return _document(value, f"{path}.", kinds, None if array is None else "")
    if kind is list:
        return [_value(item, path, kinds, f"{array or ''}[]") for item in value]
    if value is None or kind is bool:
        return value
    if kind is str:
        if array is not None:
            _note(kinds, path, None)
        return value
    convert = _CONVERT.get(kind)
    if convert is None:
        return _other(value, path)
    plain, name = convert(value)
    if name is not None:
        _note(kinds, path, name + (array or ""))
    return plain


def _note(kinds: dict[str, str | None], path: str, kind: str | None) -> None:
    if kinds.setdefault(path, kind) != kind:
        kinds[path] = None


def _integer(value: int) -> tuple[Any, str | None]:
    return (int(value), None) if -_SAFE <= value <= _SAFE else (str(int(value)), "int64")


def _double(value: float) -> tuple[Any, str | None]:
    if math.isfinite(value):
        return value, None
    return ("NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"), "float"


def _binary(value: bytes) -> tuple[Any, str | None]:
    if getattr(value, "subtype", 0) == _UUID_SUBTYPE and len(value) == 16:
        return str(UUID(bytes=bytes(value))), "uuid"
    return base64.b64encode(value).decode(), "bytes"


def iso_date(millis: int) -> str:
    """A BSON date, Unix ms, as ISO 8601."""
    try:
        return _trimmed((_EPOCH + timedelta(milliseconds=millis)).isoformat()) + "Z"
    except OverflowError:  # beyond Python's years
        days, of_day = divmod(millis, _DAY_MS)
        cycles, days = divmod(days, _DAYS_PER_400_YEARS)
        moment = _EPOCH + timedelta(days=days, milliseconds=of_day)
        year = moment.year + 400 * cycles
        rest = _trimmed(moment.isoformat())[4:] + "Z"
        return f"{year:04}{rest}" if year > 0 else f"{1 - year:04}{rest} BC"


def _trimmed(text: str) -> str:
    return text.rstrip("0") if "." in text else text


def _code(value: Code) -> dict[str, Any]:
    scope = {} if value.scope is None else {"$scope": _inner(value.scope)}
    return {"$code": str(value), **scope}


def _inner(doc: Doc) -> dict[str, Any]:
    """A document in Extended JSON; kinds in there are not told."""
    return _document(doc, "", {})


def _regex(value: Regex[Any]) -> dict[str, Any]:
    pattern = value.pattern if isinstance(value.pattern, str) else value.pattern.decode(errors="replace")
    flags = "".join(
        letter for letter, flag in zip("ilmsux", (2, 4, 8, 16, 32, 64), strict=True) if value.flags & flag
    )
    return {"$regularExpression": {"pattern": pattern, "options": flags}}


_CONVERT: Final[Mapping[type, Callable[[Any], tuple[Any, str | None]]]] = {
    int: _integer,
    Int64: _integer,
    float: _double,
    ObjectId: lambda value: (str(value), "objectId"),
    DatetimeMS: lambda value: (iso_date(int(value)), "timestamptz"),
    Decimal128: lambda value: (str(value), "decimal"),
    bytes: _binary,
    Binary: _binary,
}

_DOCUMENTS: Final[Mapping[type, Callable[[Any], dict[str, Any]]]] = {
    Regex: _regex,
    Timestamp: lambda value: {"$timestamp": {"t": value.time, "i": value.inc}},
    Code: _code,
    MinKey: lambda value: {"$minKey": 1},
    MaxKey: lambda value: {"$maxKey": 1},
}


def _other(value: Any, path: str) -> dict[str, Any]:
    return _DOCUMENTS[value.__class__](value)
