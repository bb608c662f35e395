from __future__ import annotations

import struct
import zlib

import pytest

from cdc.errors import PositionLost, ProtocolError
from cdc.mysql import binlog
from cdc.mysql.events import EventReader
from cdc.mysql.packets import Packets

DESCRIPTION = b"\x04\0" + b"9.7.4".ljust(50, b"\0") + bytes(4) + b"\x13" + bytes(40) + b"\x01"


def event(kind: int, body: bytes, end: int = 0, *, flags: int = 0, stamp: int = 7) -> bytes:
    """With its checksum, in a packet."""
    whole = binlog.HEADER.pack(stamp, kind, 1, binlog.HEADER_SIZE + len(body) + 4, end, flags) + body
    whole += struct.pack("<I", zlib.crc32(whole))
    return (len(whole) + 1).to_bytes(3, "little") + b"\0\0" + whole


class Reading:
    """A reader at bin.000001, offset 100, whose handlers of XID write down (body, file, begin, end)."""

    def __init__(self, created: int = 0, offset: int = 100) -> None:
        self.seen: list[tuple[bytes, str, int, int]] = []
        self.files = 0
        self.packets = Packets()
        handlers = {
            binlog.FORMAT_DESCRIPTION: self._on_file,
            binlog.HEARTBEAT: self._on_file,
            binlog.XID: self._on_xid,
        }
        self.reader = EventReader(handlers, "bin.000001", offset, created, lambda data, at, budget: at)

    def feed(self, *events: bytes) -> None:
        self.packets.add(b"".join(events))
        while self.reader.advance(self.packets, 1 << 20):
            pass

    def _on_file(self, data: bytes, at: int, end: int) -> None:
        self.files += 1

    def _on_xid(self, data: bytes, at: int, end: int) -> None:
        if data[at:end] == b"refuse":
            raise RuntimeError
        self.seen.append((data[at:end], self.reader.file, self.reader.begin, self.reader.end))


def test_events_have_places_over_files() -> None:
    reading = Reading()
    reading.feed(event(binlog.XID, b"one", 200))
    reading.feed(event(binlog.ROTATE, struct.pack("<Q", 4) + b"bin.000002"))
    reading.feed(event(binlog.FORMAT_DESCRIPTION, DESCRIPTION, 120), event(binlog.XID, b"two", 300))
    size = binlog.HEADER_SIZE + 3 + 4
    assert reading.seen == [(b"one", "bin.000001", 200 - size, 200), (b"two", "bin.000002", 300 - size, 300)]
    assert (reading.files, reading.reader.order) == (1, 2 << 40 | 300)


def test_offsets_go_on_beyond_32_bits() -> None:
    reading = Reading(offset=(1 << 32) - 50)
    reading.feed(event(binlog.XID, b"one", 10), event(binlog.HEARTBEAT, b"bin.000001", 5))
    assert reading.reader.end == (1 << 32) + 10


def test_what_is_not_understood_stops() -> None:
    whole = event(binlog.XID, b"one", 200)
    for wrong, said in (
        (whole[:-1] + bytes([whole[-1] ^ 1]), "checksum"),
        (event(99, b"", 200), "type 99"),
        (event(binlog.INCIDENT, b"", 200), "lacks changes"),
        (b"\3\0\0\0\0xx", "an event of 2 bytes"),
    ):
        with pytest.raises(ProtocolError, match=said):
            Reading().feed(wrong)
    Reading().feed(event(99, b"", 200, flags=binlog.IGNORABLE))


def test_another_file_of_the_same_name_is_a_lost_position() -> None:
    Reading(created=7).feed(event(binlog.FORMAT_DESCRIPTION, DESCRIPTION))
    with pytest.raises(PositionLost):
        Reading(created=8).feed(event(binlog.FORMAT_DESCRIPTION, DESCRIPTION))


def test_an_event_whose_handler_raised_comes_again() -> None:
    reading = Reading()
    for arrived in (event(binlog.XID, b"refuse", 200) + event(binlog.XID, b"two", 300), b""):
        with pytest.raises(RuntimeError):
            reading.feed(arrived)
    assert (reading.seen, reading.reader.end) == ([], 200)
