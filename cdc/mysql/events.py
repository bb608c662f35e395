"""Binlog events in turn, each at its place: headers, checksums, files, compressed transactions. (pure)"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from struct import Struct
from typing import Final, TypeAlias
from zlib import crc32

from cdc.errors import PositionLost, ProtocolError
from cdc.mysql import binlog
from cdc.mysql.binlog import CHECKSUM_SIZE, HEADER, HEADER_SIZE
from cdc.mysql.packets import PACKET_HEAD, Packets, Span
from cdc.mysql.payload import unpack
from cdc.mysql.position import order_of

Handler: TypeAlias = Callable[[bytes, int, int], None]
"""Takes an event's body: (buffer, begin, end), without header and checksum."""

Ahead: TypeAlias = Callable[[bytes, int, int], int]
"""Reads on by itself from the head of a packet, as far as it wants: (buffer, begin, bytes that it should not go far
beyond) to where it ended, at the head of a packet again. What it took in it has told with `EventReader.skip_to`."""

_header: Final = HEADER.unpack_from
_checksum: Final = Struct("<I").unpack_from
_WRAP: Final = 1 << 32
_LEAST: Final = HEADER_SIZE + CHECKSUM_SIZE
_BEGINNINGS: Final = frozenset({binlog.GTID, binlog.ANONYMOUS_GTID, binlog.MARIADB_GTID})


