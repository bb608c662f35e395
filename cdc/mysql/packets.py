"""The server's bytes to binlog events: MySQL's packets, and what the server says instead of an event. (pure)

Protocol: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html. A packet is three bytes of
length, one of sequence, the payload; one of 2**24 - 1 bytes goes on in the next. A payload is 0x00 and an event, or an
error (0xff), or the end (0xfe).
"""

from __future__ import annotations

from struct import Struct
from typing import Final, TypeAlias

from cdc.errors import ProtocolError

Span: TypeAlias = tuple[bytes, int, int]
"""(buffer, begin, end): the bytes of an event, without the packet's head."""

_u32: Final = Struct("<I").unpack_from
_HEAD: Final = 4
_LONGEST: Final = 0xFFFFFF
_OK: Final = 0x00
_ERROR: Final = 0xFF
_END: Final = 0xFE
_SQL_STATE: Final = 6


class ServerError(Exception):
    """The server sent an error instead of an event. code: MySQL's number, 0 if it ended the stream without one."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Packets:
    """Takes what arrives in chunks of any size, gives events. Holds the unread rest of one chunk, or the chunks of one
    event that is not complete."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._have = 0
        self._need = _HEAD
        self._large: list[bytes] = []
        self._refusal: Exception | None = None

    def add(self, chunk: bytes) -> None:
        """Take in what arrived next."""
        self._chunks.append(chunk)
        self._have += len(chunk)

    def take(self) -> list[Span]:
        """All events that are complete. Raises, once those before it were taken, ServerError; ProtocolError for what
        is no packet."""
        self._check()
        if self._have < self._need:
            return []
        data = b"".join(self._chunks)  # large packets are joined once
        spans: list[Span] = []
        at, limit = 0, len(data)
        self._need = _HEAD
        while limit - at >= _HEAD and self._refusal is None:
            size = _u32(data, at)[0] & _LONGEST
            end = at + _HEAD + size
            if end > limit:
                self._need = end - at
                break
            begin = at + _HEAD
            at = end
            if size == _LONGEST:
                self._large.append(data[begin:end])
            elif self._large:
                large = b"".join([*self._large, data[begin:end]])
                self._large = []
                self._add(spans, large, 0, len(large))
            elif size and not data[begin]:
                spans.append((data, begin + 1, end))
            else:
                self._add(spans, data, begin, end)
        self._chunks = [data[at:]]
        self._have = limit - at
        if not spans:
            self._check()
        return spans

    def _check(self) -> None:
        if self._refusal is not None:
            raise self._refusal

    def _add(self, spans: list[Span], data: bytes, begin: int, end: int) -> None:
        """Any payload; nothing counts behind one that is no event."""
        if begin < end and data[begin] == _OK:
            spans.append((data, begin + 1, end))
        else:
            self._refusal = _refusal(data[begin:end])


def _refusal(payload: bytes) -> Exception:
    if not payload:
        return ProtocolError("an empty packet where a binlog event was expected")
    if payload[0] == _ERROR and len(payload) >= 3:
        text = payload[3:]
        if text[:1] == b"#":
            text = text[_SQL_STATE:]
        return ServerError(int.from_bytes(payload[1:3], "little"), text.decode(errors="replace"))
    if payload[0] == _END and len(payload) < 9:
        return ServerError(0, "the server ended the stream")
    return ProtocolError(f"a packet of type {payload[0]:#04x} where a binlog event was expected")
