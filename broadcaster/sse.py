"""Server-Sent Events: frames and the cursor. (pure)

Frames follow the WHATWG "Server-sent events" section; row JSON never holds a raw CR or LF, so each `data` is one line.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import msgspec

_VERSION = 1
_DIGEST_BYTES = 6
_MAX_CURSOR_CHARS = 16_384

LAST_CHUNK: Final = b"0\r\n\r\n"
"""Ends a chunked response (RFC 9112 §7.1)."""


def frame(event: bytes, data: bytes, cursor: bytes | None = None) -> bytes:
    """One event; `data` is JSON without line breaks; with a cursor it ends a transaction."""
    if cursor is None:
        return b"event: %b\ndata: %b\n\n" % (event, data)
    return b"event: %b\nid: %b\ndata: %b\n\n" % (event, cursor, data)


def frames(events: Sequence[tuple[bytes, bytes]], cursor: bytes | None) -> bytes:
    """Several events and their data, one at least; with a cursor they end a transaction."""
    last = frame(*events[-1], cursor)
    if len(events) == 1:
        return last
    return b"".join([*(frame(event, data) for event, data in events[:-1]), last])


def retry(milliseconds: int) -> bytes:
    """How long the client should wait before it reconnects."""
    return b"retry: %d\n\n" % milliseconds


def chunked(payload: bytes) -> bytes:
    """The payload as one HTTP/1.1 chunk (RFC 9112 §7.1)."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)


def initial_frames(subscription_id: bytes, docs: Iterable[bytes], frame_bytes: int) -> Iterable[bytes]:
    """`initial` events of at most `frame_bytes` of rows each (but at least one row); one empty event for no rows.

    subscription_id: as a JSON string.
    """
    part: list[bytes] = []
    size = 0
    sent = False
    for doc in docs:
        if part and size + len(doc) > frame_bytes:
            yield _initial(subscription_id, part)
            part, size, sent = [], 0, True
        part.append(doc)
        size += len(doc) + 1
    if part or not sent:
        yield _initial(subscription_id, part)


def _initial(subscription_id: bytes, docs: Sequence[bytes]) -> bytes:
    return frame(b"initial", b'{"id":%b,"docs":[%b]}' % (subscription_id, b",".join(docs)))


def digest(subscription_id: str, query: str) -> bytes:
    """Names a subscription within a cursor: its id and the whole meaning of its query, rules included. A
    subscription whose rights changed has another digest, so an old cursor never resumes it."""
    return blake2b(f"{subscription_id}\0{query}".encode(), digest_size=_DIGEST_BYTES).digest()


@dataclass(frozen=True, slots=True)
class Cursor:
    """What a client has seen: for each database, everything up to an offset of an epoch of its log; and which
    subscriptions this is true of."""

    places: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    covered: frozenset[bytes] = frozenset()


def cursor_prefix(epochs: Mapping[str, str], covered: Iterable[bytes]) -> bytes:
    """The part of a cursor that stays while subscriptions and epochs stay; `cursor_text` adds the offsets."""
    head = msgspec.msgpack.encode([_VERSION, sorted(epochs.items()), b"".join(sorted(covered))])
    return base64.urlsafe_b64encode(head).rstrip(b"=")


def cursor_text(prefix: bytes, offsets: Sequence[int]) -> bytes:
    """A cursor; `offsets` in the order of the sorted database aliases."""
    return b"%b.%b" % (prefix, b"-".join([b"%d" % offset for offset in offsets]))


def parse_cursor(text: str) -> Cursor | None:
    """The cursor, or None if it is none of ours."""
    if not text or len(text) > _MAX_CURSOR_CHARS:
        return None
    head, _, tail = text.partition(".")
    try:
        raw = base64.b64decode(head + "=" * (-len(head) % 4), altchars=b"-_", validate=True)
        version, epochs, covered = msgspec.msgpack.decode(raw, type=tuple[int, list[tuple[str, str]], bytes])
        offsets = [int(part) for part in tail.split("-")] if tail else []
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        return None
    if version != _VERSION or len(offsets) != len(epochs) or len(covered) % _DIGEST_BYTES:
        return None
    if any(not 0 <= offset < 1 << 63 for offset in offsets):
        return None
    return Cursor(
        {alias: (epoch, offset) for (alias, epoch), offset in zip(epochs, offsets, strict=True)},
        frozenset(covered[i : i + _DIGEST_BYTES] for i in range(0, len(covered), _DIGEST_BYTES)),
    )
