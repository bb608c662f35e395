"""BSON documents as JSON text, with the kinds that JSON cannot tell. (pure)

The stream and the snapshots convert here, straight from BSON, so that a value looks the same in both.

| BSON | JSON | kind |
|---|---|---|
| string, symbol, bool, null, document, array | as it is (undefined is null) | |
| int32, int64, double | number; whole numbers beyond ±(2**53−1) as a string | `int64` |
| NaN, Infinity | string | `float` |
| ObjectId | 24 hex digits | `objectId` |
| Decimal128 | string | `decimal` |
| date | ISO 8601 in UTC with `Z`, a fraction of a second where there is one, ` BC` before year 1 | `timestamptz` |
| binary | base64; of subtype 4 a UUID | `bytes`, `uuid` |
| regex, timestamp, code, MinKey, MaxKey | documents as in Extended JSON: `{"$timestamp": {"t": 1, "i": 2}}` | |

`types` lists kinds by dotted path, without array indexes; an array's elements have a kind (`decimal[]`) where it is
the same for all of them that are strings in JSON, and none otherwise.

What converts the single values is in `cdc.mongo.convert`, where *wire text* is told too.
"""

from __future__ import annotations

from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from cdc import kernel
from cdc.errors import ProtocolError
from cdc.mongo.convert import CACHED, CONVERT, MALFORMED, Kinds, fields, utf8

Types: TypeAlias = Mapping[str, str]

_NO_KINDS: Final[Types] = {}
_compiled: Final = kernel.load("bson")
_decode: Final = msgspec.json.Decoder().decode


class Row(NamedTuple):
    """A document: its JSON as wire text, and its kinds by wire text paths."""

    json: str
    types: Types


def row(raw: bytes, text: str, at: int) -> Row:
    """The document that begins at `at`. Raises `MALFORMED`, and RecursionError for what is nested too deeply."""
    kinds: Kinds = {}
    json, _ = fields(raw, text, at, "", kinds, None)
    return Row(json, {path: kind for path, kind in kinds.items() if kind} if kinds else _NO_KINDS)


def value(raw: bytes, text: str, kind: str, at: int) -> str:
    """The JSON of the value of this BSON type that begins at `at`. Raises as `row`."""
    return CONVERT[kind](raw, text, at, "", {}, None)[0]


class _TypesJson(dict[tuple[tuple[str, str], ...], str]):
    """Kinds by path, all as wire text, to JSON; what was seen lately is remembered."""

    def __missing__(self, types: tuple[tuple[str, str], ...]) -> str:
        if len(self) >= CACHED:
            self.clear()
        self[types] = text = (
            "{" + ",".join([f'{encode_basestring(path)}:"{kind}"' for path, kind in types]) + "}"
        )
        return text


_types: Final = _TypesJson()


def types_json(types: Types) -> str:
    """Kinds as JSON, wire text; empty if there are none."""
    return _types[tuple(types.items())] if types else ""


class Document(NamedTuple):
    """A document by itself: its JSON, the JSON object of its `_id`, and its kinds."""

    json: bytes
    key: bytes
    types: Types


def encode_document(raw: bytes) -> Document:
    """Convert a document as a find returns it, by the kernel if that can.

    Raises ProtocolError for one that is not BSON, or does not begin with its `_id`, as whatever MongoDB stores does."""
    found = None if _compiled is None else _compiled.encode_document(raw)
    return general_document(raw) if found is None else Document(*found)


def general_document(raw: bytes) -> Document:
    """The same of any document, without the kernel."""
    text = raw.decode("latin-1")
    try:
        if text[5:9] != "_id\0":
            raise ValueError("it does not begin with its _id")
        key = value(raw, text, text[4], 9)
        found = row(raw, text, 0)
    except MALFORMED as error:
        raise ProtocolError(f"a document is not BSON as documented: {error!r}") from error
    except RecursionError as error:
        raise ProtocolError("a document is nested too deeply") from error
    types = {utf8(path).decode(): kind for path, kind in found.types.items()}
    return Document(utf8(found.json), utf8(f'{{"_id":{key}}}'), types)


def merged_types(before: Row, after: Row) -> Types | None:
    """The one set of kinds that tells how to read both images; None if there is none."""
    if not same_reading(before, after):
        return None
    return before.types if before.types == after.types else {**before.types, **after.types}


def same_reading(before: Row, after: Row) -> bool:
    """Whether one set of kinds tells how to read both images: no field changed its kind, but to or from null.

    A number that outgrows JSON, or stops being one, is still read as a number.
    """
    if before.types == after.types:
        return True
    for path in before.types.keys() | after.types.keys():
        first, second = before.types.get(path), after.types.get(path)
        if first == second:
            continue
        if first is not None and second is not None:
            return False
        image, kind = (before, second) if first is None else (after, first)
        numbers = kind is not None and kind.rstrip("[]") not in ("int64", "float")
        if _holds(_decode(utf8(image.json)), path.split("."), numbers=numbers):
            return False
    return True


def _holds(node: Any, path: list[str], *, numbers: bool) -> bool:
    """Whether the path leads to anything but null (or to plain numbers, unless they count)."""
    if isinstance(node, list):
        return any(_holds(item, path, numbers=numbers) for item in node)
    if path:
        return isinstance(node, Mapping) and _holds(node.get(path[0]), path[1:], numbers=numbers)
    return node is not None and (numbers or node.__class__ not in (int, float))
