"""Bodies as MySQL 9.7 and MariaDB 10.11 wrote them."""

from __future__ import annotations

import zlib
from struct import Struct

import pytest

from cdc.errors import ProtocolError
from cdc.mysql import binlog
from cdc.mysql.binlog import Begin, FormatDescription, Query, Rotate, XaPrepare, Xid

SOURCE = "9866a30d-e83a-11f1-a892-02fc00000001"
ROTATE = "7401000000000000 62696e2e303030303031"
GTID = (
    "01 9866a30de83a11f1a89202fc00000001 0200000000000000"
    "02 0100000000000000 0200000000000000 83a87bd10a6106 e650620100"
)
TAGGED = (
    "0276000000026102cc8d021aa1037422c503a102490204f1030000000204040 60c6d795f746167 08080a0c0c"
    "7f10e27bd10a6106 10bd0412831 20b"
)
MARIADB_GTID = "0500000000000000 00000000 8d 0100000001 00 78"
MARIADB_STANDALONE = "0200000000000000 00000000 29 000000000000"
XA_PREPARE = "00 01000000 01000000 00000000 78"


def body(text: str) -> bytes:
    return bytes.fromhex("".join(text.split()))


def test_rotate() -> None:
    data = body(ROTATE)
    assert binlog.decode_rotate(data, 0, len(data)) == Rotate("bin.000001", 372)


def test_gtids() -> None:
    data = body(GTID)
    assert binlog.decode_gtid(data, 0, len(data), False) == Begin(f"{SOURCE}:2", 1795548952373)
    assert binlog.decode_gtid(data, 0, len(data), True).gtid is None
    data = body(TAGGED)
    begin = binlog.decode_tagged_gtid(data, 0, len(data))
    assert begin.gtid == f"{SOURCE}:my_tag:1"
    assert begin.commit_ms is not None and 0 <= begin.commit_ms - 1795548952373 < 60_000
    data = body(MARIADB_GTID)
    assert binlog.decode_mariadb_gtid(data, 0, len(data), 1011) == Begin("0-1011-5", None, True, False)
    data = body(MARIADB_STANDALONE)
    assert binlog.decode_mariadb_gtid(data, 0, len(data), 7).standalone is True


def test_xa_prepare() -> None:
    data = body(XA_PREPARE)
    assert binlog.decode_xa_prepare(data, 0, len(data)) == XaPrepare(Xid(1, b"x", b""), False)


def test_query() -> None:
    status = b"\6\3std" + b"\4\x2d\0\x2d\0\x08\0"
    head = Struct("<IIBHH").pack(7, 0, 9, 0, len(status))
    data = head + status + b"streamdev\0XA COMMIT X'78',X'',1"
    assert binlog.decode_query(data, 0, len(data)) == Query(7, "streamdev", b"XA COMMIT X'78',X'',1")


def test_format_description() -> None:
    head = b"\x04\0" + b"9.7.4-2".ljust(50, b"\0") + b"\0\0\0\0" + b"\x13" + bytes(40)
    data = head + b"\x01" + b"crc!"
    assert binlog.decode_format_description(data, 0, len(data)) == FormatDescription("9.7.4-2", True)
    data = head + b"\0" + b"crc!"
    assert binlog.decode_format_description(data, 0, len(data)).checksums is False
    for wrong in (head + b"\x07crc!", b"\x03" + data[1:]):
        with pytest.raises(ProtocolError):
            binlog.decode_format_description(wrong, 0, len(wrong))


def test_inflate() -> None:
    text = b"INSERT" * 100
    packed = b"\x82" + len(text).to_bytes(2, "big") + zlib.compress(text)
    assert binlog.inflate(packed, 0, len(packed)) == text
    for wrong in (b"\x82\0\1" + packed[3:], b"\x92" + packed[1:], b"\x80" + packed[1:], packed[:-5]):
        with pytest.raises((ValueError, zlib.error)):
            binlog.inflate(wrong, 0, len(wrong))


def test_packed_integers() -> None:
    assert binlog.packed_int(b"\x07", 0) == (7, 1)
    assert binlog.packed_int(b"\xfc\x01\x02", 0) == (513, 3)
    assert binlog.packed_int(b"\xfd\x01\x00\x01", 0) == (65537, 4)
    assert binlog.packed_int(b"\xfe" + b"\1" + bytes(7), 0) == (1, 9)
    for wrong in (b"", b"\xfb", b"\xff", b"\xfc\1"):
        with pytest.raises((IndexError, ValueError)):
            binlog.packed_int(wrong, 0)
