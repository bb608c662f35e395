"""Builders of pgoutput messages and of the frames around them, as bytes of the wire."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from cdc.postgres.messages import UNCHANGED, Value

TIME_US = 843_315_200_123_456  # 2026-09-21, microseconds since 2000
TIME_MS = (TIME_US + 946_684_800_000_000) // 1000


def frame(message: bytes, start: int = 0) -> bytes:
    """XLogData."""
    return b"w" + struct.pack(">QQq", start, start, TIME_US) + message


def keepalive(wal_end: int, reply: bool = False) -> bytes:
    return b"k" + struct.pack(">QqB", wal_end, TIME_US, reply)


def begin(commit_lsn: int, xid: int = 771, time_us: int = TIME_US) -> bytes:
    return b"B" + struct.pack(">QqI", commit_lsn, time_us, xid)


def commit(commit_lsn: int, end_lsn: int, time_us: int = TIME_US) -> bytes:
    return b"C" + struct.pack(">BQQq", 0, commit_lsn, end_lsn, time_us)


def origin(name: str, lsn: int = 0) -> bytes:
    return b"O" + struct.pack(">Q", lsn) + _string(name)


def relation(
    relid: int,
    schema: str,
    table: str,
    columns: Sequence[tuple[str, int]],
    identity: str = "f",
    typmod: int = -1,
) -> bytes:
    """columns: (name, type's OID); all of them flagged as the identity, as under FULL."""
    described = b"".join(b"\x01" + _string(name) + struct.pack(">Ii", oid, typmod) for name, oid in columns)
    head = struct.pack(">I", relid) + _string(schema) + _string(table) + identity.encode()
    return b"R" + head + struct.pack(">H", len(columns)) + described


def type_name(oid: int, schema: str, name: str) -> bytes:
    return b"Y" + struct.pack(">I", oid) + _string(schema) + _string(name)


def row(values: Sequence[Value]) -> bytes:
    return struct.pack(">H", len(values)) + b"".join(_value(value) for value in values)


def insert(relid: int, new: Sequence[Value]) -> bytes:
    return b"I" + struct.pack(">I", relid) + b"N" + row(new)


def update(relid: int, old: Sequence[Value] | None, new: Sequence[Value], kind: str = "O") -> bytes:
    """kind: of the old row, O whole or K key only."""
    before = b"" if old is None else kind.encode() + row(old)
    return b"U" + struct.pack(">I", relid) + before + b"N" + row(new)


def delete(relid: int, old: Sequence[Value], kind: str = "O") -> bytes:
    return b"D" + struct.pack(">I", relid) + kind.encode() + row(old)


def truncate(relids: Sequence[int], flags: int = 0) -> bytes:
    return b"T" + struct.pack(f">IB{len(relids)}I", len(relids), flags, *relids)


def logical_message(prefix: str, content: bytes, transactional: bool = True, lsn: int = 0) -> bytes:
    return (
        b"M"
        + struct.pack(">BQ", transactional, lsn)
        + _string(prefix)
        + struct.pack(">I", len(content))
        + content
    )


def _string(text: str) -> bytes:
    return text.encode() + b"\0"


def _value(value: Value) -> bytes:
    if value is None:
        return b"n"
    if value is UNCHANGED:
        return b"u"
    assert isinstance(value, bytes)
    return b"t" + struct.pack(">I", len(value)) + value
