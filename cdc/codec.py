"""The envelope: a change event to bytes and back, and the key beside it. (pure)

The Postgres source makes the same bytes in generated code (`cdc.postgres.rowcode`); this is for everybody else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from cdc.errors import ProtocolError
from cdc.event import Envelope

_decoder: Final = msgspec.json.Decoder(Envelope)
_encoder: Final = msgspec.json.Encoder()


def decode_envelope(value: bytes) -> Envelope:
    """Decode an event's value; rows stay raw JSON. Raises ProtocolError for what is not an envelope."""
    try:
        return _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a record of the log is not a change event: {error}") from error


def encode_event(
    *,
    op: str,
    before: bytes | None,
    after: bytes | None,
    source: Mapping[str, Any],
    ts_ms: int,
    total_order: int,
    collection_order: int,
    last: bool = False,
    types: Mapping[str, str] | None = None,
) -> bytes:
    """Encode an event's value. before, after: rows as JSON; source: the `source` block, with `txId` and `ts_ms`;
    total_order, collection_order: the event's number in its transaction and among its collection's, from 1."""
    transaction = {
        "id": source["txId"],
        "total_order": total_order,
        "data_collection_order": collection_order,
        **({"last": True} if last else {}),
    }
    envelope = {
        "before": None if before is None else msgspec.Raw(before),
        "after": None if after is None else msgspec.Raw(after),
        "source": source,
        "op": op,
        "ts_ms": ts_ms,
        "transaction": transaction,
        **({"types": types} if types else {}),
    }
    return _encoder.encode(envelope)


def encode_read(
    doc: bytes, source: Mapping[str, Any], ts_ms: int, types: Mapping[str, str] | None = None
) -> bytes:
    """Encode the value of an `r` event: a row as JSON that was read, not changed, so that no transaction is named."""
    envelope = {
        "before": None,
        "after": msgspec.Raw(doc),
        "source": source,
        "op": "r",
        "ts_ms": ts_ms,
        "transaction": None,
        **({"types": types} if types else {}),
    }
    return _encoder.encode(envelope)


def encode_key(fields: Mapping[str, Any]) -> bytes:
    """Encode a key: its fields in key order, each a JSON value. Two keys are equal if and only if their bytes are.

    Raises ValueError for a number that JSON does not have; sources write those as strings.
    """
    for name, value in fields.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}: {value} is no JSON number")
    return _encoder.encode(fields)


def decode_key(key: bytes) -> dict[str, Any]:
    """The fields of a key. Raises ProtocolError for what is not a JSON object."""
    try:
        return msgspec.json.decode(key, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(f"a record of the log has a key that is not a JSON object: {error}") from error
