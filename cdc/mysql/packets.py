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
PACKET_HEAD: Final = 5
"""Bytes before an event: its packet's size, number and 0x00."""

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
    event that is not complete.

    data, at: what was put together and is not taken yet, from the head of a packet on. Whoever reads ahead there moves
    `at`, behind a whole event, to the head of another packet.
    """

    def __init__(self) -> None:
        self.data = b""
        self.at = 0
        self._limit = 0
        self._arrived: list[bytes] = []
        self._waiting = 0
        self._need = _HEAD
        self._large: list[bytes] = []
        self._refusal: Exception | None = None

    def add(self, chunk: bytes) -> None:
        """Take in what arrived next."""
        self._arrived.append(chunk)
        self._waiting += len(chunk)

    def take(self) -> Span | None:
        """The next event, if it is complete. Raises, once those before it were taken, ServerError; ProtocolError for
        what is no packet."""
        data, at = self.data, self.at
        begin = at + _HEAD
        if begin < self._limit and not self._large and self._refusal is None:
            size = _u32(data, at)[0] & _LONGEST
            end = begin + size
            if end <= self._limit and 0 < size < _LONGEST and not data[begin]:
                self.at = end
                return data, begin + 1, end
        return self._any()

    def _any(self) -> Span | None:
        """`take`, whatever comes."""
        while self._refusal is None:
            here = self._limit - self.at
            if here < self._need:
                if here + self._waiting < self._need:
                    return None
                self._join()
            begin = self.at + _HEAD
            size = _u32(self.data, self.at)[0] & _LONGEST
            end = begin + size
            if end > self._limit:
                self._need = end - self.at
                continue
            self.at, self._need = end, _HEAD
            if size == _LONGEST:
                self._large.append(self.data[begin:end])
                continue
            data = self.data
            if self._large:
                data = b"".join([*self._large, data[begin:end]])
                self._large = []
                begin, end = 0, len(data)
            if begin < end and data[begin] == _OK:
                return data, begin + 1, end
            self._refusal = _refusal(data[begin:end])  # nothing counts behind it
        raise self._refusal

    def _join(self) -> None:
        """Put together what has arrived; large packets once."""
        self.data = b"".join([self.data[self.at :], *self._arrived])
        self.at, self._limit = 0, len(self.data)
        self._arrived, self._waiting = [], 0


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
