"""Bytes of the wire to pgoutput messages and frames, and the status update back. (pure)

PostgreSQL documentation, "Logical Replication Message Formats" (protocol version 1, text format, `messages` possible,
no streaming) and "Streaming Replication Protocol". This decoder is the reference: row messages are usually read by
code generated per relation (`rowcode`), which leaves everything unusual to this one.

Integers are big-endian. Only `ProtocolError` escapes, naming the message's type and the byte offset in it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cdc.errors import ProtocolError
from cdc.postgres.messages import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    LogicalMessage,
    Message,
    Origin,
    Relation,
    RelationColumn,
    Row,
    Truncate,
    TypeName,
    Update,
    Value,
)

EPOCH_2000_US: Final = 946_684_800_000_000
"""Postgres' time zero in Unix microseconds."""

FRAME_HEAD: Final = 25
"""Bytes of an XLogData frame before its message: 'w', start LSN, end LSN, time."""

_XLOG_DATA: Final = struct.Struct(">QQq")
_BEGIN: Final = struct.Struct(">QqI")
_COMMIT: Final = struct.Struct(">BQQq")


@dataclass(frozen=True, slots=True)
class XLogData:
    """The frame 'w'. start: the LSN of what `message` tells of; end: the server's end of WAL; time: when sent."""

    start: int
    end: int
    time_us: int
    message: bytes


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The frame 'k'. wal_end: everything that committed below was sent. reply: answer at once or be disconnected."""

    wal_end: int
    time_us: int
    reply: bool


class _Cursor:
    """Takes fields off a message, each length checked before anything is sliced."""

    __slots__ = ("at", "data", "kind")

    def __init__(self, data: bytes, kind: str) -> None:
        self.data = data
        self.kind = kind
        self.at = 0

    def error(self, what: str) -> ProtocolError:
        return ProtocolError(f"pgoutput message {self.kind!r}, byte {self.at}: {what}")

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise self.error(f"{count} bytes expected, {len(self.data) - self.at} left")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def unsigned(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def signed(self, size: int) -> int:
        return int.from_bytes(self.take(size), signed=True)

    def fields(self, layout: struct.Struct) -> tuple[int, ...]:
        return layout.unpack(self.take(layout.size))

    def letter(self) -> str:
        return str(self.take(1), "latin-1")

    def text(self) -> str:
        end = self.data.find(0, self.at)
        if end < 0:
            raise self.error("a string without its end")
        raw = self.data[self.at : end]
        try:
            decoded = raw.decode()
        except UnicodeDecodeError as error:
            raise self.error("a string that is not UTF-8") from error
        self.at = end + 1
        return decoded

    def done(self) -> None:
        if self.at != len(self.data):
            raise self.error(f"{len(self.data) - self.at} bytes too many")

    def row(self) -> Row:
        return tuple(self._value() for _ in range(self.unsigned(2)))

    def _value(self) -> Value:
        kind = self.letter()
        if kind == "t":
            return self.take(self.unsigned(4))
        if kind == "n":
            return None
        if kind == "u":
            return UNCHANGED
        self.at -= 1
        raise self.error(f"column value of unknown kind {kind!r}")


def _begin(c: _Cursor) -> Begin:
    return Begin(*c.fields(_BEGIN))


def _commit(c: _Cursor) -> Commit:
    return Commit(*c.fields(_COMMIT))


def _origin(c: _Cursor) -> Origin:
    return Origin(c.unsigned(8), c.text())


def _relation(c: _Cursor) -> Relation:
    relid, schema, table, identity = c.unsigned(4), c.text(), c.text(), c.letter()
    columns = tuple(
        RelationColumn(c.unsigned(1), c.text(), c.unsigned(4), c.signed(4)) for _ in range(c.unsigned(2))
    )
    return Relation(relid, schema or "pg_catalog", table, identity, columns)


def _type(c: _Cursor) -> TypeName:
    return TypeName(c.unsigned(4), c.text() or "pg_catalog", c.text())


def _insert(c: _Cursor) -> Insert:
    relid = c.unsigned(4)
    _expect_new(c)
    return Insert(relid, c.row())


def _update(c: _Cursor) -> Update:
    relid = c.unsigned(4)
    kind = c.letter()
    if kind == "N":
        return Update(relid, None, False, c.row())
    if kind not in "KO":
        raise c.error(f"old or new row expected, not {kind!r}")
    old = c.row()
    _expect_new(c)
    return Update(relid, old, kind == "K", c.row())


def _delete(c: _Cursor) -> Delete:
    relid = c.unsigned(4)
    kind = c.letter()
    if kind not in "KO":
        raise c.error(f"old row expected, not {kind!r}")
    return Delete(relid, c.row(), kind == "K")


def _expect_new(c: _Cursor) -> None:
    kind = c.letter()
    if kind != "N":
        raise c.error(f"new row expected, not {kind!r}")


def _truncate(c: _Cursor) -> Truncate:
    count = c.unsigned(4)
    flags = c.unsigned(1)
    if 4 * count > len(c.data):
        raise c.error(f"{count} relations cannot fit")
    return Truncate(flags, tuple(c.unsigned(4) for _ in range(count)))


def _logical_message(c: _Cursor) -> LogicalMessage:
    return LogicalMessage(c.unsigned(1) == 1, c.unsigned(8), c.text(), c.take(c.unsigned(4)))


_DECODERS: Final[Mapping[str, Callable[[_Cursor], Message]]] = {
    "B": _begin,
    "C": _commit,
    "O": _origin,
    "R": _relation,
    "Y": _type,
    "I": _insert,
    "U": _update,
    "D": _delete,
    "T": _truncate,
    "M": _logical_message,
}


def decode(message: bytes) -> Message:
    """Decode one whole pgoutput message. Raises ProtocolError, also for bytes too many and types unknown (streamed
    blocks and two-phase commits among them: this stream does not ask for them)."""
    c = _Cursor(message, "")
    c.kind = c.letter()
    decoder = _DECODERS.get(c.kind)
    if decoder is None:
        raise c.error("unknown type of message")
    decoded = decoder(c)
    c.done()
    return decoded


def decode_frame(frame: bytes) -> XLogData | KeepAlive:
    """Decode the payload of one CopyData message of the server. Raises ProtocolError."""
    c = _Cursor(frame, "CopyData")
    kind = c.letter()
    if kind == "w":
        start, end, time_us = c.fields(_XLOG_DATA)
        return XLogData(start, end, time_us, frame[FRAME_HEAD:])
    if kind == "k":
        keep_alive = KeepAlive(c.unsigned(8), c.signed(8), c.unsigned(1) != 0)
        c.done()
        return keep_alive
    raise c.error(f"unknown frame {kind!r}")


def encode_status(write: int, flush: int, apply: int, now_us: int, reply: bool = False) -> bytes:
    """The client's standby status update: LSNs up to which the stream was written, is durable, was applied.

    now_us is Unix time in microseconds; reply asks the server to answer at once.
    """
    return struct.pack(">cQQQqB", b"r", write, flush, apply, now_us - EPOCH_2000_US, reply)
