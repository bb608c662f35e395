"""The server's bytes to binlog events: MySQL's packets, and what the server says instead of an event. (pure)

Protocol: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_basic_packets.html. A packet is three bytes of
length, one of sequence, the payload; one of 2**24 - 1 bytes goes on in the next. A payload is 0x00 and an event, or an
error (0xff), or the end (0xfe).
"""

from __future__ import annotations

from typing import Final, TypeAlias

from cdc.errors import ProtocolError

Span: TypeAlias = tuple[bytes, int, int]
"""(buffer, begin, end): the bytes of an event, without the packet's head."""

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
    """Takes what arrives in chunks of any size, gives events one by one. Holds the unread rest of one chunk, or the
    chunks of one event that is not complete."""

    def __init__(self) -> None:
        self._data = b""
        self._at = 0
        self._chunks: list[bytes] = []
        self._have = 0
        self._large: list[bytes] = []

    @property
    def held(self) -> int:
        """Bytes not given out yet."""
        return len(self._data) - self._at + self._have + sum(map(len, self._large))

    def add(self, chunk: bytes) -> None:
        """Take in what arrived next."""
        self._chunks.append(chunk)
        self._have += len(chunk)

    def next(self) -> Span | None:
        """The next event, None if none is complete. Raises ServerError; ProtocolError for what is no packet."""
        while True:
            data, at = self._data, self._at
            left = len(data) - at
            size = int.from_bytes(data[at : at + 3], "little") if left >= _HEAD else 0
            if left < _HEAD + size or left < _HEAD:
                if not self._refill(_HEAD + size):
                    return None
                continue
            begin, end = at + _HEAD, at + _HEAD + size
            self._at = end
            if size == _LONGEST:
                self._large.append(data[begin:end])
                continue
            if self._large:
                data = b"".join([*self._large, data[begin:end]])
                self._large = []
                begin, end = 0, len(data)
            if begin == end:
                raise ProtocolError("an empty packet where a binlog event was expected")
            if data[begin] == _OK:
                return data, begin + 1, end
            raise _refusal(data[begin:end])

    def _refill(self, need: int) -> bool:
        """Join what arrived to what is left, if that makes `need` bytes: large packets are joined once."""
        left = len(self._data) - self._at
        if left + self._have < need or not self._chunks:
            return False
        self._data = b"".join([self._data[self._at :], *self._chunks])
        self._at = 0
        self._chunks = []
        self._have = 0
        return True


def _refusal(payload: bytes) -> Exception:
    if payload[0] == _ERROR and len(payload) >= 3:
        text = payload[3:]
        if text[:1] == b"#":
            text = text[_SQL_STATE:]
        return ServerError(int.from_bytes(payload[1:3], "little"), text.decode(errors="replace"))
    if payload[0] == _END and len(payload) < 9:
        return ServerError(0, "the server ended the stream")
    return ProtocolError(f"a packet of type {payload[0]:#04x} where a binlog event was expected")
