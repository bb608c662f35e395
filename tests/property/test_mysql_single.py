"""Transactions of one row are read in one go, by the kernel and in Python; whatever comes, the result is that of
reading event by event."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc import kernel
from cdc.errors import LivetailError
from cdc.event import Position, Record
from cdc.mysql import binlog
from cdc.mysql.assemble import Assembler, Start
from cdc.mysql.gtid import GtidPosition, GtidSet
from cdc.mysql.packets import Packets, ServerError
from cdc.mysql.position import order_of
from cdc.mysql.tables import Catalog, NeedCatalog
from cdc.mysql.writer import Origin

EXAMPLES = 100
BEGIN = 100
NOW = 1_795_553_000_000
SERVER = "9866a30d-e83a-11f1-a892-02fc00000001"
# bodies that a MySQL 9.7 and a MariaDB 10.11 sent
MYSQL_GTID = (
    "009866a30de83a11f1a89202fc00000001{}0000000000000000000000000000000000002a26efc90b6106fcc80150620100"
)
MYSQL_BEGIN = (
    "5100000000000000{:02x}000025000000000000012000a04500000000060373746404ff00ff00ff00050653595354454d12ff00"
)
MYSQL_MAP = (
    "010004726563620002{}00060f0f0301120f07a00090010040063e0101000203fcff00"
    "0414026964046e616d65016e026f6b02747303646f630801000c01fc"
)
MARIADB_MAP = (
    "010004726563620002{}00060f0f0301120f07a00090010040063e01010002012d"
    "0414026964046e616d65016e026f6b02747303646f63080100"
)
TABLES = {
    "t1": 0x9A,
    "t2": 0x9B,
    "tx": 0x9C,
    "t3": 0x9D,
}  # three that are followed, deletes of t2 cascade; one that is not
ROWS = {"c": (30, 23, 1), "u": (31, 24, 2), "d": (32, 25, 1)}


@dataclass
class Row:
    """op, table, how many alike; new_key: of an update; null: its document is NULL; extra: data before the columns;
    cut: the image lacks a column."""

    op: str = "c"
    table: str = "t1"
    count: int = 1
    new_key: bool = False
    null: bool = False
    extra: bool = False
    lacking: bool = False


@dataclass
class Happening:
    """What one entry of the binlog is: a transaction, or something between."""

    rows: list[Row] = field(default_factory=lambda: [Row()])
    end: str = "XID"
    gap: int = 0
    named: bool = True
    statement: str = ""
    between: bool = False
    announced: bool = True


rows = st.builds(
    Row,
    op=st.sampled_from("cccuuud"),
    table=st.sampled_from(["t1", "t1", "t3", "t3", "t2", "tx"]),
    count=st.sampled_from([1, 1, 1, 1, 1, 2, 0]),
    new_key=st.sampled_from([False, False, False, True]),
    null=st.booleans(),
    extra=st.sampled_from([False, False, False, True]),
    lacking=st.sampled_from([False] * 7 + [True]),
)
happenings = st.builds(
    Happening,
    rows=st.lists(rows, min_size=1, max_size=1) | st.lists(rows, max_size=3),
    end=st.sampled_from(["XID"] * 8 + ["COMMIT", "ROLLBACK", "", "ROTATE"]),
    gap=st.sampled_from([0, 0, 0, 3]),
    named=st.sampled_from([True] * 5 + [False]),
    statement=st.sampled_from([""] * 9 + ["ALTER TABLE t1 ADD x INT", "INSERT INTO t1 VALUES (1)"]),
    between=st.sampled_from([False, False, False, True]),
    announced=st.sampled_from([True] * 9 + [False]),
)


class Binlog:
    """Writes what happens as packets."""

    def __init__(self, *, mariadb: bool) -> None:
        self.mariadb = mariadb
        self.packets: list[bytes] = []
        self._end = BEGIN
        self._number = 0
        self._serial = 0
        self._file = 1

    def add(self, happening: Happening) -> None:
        self._number += 1 + happening.gap
        self._begin(happening)
        if happening.statement:
            self._query(happening.statement)
        for row in happening.rows:
            self._row(row, happening)
        if happening.end == "XID":
            self._event(binlog.XID, bytes(8))
        elif happening.end == "ROTATE":
            self._event(binlog.ROTATE, struct.pack("<Q", 4) + f"bin.{self._file + 1:06}".encode())
            self._file, self._end = self._file + 1, 4
        elif happening.end:
            self._query(happening.end)

    def _begin(self, happening: Happening) -> None:
        if self.mariadb:
            self._event(binlog.MARIADB_GTID, struct.pack("<QIB6x", self._number, 0, 0x0C))
            return
        number = self._number.to_bytes(8, "little").hex()
        kind = binlog.GTID if happening.named else binlog.ANONYMOUS_GTID
        self._event(kind, bytes.fromhex(MYSQL_GTID.format(number)))
        self._query("BEGIN")

    def _query(self, statement: str) -> None:
        head = bytes.fromhex(MYSQL_BEGIN.format(4))
        self._event(binlog.QUERY, head + b"recb\0" + statement.encode())

    def _row(self, row: Row, happening: Happening) -> None:
        table_id = TABLES[row.table].to_bytes(6, "little")
        described = (MARIADB_MAP if self.mariadb else MYSQL_MAP).format(row.table.encode().hex())
        if happening.announced:
            self._event(binlog.TABLE_MAP, table_id + bytes.fromhex(described))
        if happening.between:
            self._event(29, b"\0a comment")
        new, old, images = ROWS[row.op]
        head = b"\1\0" if self.mariadb else b"\1\0\4\0xx" if row.extra else b"\1\0\2\0"
        head += b"\6" + (b"\x3e" if row.lacking else b"\xff" if row.extra else b"\x3f") * images
        body = b""
        for number in range(row.count):
            self._serial += 1
            body += self._image(self._serial, number, null=False)
            if images == 2:
                self._serial += row.new_key
                body += self._image(self._serial, number + 1, null=row.null)
        self._event(old if self.mariadb else new, table_id + head + body)

    @staticmethod
    def _image(key: int, n: int, *, null: bool) -> bytes:
        name, text = f"id-{key}".encode(), f"näme {key}".encode()
        fixed = struct.pack("<iB", n, key % 3) + bytes.fromhex("99b2420000")
        doc = b"" if null else b'\5\0"\xc3\xa9\n"'
        return bytes([0x20 if null else 0, len(name)]) + name + bytes([len(text), 0]) + text + fixed + doc

    def _event(self, kind: int, body: bytes) -> None:
        size = binlog.HEADER_SIZE + len(body) + 4
        self._end += size
        event = binlog.HEADER.pack(1_700_000_000 + self._number, kind, 7, size, self._end, 0) + body
        self.packets.append(packet(event + checksum(event)))


def checksum(event: bytes) -> bytes:
    return struct.pack("<I", zlib.crc32(event))


def packet(event: bytes) -> bytes:
    return (len(event) + 1).to_bytes(3, "little") + b"\7\0" + event


@dataclass
class Result:
    records: list[Record] = field(default_factory=list)
    resets: list[tuple[int, str, str]] = field(default_factory=list)
    position: tuple[int, Mapping[str, Any]] | None = None
    failure: str = ""


def read(
    wire: bytes, chunk: int, *, mariadb: bool, ahead: bool, skip: int, numbered: bool, budget: int
) -> tuple[Result, int]:
    """What comes out in all, and how many bytes were read ahead; skip: so much is in the log already."""
    catalog = Catalog({("recb", "t1"): {"ok": "boolean"}}, {("recb", "t2"): frozenset({"t1"})})
    base = order_of("bin.000001", 0)
    gtids: GtidSet | GtidPosition = GtidPosition() if mariadb else GtidSet.parse(f"{SERVER}:1-3:7")
    assembler = Assembler(
        origin=Origin(version="1", connector="mysql", name="x.y", epoch="e"),
        start=Start(Position("e", base + BEGIN + skip, {}), "bin.000001", BEGIN, 0, gtids),
        collections={("recb", name): name for name in ("t1", "t2", "t3")},
        catalog=catalog,
        mariadb=mariadb,
        numbered=numbered,
        crash_safe=False,
        now_ms=lambda: NOW,
    )
    reader = assembler._reader
    taken, really = 0, reader._ahead

    def counted(data: bytes, at: int, budget: int) -> int:
        nonlocal taken
        end = really(data, at, budget) if ahead else at
        taken += end - at
        return end

    reader._ahead = counted
    packets, result = Packets(), Result()

    def drain() -> None:
        while (batch := assembler.take()) is not None:
            result.resets += [(len(result.records), reset.collection, reset.reason) for reset in batch.resets]
            result.records += batch.records
            if batch.position is not None:
                result.position = (batch.position.order, batch.position.state)

    try:
        for at in range(0, len(wire), chunk):
            packets.add(wire[at : at + chunk])
            while True:
                try:
                    if not assembler.advance(packets, budget):
                        break
                except NeedCatalog:
                    assembler.learn(catalog)
                drain()
    except (LivetailError, ServerError) as error:
        result.failure = f"{type(error).__name__}: {error}"
    drain()
    return result, taken


def ways_to_read(wire: bytes, chunk: int, **how: Any) -> list[Result]:
    """By the kernel, where it is built, and in Python, ahead and not."""
    results = [read(wire, chunk, ahead=ahead, **how)[0] for ahead in (True, False)]
    with mock.patch.dict(os.environ, {kernel.SWITCH: "off"}):
        return results + [read(wire, chunk, ahead=ahead, **how)[0] for ahead in (True, False)]


def write(happened: list[Happening], *, mariadb: bool) -> list[bytes]:
    log = Binlog(mariadb=mariadb)
    for happening in happened:
        log.add(happening)
    return log.packets


@given(
    happened=st.lists(happenings, min_size=1, max_size=8),
    mariadb=st.booleans(),
    chunk=st.sampled_from([1, 7, 100, 601, 1 << 16]),
    skip=st.sampled_from([0, 0, 700]),
    numbered=st.booleans(),
    budget=st.sampled_from([1, 300, 1 << 16]),
)
@settings(max_examples=EXAMPLES)
def test_reading_ahead_changes_nothing(
    happened: list[Happening], mariadb: bool, chunk: int, skip: int, numbered: bool, budget: int
) -> None:
    wire = b"".join(write(happened, mariadb=mariadb))
    how: dict[str, Any] = {"mariadb": mariadb, "skip": skip, "numbered": numbered, "budget": budget}
    *quickly, slowly = ways_to_read(wire, chunk, **how)
    assert quickly == [slowly] * 3


@given(
    happened=st.lists(happenings, min_size=1, max_size=5),
    mariadb=st.booleans(),
    where=st.integers(0, 10_000),
    flip=st.integers(1, 255),
    mend=st.booleans(),
    chunk=st.sampled_from([100, 1 << 16]),
)
@settings(max_examples=EXAMPLES)
def test_nor_does_it_where_a_byte_is_wrong(
    happened: list[Happening], mariadb: bool, where: int, flip: int, mend: bool, chunk: int
) -> None:
    """mend: the checksum fits all the same."""
    wires = write([Happening(), *happened, Happening()], mariadb=mariadb)
    which = where % len(wires)
    wrong = bytearray(wires[which])
    wrong[where % len(wrong)] ^= flip
    if mend and where % len(wrong) > 4:
        wrong[-4:] = checksum(wrong[5:-4])
    wires[which] = bytes(wrong)
    wire = b"".join(wires)
    how: dict[str, Any] = {"mariadb": mariadb, "skip": 0, "numbered": True, "budget": 1 << 16}
    *quickly, slowly = ways_to_read(wire, chunk, **how)
    assert quickly == [slowly] * 3


@pytest.mark.parametrize("mariadb", [False, True])
@pytest.mark.parametrize("op", ROWS)
@pytest.mark.parametrize("switch", ["", "off"])
def test_ordinary_transactions_are_read_ahead(
    mariadb: bool, op: str, switch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(kernel.SWITCH, switch)
    one = write([Happening(rows=[Row(op)])], mariadb=mariadb)
    wires = write([Happening(rows=[Row(op, null=i % 2 == 1)]) for i in range(10)], mariadb=mariadb)
    how: dict[str, Any] = {"mariadb": mariadb, "skip": 0, "numbered": True, "budget": 1 << 16}
    result, ahead = read(b"".join(wires), 1 << 16, ahead=True, **how)
    assert (len(result.records), result.failure) == (10, "")
    assert ahead == len(b"".join(wires[len(one) :]))  # all but the first, which announces the table


@pytest.mark.skipif(kernel.load("binlog") is None, reason="no kernel")
@pytest.mark.parametrize("mariadb", [False, True])
def test_the_kernel_reads_small_transactions_ahead(mariadb: bool) -> None:
    rows = [Row("c"), Row("u", "t3", 3, new_key=True), Row("d", null=True), Row("c", "t3", 0)]
    one = write([Happening(rows=rows)], mariadb=mariadb)
    wires = write([Happening(rows=rows)] * 10, mariadb=mariadb)
    how: dict[str, Any] = {"mariadb": mariadb, "skip": 0, "numbered": True, "budget": 1 << 16}
    result, ahead = read(b"".join(wires), 1 << 16, ahead=True, **how)
    assert (len(result.records), result.failure) == (80, "")
    assert ahead == len(b"".join(wires[len(one) :]))