class EventReader:
    """Hands each event to the handler of its type. While one runs:

    kind, stamp, server: the event's type, Unix s and server id.
    file: the binlog's; begin, end: of the event in it. An event within a compressed transaction is at that one's place.
    created: when the file was begun (Unix s), 0 until that is known.
    torn: the file before it has no end of its own: the server was killed, or could not write on.
    """

    def __init__(
        self, handlers: Mapping[int, Handler], file: str, offset: int, created: int, ahead: Ahead
    ) -> None:
        """created: of `file`, if that is known from before. ahead: is asked before each transaction."""
        self.kind = self.stamp = self.server = 0
        self.file = file
        self.begin = self.end = offset
        self.created = created
        self.torn = self._stopped = False
        self._ahead = ahead
        self._handlers: dict[int, Handler] = {
            **dict.fromkeys(binlog.MEANINGLESS, _ignore),
            binlog.STOP: self._on_stop,
            **handlers,
            binlog.TRANSACTION_PAYLOAD: self._on_payload,
        }
        self._ordinary = {
            kind: handler
            for kind, handler in self._handlers.items()
            if kind not in (binlog.FORMAT_DESCRIPTION, binlog.ROTATE, binlog.HEARTBEAT)
        }
        self._on_new_file = handlers[binlog.FORMAT_DESCRIPTION]
        self._base = order_of(file, 0)
        self._checksums = True  # as declared to the server, until a file says what it has
        self._inner: Iterator[Span] | None = None
        self._after_inner: Callable[[], None] | None = None
        self._again: Span | None = None

    @property
    def order(self) -> int:
        """The place behind the newest event, see `order_of`."""
        return self._base | self.end

    @property
    def begin_order(self) -> int:
        """The place of the newest event."""
        return self._base | self.begin

    def advance(self, packets: Packets, budget: int) -> bool:
        """Take in events, `budget` bytes of them or one that is larger; whether there may be more.

        What a handler raises leaves the event to be handled again by the next call. Raises ServerError, ProtocolError,
        PositionLost if this is not the file that it was.
        """
        span, self._again = self._again, None
        while budget > 0:
            if span is None:
                if self._inner is not None:
                    span = next(self._inner, None)
                    if span is None:
                        self._end_inner()
                        continue
                elif self._checksums:
                    span, budget = self._ordinary_events(packets, budget)
                    if self._inner is not None or budget <= 0:
                        continue
                else:
                    span = packets.take()
                if span is None:
                    return False
            try:
                self._event(*span)
            except BaseException:
                self._again = span
                raise
            budget -= span[2] - span[1]
            span = None
        return True

    def _ordinary_events(self, packets: Packets, budget: int) -> tuple[Span | None, int]:
        """Take in events as long as there is nothing special about them, and about their places: with small
        transactions most of the time goes into what is done for every event, so all of it stands in one loop. The first
        that is not so, and what is left of the budget."""
        handlers, take, header, checksum, crc = self._ordinary, packets.take, _header, _checksum, crc32
        while budget > 0 and self._inner is None:
            span = take()
            if span is None:
                break
            data, at, end = span
            size = end - at
            if size < _LEAST:
                return span, budget
            stamp, kind, server, told, log_pos, _ = header(data, at)
            handler = handlers.get(kind)
            if handler is None or told != size or log_pos <= self.end:
                return span, budget
            try:
                if kind in _BEGINNINGS and data is packets.data:
                    begin = at - PACKET_HEAD
                    ended = self._ahead(data, begin, budget)
                    if ended > begin:
                        packets.at = ended
                        budget -= ended - begin
                        continue
                limit = end - CHECKSUM_SIZE
                body = data[at:limit]
                if crc(body) != checksum(data, limit)[0]:
                    raise ProtocolError(f"{self._here()}: the checksum of an event of type {kind} is wrong")
                self.stamp, self.kind, self.server = stamp, kind, server
                self.begin, self.end = log_pos - size, log_pos
                handler(body, HEADER_SIZE, size - CHECKSUM_SIZE)
            except BaseException:
                self._again = span
                raise
            budget -= size
        return None, budget

    def skip_to(self, end: int) -> None:
        """All events up to this place of the file are done with."""
        self.end = end

    def insert(self, events: Iterator[Span], after: Callable[[], None]) -> None:
        """Let these events come next, without checksums, and then call `after`."""
        self._inner, self._after_inner = chain(events, self._inner or ()), after

    def _end_inner(self) -> None:
        self._inner, after = None, self._after_inner
        if after is not None:
            self._after_inner = None
            after()

    def _event(self, data: bytes, at: int, end: int) -> None:
        if end - at < HEADER_SIZE:
            raise ProtocolError(f"{self._here()}: an event of {end - at} bytes")
        self.stamp, kind, self.server, size, log_pos, flags = _header(data, at)
        self.kind = kind
        if size != end - at:
            raise ProtocolError(f"{self._here()}: an event of {end - at} bytes says that it has {size}")
        if kind == binlog.FORMAT_DESCRIPTION:
            self._format(data, at, end)
            return
        if self._inner is not None or not self._checksums:
            body = data[at:end]
        else:
            body = data[at : end - CHECKSUM_SIZE]
            if len(body) < HEADER_SIZE or crc32(body) != _checksum(data, end - CHECKSUM_SIZE)[0]:
                raise ProtocolError(f"{self._here()}: the checksum of an event of type {kind} is wrong")
        if self._inner is None:
            if kind == binlog.ROTATE:
                self._rotate(body, HEADER_SIZE, len(body), told=not flags & binlog.ARTIFICIAL)
                return
            if log_pos:
                end = self.end & -_WRAP | log_pos
                if end >= self.end and kind != binlog.HEARTBEAT:
                    self.begin, self.end = end - size, end
                else:
                    self._move(kind, end, size)
        handler = self._handlers.get(kind)
        if handler is not None:
            handler(body, HEADER_SIZE, len(body))
        elif not flags & binlog.IGNORABLE:
            raise ProtocolError(f"{self._here()}: {binlog.told(kind)}")

    def _move(self, kind: int, end: int, size: int) -> None:
        """The event ends at a place of which only 32 bits are told, less than where the one before did."""
        if kind == binlog.HEARTBEAT:
            self.begin = self.end = max(end, self.end)
        else:
            end += _WRAP
            self.begin, self.end = end - size, end

    def _rotate(self, data: bytes, at: int, end: int, *, told: bool) -> None:
        """The server says which file comes next: both at a file's end (told), and by itself before each file."""
        rotate = binlog.decode_rotate(data, at, end)
        if rotate.file == self.file and rotate.offset <= self.end:
            return  # the beginning of the stream
        if rotate.file != self.file:
            self.created = 0
            self.torn = not told and not self._stopped
            self._stopped = False
        self.file, self._base = rotate.file, order_of(rotate.file, 0)
        self.begin = self.end = rotate.offset

    def _format(self, data: bytes, at: int, end: int) -> None:
        described = binlog.decode_format_description(data, at + HEADER_SIZE, end)
        end -= CHECKSUM_SIZE
        if described.checksums and crc32(memoryview(data)[at:end]) != _checksum(data, end)[0]:
            raise ProtocolError(f"{self._here()}: the checksum of the file's description is wrong")
        self._checksums = described.checksums
        if self.created and self.created != self.stamp:
            raise PositionLost(
                f"the binlog {self.file} is not the one that was left: it was begun anew since (RESET BINARY LOGS, or "
                "another server); to begin anew, start the tailer once with --reset-position"
            )
        begins = not self.created
        self.created = self.stamp
        if begins:
            self._on_new_file(data, at + HEADER_SIZE, end)

    def _on_payload(self, data: bytes, at: int, end: int) -> None:
        if self._inner is not None:
            raise ProtocolError(f"{self._here()}: a compressed transaction within another")
        self._inner = unpack(data, at, end)

    def _on_stop(self, data: bytes, at: int, end: int) -> None:
        self._stopped = True

    def _here(self) -> str:
        return f"binlog {self.file}, offset {self.end}"


def _ignore(data: bytes, at: int, end: int) -> None:
    """The handler of what says nothing of any row."""
