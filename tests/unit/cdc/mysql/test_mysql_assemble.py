from __future__ import annotations

import struct
import zlib
from uuid import UUID

import pytest

from cdc.event import Position
from cdc.mysql import binlog
from cdc.mysql.assemble import Assembler, Start
from cdc.mysql.gtid import GtidSet
from cdc.mysql.packets import Packets
from cdc.mysql.tables import Catalog
from cdc.mysql.writer import Origin

UUID_TEXT = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"


DESCRIPTION = b"\x04\0" + b"9.7.4".ljust(50, b"\0") + bytes(4) + b"\x13" + bytes(40) + b"\x01"


def event(kind: int, body: bytes, end: int, flags: int = 0) -> bytes:
    """With its checksum, in a packet."""
    whole = binlog.HEADER.pack(7, kind, 1, binlog.HEADER_SIZE + len(body) + 4, end, flags) + body
    whole += struct.pack("<I", zlib.crc32(whole))
    return (len(whole) + 1).to_bytes(3, "little") + b"\0\0" + whole


def gtid(number: int, end: int) -> bytes:
    return event(
        binlog.GTID, struct.pack("<B16sqBqqQ", 0, UUID(UUID_TEXT).bytes, number, 2, 0, 0, 1_000), end
    )


def query(statement: bytes, end: int) -> bytes:
    return event(binlog.QUERY, struct.pack("<IIBHH", 9, 0, 3, 0, 0) + b"app\0" + statement, end)


def assembler(*, crash_safe: bool = True, after: int = 1 << 40 | 4) -> Assembler:
    start = Start(Position("epoch", after), "bin.000001", 4, 0, GtidSet())
    return Assembler(
        origin=Origin(version="1", connector="mysql", name="p.db", epoch="epoch"),
        start=start,
        collections={("app", "items"): "items"},
        catalog=Catalog({("app", "items"): {}}, None),
        mariadb=False,
        numbered=True,
        crash_safe=crash_safe,
        now_ms=lambda: 0,
    )


def test_each_position_has_the_gtids_up_to_there_and_each_reset_its_transaction() -> None:
    packets, made = Packets(), assembler()
    packets.add(
        gtid(1, 1_000)
        + query(b"ALTER TABLE items ADD x INT", 2_000)
        + gtid(2, 3_000)
        + query(b"ALTER TABLE items DROP x", 4_000)
    )
    while made.advance(packets, 1 << 20):
        pass
    for number, end in ((1, 2_000), (2, 4_000)):
        batch = made.take()
        assert batch is not None
        assert batch.position is not None
        assert batch.position.order == 1 << 40 | end
        executed = GtidSet.parse(f"{UUID_TEXT}:1-{number}" if number > 1 else f"{UUID_TEXT}:1")
        assert GtidSet.parse(batch.position.state["gtid"]) == executed
        assert [reset.tx for reset in batch.resets] == [f"{UUID_TEXT}:{number}"]


def files(end: bytes) -> bytes:
    """An end of bin.000001, and the beginning of bin.000002."""
    rotate = struct.pack("<Q", 4) + b"bin.000002"
    description = event(binlog.FORMAT_DESCRIPTION, DESCRIPTION, 120)
    return end + event(binlog.ROTATE, rotate, 0, binlog.ARTIFICIAL) + description


ROTATED = event(binlog.ROTATE, struct.pack("<Q", 4) + b"bin.000002", 3_000)
STOPPED = event(binlog.STOP, b"", 3_000)


@pytest.mark.parametrize("end", [ROTATED, STOPPED])
def test_a_file_that_ends_as_it_should_says_nothing(end: bytes) -> None:
    packets, made = Packets(), assembler(crash_safe=False)
    packets.add(files(end))
    while made.advance(packets, 1 << 20):
        pass
    batch = made.take()
    assert batch is not None
    assert not batch.resets
    assert batch.position is not None
    assert batch.position.order == 2 << 40 | 4


def test_behind_a_torn_file_every_collection_begins_anew_unless_the_server_is_crash_safe() -> None:
    for crash_safe, after, reasons in (
        (False, 4, ["server_crashed"]),
        (True, 4, []),
        (False, 2 << 40 | 4, []),
    ):
        packets, made = Packets(), assembler(crash_safe=crash_safe, after=after)
        packets.add(gtid(1, 1_000) + query(b"BEGIN", 2_000) + files(b""))
        while made.advance(packets, 1 << 20):
            pass
        batch = made.take()
        if batch is None:
            assert after == 2 << 40 | 4  # all that was in the log already
            continue
        assert [reset.reason for reset in batch.resets] == reasons
        assert batch.position is not None
        assert (batch.position.order, batch.position.state["gtid"]) == (2 << 40 | 4, "")
        assert made.take() is None
