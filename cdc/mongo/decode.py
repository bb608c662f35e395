"""Change stream events to changes. (pure)

https://www.mongodb.com/docs/manual/reference/change-events/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from bson.timestamp import Timestamp

from cdc.codec import encode_key
from cdc.errors import ProtocolError
from cdc.event import Op, Reset
from cdc.mongo.values import Types, encode_row, plain_id, same_reading

_OPS: Final = {"insert": Op.CREATE, "update": Op.UPDATE, "replace": Op.UPDATE, "delete": Op.DELETE}
_TOKEN_TIMESTAMP: Final = 0x82  # KeyString's type byte of what every resume token begins with


class RowChange(NamedTuple):
    """One document's change; `before` and `after` are JSON."""

    collection: str
    op: Op
    key: bytes
    before: bytes | None
    after: bytes | None
    types: Types


class Change(NamedTuple):
    """One event of the stream.

    token: resumes behind it; order: its cluster time (see `order_of`); ts_ms: of the commit;
    transaction: what it shares with the others of its transaction, None if it is one by itself;
    images_missing: the collection keeps no pre- and post-images.
    """

    token: str
    order: int
    ts_ms: int
    transaction: tuple[int, bytes, int] | None
    rows: tuple[RowChange, ...] = ()
    resets: tuple[Reset, ...] = ()
    images_missing: bool = False


def order_of(time: Timestamp) -> int:
    """A cluster time as an integer that grows with the oplog."""
    return int(time.time << 32 | time.inc)


def token_of(resume_token: Mapping[str, Any]) -> str:
    """The text of a resume token: its `_data`; behind a dot its `_typeBits`, in hex, where it has any (they tell which
    type a number in the `_id` has; without them the server does not find the event of a large one again)."""
    token, bits = resume_token.get("_data"), resume_token.get("_typeBits", b"")
    if not isinstance(token, str) or not isinstance(bits, bytes):
        raise ProtocolError("a resume token is not of the form that MongoDB 6.0 and later have")
    return f"{token}.{bits.hex()}" if bits else token


def resume_token_of(token: str) -> dict[str, Any]:
    """The resume token whose text this is."""
    data, _, bits = token.partition(".")
    return {"_data": data, "_typeBits": bytes.fromhex(bits)} if bits else {"_data": data}


def token_order(token: str) -> int:
    """The cluster time in a resume token: a byte that says timestamp, then seconds and increment, in hex."""
    try:
        head = bytes.fromhex(token[:18])
    except ValueError:
        head = b""
    if len(head) != 9 or head[0] != _TOKEN_TIMESTAMP:
        raise ProtocolError("a resume token does not begin with its cluster time")
    return int.from_bytes(head[1:])


def decode(event: Mapping[str, Any], collections: frozenset[str]) -> Change:
    """Decode one event; what other collections do is a Change without rows and resets.

    Raises ProtocolError for an event of another shape than MongoDB documents.
    """
    try:
        return _decode(event, collections)
    except (KeyError, TypeError, AttributeError) as error:
        kind = event.get("operationType")
        raise ProtocolError(f"a change stream event ({kind!r}) is not as documented: {error!r}") from error


def _decode(event: Mapping[str, Any], collections: frozenset[str]) -> Change:
    kind = event["operationType"]
    time: Timestamp = event["clusterTime"]
    order = order_of(time)
    wall = event.get("wallTime")
    ts_ms = int(wall) if wall is not None else time.time * 1000
    token = token_of(event["_id"])
    transaction = None
    if "txnNumber" in event:
        transaction = (order, bytes(event["lsid"]["id"]), int(event["txnNumber"]))
    op = _OPS.get(kind)
    if op is None:
        return Change(token, order, ts_ms, transaction, resets=_resets(kind, event, collections))
    collection = event["ns"]["coll"]
    if collection not in collections:
        return Change(token, order, ts_ms, transaction)
    row, missing = _row(collection, op, event)
    return Change(token, order, ts_ms, transaction, (row,), images_missing=missing)


def _row(collection: str, op: Op, event: Mapping[str, Any]) -> tuple[RowChange, bool]:
    """The change, and whether an image is missing that the collection should have.

    An image alone says too little to tell what the change did to a result: without the new one the old one is left out
    too, and so it is where no one set of kinds tells how to read both.
    """
    key = encode_key({"_id": plain_id(event["documentKey"]["_id"])})
    old, new = event.get("fullDocumentBeforeChange"), event.get("fullDocument")
    if op is Op.CREATE:
        after = encode_row(new or {})
        return RowChange(collection, op, key, None, after.json, after.types), False
    before = None if old is None else encode_row(old)
    if op is Op.DELETE:
        types = {} if before is None else before.types
        return RowChange(collection, op, key, before and before.json, None, types), before is None
    if new is None:
        return RowChange(collection, op, key, None, None, {}), True
    after = encode_row(new)
    if before is None or old is None:
        return RowChange(collection, op, key, None, after.json, after.types), True
    if not same_reading(old, before.types, new, after.types):
        return RowChange(collection, op, key, None, after.json, after.types), False
    return RowChange(collection, op, key, before.json, after.json, {**before.types, **after.types}), False


def _resets(kind: str, event: Mapping[str, Any], collections: frozenset[str]) -> tuple[Reset, ...]:
    if kind == "invalidate":  # always behind the event that tells why
        return ()
    if kind == "dropDatabase":
        return tuple(Reset(collection, "database_dropped") for collection in sorted(collections))
    if kind == "drop":
        touched, why = {event["ns"]["coll"]}, "collection_dropped"
    elif kind == "rename":
        touched, why = {event["ns"]["coll"], event["to"]["coll"]}, "collection_renamed"
    else:
        raise ProtocolError(f"a change stream event of type {kind!r} is not known; report this")
    return tuple(Reset(collection, why) for collection in sorted(touched & collections))
