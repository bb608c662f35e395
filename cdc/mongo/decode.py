"""Change stream events to changes. (pure)

https://www.mongodb.com/docs/manual/reference/change-events/
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias

from bson.timestamp import Timestamp

from cdc.errors import ProtocolError
from cdc.event import Op, Reset
from cdc.mongo.convert import MALFORMED
from cdc.mongo.eventcode import OPS
from cdc.mongo.fragments import Fragments
from cdc.mongo.reply import (
    DOCUMENT,
    INT64,
    STRING,
    Fields,
    collection_of,
    fields,
    fields_until,
    place,
    session_at,
    string,
    token_at,
)
from cdc.mongo.run import Key
from cdc.mongo.shapes import Shapes
from cdc.mongo.values import merged_types, types_json, value

_TOKEN_TIMESTAMP: Final = 0x82  # KeyString's type byte of what every resume token begins with
_DATE: Final = "\x09"
_TIMESTAMP: Final = "\x11"
_NULL: Final = "\x0a"
_TRANSACTION: Final = Struct("<11sq6s")
_BEGIN: Final = Struct("<5sI7sI")
_OPERATION: Final = Struct("<17sI")
_TIMES: Final = Struct("<14sQ10sq")
_END: Final = "\0"
_USUAL: Final = [
    (name, f"{DOCUMENT}{name}{_END}", len(name) + 2)
    for name in ("fullDocument", "ns", "documentKey", "updateDescription", "fullDocumentBeforeChange")
]
_uint32: Final = Struct("<I").unpack_from
_uint64: Final = Struct("<Q").unpack_from
_int64: Final = Struct("<q").unpack_from


Head: TypeAlias = tuple[str, str, int, int, Fields]


class RowChange(NamedTuple):
    """One document's change; `key`, `before`, `after` and `types` (empty if there are none) are JSON as wire text (see
    `cdc.mongo.values`)."""

    collection: str
    op: Op
    key: str
    before: str | None
    after: str | None
    types: str


class Change(NamedTuple):
    """One event of the stream.

    token: resumes behind it; order: its cluster time (see `order_of`); ts_ms: of the commit;
    transaction: what it shares with the others of its transaction, None if it is one by itself;
    images_missing: the collection keeps no pre- and post-images.
    """

    token: str
    order: int
    ts_ms: int
    transaction: Key | None
    rows: tuple[RowChange, ...] = ()
    resets: tuple[Reset, ...] = ()
    images_missing: bool = False


def order_of(time: Timestamp) -> int:
    """A cluster time as an integer that grows with the oplog."""
    return int(time.time << 32 | time.inc)


def resume_token_of(token: str) -> dict[str, Any]:
    """The resume token whose text this is (see `cdc.mongo.reply.token_at`)."""
    data, _, bits = token.partition(".")
    return {"_data": data, "_typeBits": bytes.fromhex(bits)} if bits else {"_data": data}


def token_order(token: str) -> int:
    """The cluster time in a resume token: a byte that says timestamp, then seconds and increment, in hex.

    Raises ProtocolError for a token that is not of the form that MongoDB 6.0 and later have.
    """
    try:
        head = bytes.fromhex(token[:18])
    except ValueError:
        head = b""
    if len(head) != 9 or head[0] != _TOKEN_TIMESTAMP:
        raise ProtocolError("a resume token does not begin with its cluster time")
    return int.from_bytes(head[1:])


class Decoder:
    """Decodes the events of one database, of which `collections` are wanted."""

    def __init__(self, collections: Iterable[str]) -> None:
        self._shapes = {collection: Shapes() for collection in collections}
        self._namespaces: dict[str, str] = {}
        self._fragments = Fragments()

    @property
    def in_event(self) -> bool:
        """Whether what comes next must be a fragment of the event at hand."""
        return self._fragments.pending

    def decode(self, raw: bytes, text: str, at: int) -> Change | None:
        """Decode the event that begins at `at`; what other collections do is a Change without rows and resets. None if
        it is but a fragment, and not the last.

        Raises ProtocolError for an event of another shape than MongoDB documents.
        """
        try:
            head = _head(raw, text, at)
            if head is not None and not self._fragments.pending:
                return self._decode(raw, text, *head)
            found = fields(raw, text, at)
            if "splitEvent" in found or self._fragments.pending:
                whole = self._fragments.add(raw, text, at)
                if whole is None:
                    return None
                raw, text, at = whole, whole.decode("latin-1"), 0
                found = fields(raw, text, at)
            return self._decode(raw, text, *_any_head(raw, text, found))
        except MALFORMED as error:
            raise ProtocolError(f"a change stream event is not as documented: {error!r}") from error
        except RecursionError as error:
            raise ProtocolError("a change stream event has a document nested too deeply") from error

    def _decode(
        self, raw: bytes, text: str, token: str, kind: str, order: int, ts_ms: int, found: Fields
    ) -> Change:
        transaction = None
        if "txnNumber" in found:
            session = session_at(raw, text, place(found, "lsid", DOCUMENT))
            transaction = Key(order, session, _int64(raw, place(found, "txnNumber", INT64))[0])
        op = OPS.get(kind)
        if op is None:
            return Change(token, order, ts_ms, transaction, (), self._resets(raw, text, found, kind))
        collection = self._collection(raw, text, found, "ns")
        if collection not in self._shapes:
            return Change(token, order, ts_ms, transaction)
        row, missing = self._row(raw, text, found, collection, op)
        return Change(token, order, ts_ms, transaction, (row,), (), missing)

    def _row(self, raw: bytes, text: str, found: Fields, collection: str, op: Op) -> tuple[RowChange, bool]:
        """The change, and whether an image is missing that the collection should have.

        An image alone says too little to tell what the change did to a result: without the new one the old one is left
        out too, and so it is where no one set of kinds tells how to read both.
        """
        row = self._shapes[collection].row
        key = _key(raw, text, place(found, "documentKey", DOCUMENT))
        if op is Op.CREATE:
            after = row(raw, text, place(found, "fullDocument", DOCUMENT))
            return RowChange(collection, op, key, None, after.json, types_json(after.types)), False
        old = _image(found, "fullDocumentBeforeChange")
        before = None if old is None else row(raw, text, old)
        if op is Op.DELETE:
            if before is None:
                return RowChange(collection, op, key, None, None, ""), True
            return RowChange(collection, op, key, before.json, None, types_json(before.types)), False
        new = _image(found, "fullDocument")
        if new is None:
            return RowChange(collection, op, key, None, None, ""), True
        after = row(raw, text, new)
        types = None if before is None else merged_types(before, after)
        if before is None or types is None:
            return RowChange(collection, op, key, None, after.json, types_json(after.types)), before is None
        return RowChange(collection, op, key, before.json, after.json, types_json(types)), False

    def _collection(self, raw: bytes, text: str, found: Fields, name: str) -> str:
        """The collection of the namespace in this field."""
        at = place(found, name, DOCUMENT)
        namespace = text[at : at + _uint32(raw, at)[0]]
        known = self._namespaces.get(namespace)
        if known is None:
            known = self._namespaces[namespace] = collection_of(namespace)
        return known

    def _resets(self, raw: bytes, text: str, found: Fields, kind: str) -> tuple[Reset, ...]:
        if kind == "invalidate":  # always behind the event that tells why
            return ()
        if kind == "dropDatabase":
            return tuple(Reset(collection, "database_dropped") for collection in sorted(self._shapes))
        if kind == "drop":
            touched, why = {self._collection(raw, text, found, "ns")}, "collection_dropped"
        elif kind == "rename":
            touched = {self._collection(raw, text, found, name) for name in ("ns", "to")}
            why = "collection_renamed"
        else:
            raise ProtocolError(f"a change stream event of type {kind!r} is not known; report this")
        return tuple(Reset(collection, why) for collection in sorted(touched & self._shapes.keys()))


def _head(raw: bytes, text: str, at: int) -> Head | None:
    """What an event begins with, if it begins as nearly all do: token, operation type, cluster time, when it was
    (Unix ms), and the fields behind these and before these, which tell of a transaction."""
    end_rest = at + _uint32(raw, at)[0] - 1
    at += 4
    of_transaction: Fields = {}
    if text.startswith("\x12txnNumber\0", at):
        _, _, lsid = _TRANSACTION.unpack_from(raw, at)
        if lsid != b"\x03lsid\0":
            return None
        session = at + _TRANSACTION.size
        of_transaction = {"txnNumber": (INT64, session - 14), "lsid": (DOCUMENT, session)}
        at = session + _uint32(raw, session)[0]
    id_, _, data, length = _BEGIN.unpack_from(raw, at)
    if id_ != b"\x03_id\0" or data != b"\x02_data\0":
        return None
    begin = at + _BEGIN.size
    end = begin + length - 1
    token = text[begin:end]
    literal, length = _OPERATION.unpack_from(raw, end)
    if literal != b"\0\0\x02operationType\0":
        return None
    begin = end + _OPERATION.size
    end = begin + length - 1
    literal, order, wall, ts_ms = _TIMES.unpack_from(raw, end)
    if literal != b"\0\x11clusterTime\0" or wall != b"\x09wallTime\0":
        return None
    rest = end + _TIMES.size
    found = _documents(raw, text, rest, end_rest) or fields_until(raw, text, rest, end_rest)
    return None if "splitEvent" in found else (token, text[begin:end], order, ts_ms, found | of_transaction)


def _documents(raw: bytes, text: str, at: int, end: int) -> Fields | None:
    """The fields from `at` on where they are those of nearly all inserts and updates, in their order."""
    found: Fields = {}
    startswith = text.startswith
    for name, literal, size in _USUAL:
        if startswith(literal, at):
            at += size
            found[name] = DOCUMENT, at
            at += _uint32(raw, at)[0]
    return found if at == end and text[end] == _END else None


def _any_head(raw: bytes, text: str, found: Fields) -> Head:
    """The same of an event whose fields come in any order."""
    token = token_at(raw, text, place(found, "_id", DOCUMENT))
    kind = string(raw, text, place(found, "operationType", STRING))
    order = _uint64(raw, place(found, "clusterTime", _TIMESTAMP))[0]
    ts_ms = _int64(raw, place(found, "wallTime", _DATE))[0] if "wallTime" in found else (order >> 32) * 1000
    return token, kind, order, ts_ms, found


def _key(raw: bytes, text: str, at: int) -> str:
    """The JSON of the key in the document key that begins at `at`, where a shard key may come with it."""
    if text.startswith("_id\0", at + 5):
        kind, at = text[at + 4], at + 9
    else:
        kind, at = fields(raw, text, at)["_id"]
    return f'{{"_id":{value(raw, text, kind, at)}}}'


def _image(found: Fields, name: str) -> int | None:
    """Where the image begins; None if the server has none."""
    if name not in found or found[name][0] == _NULL:
        return None
    return place(found, name, DOCUMENT)
