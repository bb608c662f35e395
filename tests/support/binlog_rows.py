"""What a real server wrote to its binlog for some statements: table maps and rows events, as raw bytes.

For tests of the decoders alone; the product's reader is `cdc.mysql.stream`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import pymysql

_COM_BINLOG_DUMP = 0x12
_NON_BLOCKING = 1
_EVENT_HEAD = 19
_CHECKSUM = 4
_TABLE_MAP = 19
_ROWS_V1 = (23, 24, 25)
_ROWS_V2 = (30, 31, 32, 39)


class RowsEvent(NamedTuple):
    """op: `insert`, `update`, `delete` or `partial`; table_map: the body of the table map it belongs to;
    body[at:]: the event from its count of columns on. Both bodies without their checksums."""

    op: str
    table_map: bytes
    body: bytes
    at: int


def place(connection: pymysql.Connection[Any]) -> tuple[str, int]:
    """Where the binlog ends: file and offset."""
    with connection.cursor() as cursor:
        try:
            cursor.execute("SHOW BINARY LOG STATUS")
        except pymysql.err.Error:
            cursor.execute("SHOW MASTER STATUS")
        row = cursor.fetchone()
    assert row is not None
    return row[0], int(row[1])


def rows_since(connection: pymysql.Connection[Any], file: str, offset: int) -> list[RowsEvent]:
    """The rows events from there to the binlog's end; the connection is used up."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SET @master_binlog_checksum = @@global.binlog_checksum, @mariadb_slave_capability = 4"
        )
    request = struct.pack("<IHI", offset, _NON_BLOCKING, 0) + file.encode()
    connection._execute_command(_COM_BINLOG_DUMP, request)  # type: ignore[attr-defined]
    maps: dict[bytes, bytes] = {}
    found = []
    for kind, body in _events(connection):
        if kind == _TABLE_MAP:
            maps[body[:6]] = body
        elif kind in _ROWS_V1:
            found.append(RowsEvent(("insert", "update", "delete")[kind - 23], maps[body[:6]], body, 8))
        elif kind in _ROWS_V2:
            op = "partial" if kind == 39 else ("insert", "update", "delete")[kind - 30]
            extra = int.from_bytes(body[8:10], "little")
            found.append(RowsEvent(op, maps[body[:6]], body, 8 + extra))
    return found


def _events(connection: pymysql.Connection[Any]) -> Iterator[tuple[int, bytes]]:
    while True:
        packet = connection._read_packet()  # type: ignore[attr-defined]
        if packet.is_eof_packet():
            connection.close()
            return
        data: bytes = packet.get_all_data()[1:]
        yield data[4], data[_EVENT_HEAD:-_CHECKSUM]
