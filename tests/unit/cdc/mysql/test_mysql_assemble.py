from __future__ import annotations

import struct
import zlib
from uuid import UUID

from cdc.event import Position
from cdc.mysql import binlog
from cdc.mysql.assemble import Assembler, Start
from cdc.mysql.gtid import GtidSet
from cdc.mysql.packets import Packets
from cdc.mysql.tables import Catalog
from cdc.mysql.writer import Origin

UUID_TEXT = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa"


def event(kind: int, body: bytes, end: int) -> bytes:
    """With its checksum, in a packet."""
    whole = binlog.HEADER.pack(7, kind, 1, binlog.HEADER_SIZE + len(body) + 4, end, 0) + body
    whole += struct.pack("<I", zlib.crc32(whole))
    return (len(whole) + 1).to_bytes(3, "little") + b"\0\0" + whole


def gtid(number: int, end: int) -> bytes:
    return event(
        binlog.GTID, struct.pack("<B16sqBqqQ", 0, UUID(UUID_TEXT).bytes, number, 2, 0, 0, 1_000), end
    )


def query(statement: bytes, end: int) -> bytes:
    return event(binlog.QUERY, struct.pack("<IIBHH", 9, 0, 3, 0, 0) + b"app\0" + statement, end)


def assembler() -> Assembler:
    start = Start(Position("epoch", 1 << 40 | 4), "bin.000001", 4, 0, GtidSet())
    return Assembler(
        origin=Origin(version="1", connector="mysql", name="p.db", epoch="epoch"),
        start=start,
        collections={("app", "items"): "items"},
        catalog=Catalog({("app", "items"): {}}, None),
        mariadb=False,
        numbered=True,
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
