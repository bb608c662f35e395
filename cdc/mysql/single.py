"""Transactions of one row of one followed table: most of what there is where applications write, so they are read in
one go, from the packets to the finished event. (pure)

Whatever is not exactly that is left to the general way, `events` and `assemble`, which knows everything, and whose
results these are to the byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, Protocol, TypeAlias
from zlib import crc32

from cdc import kernel
from cdc.event import Record
from cdc.mysql import binlog
from cdc.mysql.binlog import CHECKSUM_SIZE, HEADER_SIZE
from cdc.mysql.packets import PACKET_HEAD
from cdc.mysql.rowcode import ROW_ERRORS
from cdc.mysql.rows import FollowedTable
from cdc.mysql.writer import NULL, Alone
from cdc.wire_text import json_name

Added: TypeAlias = tuple[str, int, int]
"""(source, first, last): GTIDs that follow one another, see `GtidSet.extend`."""

# All from the head of a packet on. Of each: size and number of the packet, its 0x00; of the event's header the type,
# the size and the end in the file, and where they are wanted the time, before the type, and the server id, behind it.
_mysql_begin: Final = Struct("<IB4xBIII3x16sq17xQ").unpack_from  # UUID, number, commit time
_mariadb_begin: Final = Struct("<IBIBIII2xQIB").unpack_from  # number, domain, flags
_statement: Final = Struct("<IB4xB4xII2xI").unpack_from  # thread
_of_table: Final = Struct("<IB4xB4xII2x6s").unpack_from  # table id
_plain: Final = Struct("<IB4xB4xII").unpack_from
_SIZE: Final = 0xFFFFFF
_BODY: Final = PACKET_HEAD + HEADER_SIZE
_STATEMENT: Final = _BODY + 8  # behind thread and duration
_DESCRIPTION: Final = _BODY + 6  # behind the table id
_MYSQL_BEGIN: Final = HEADER_SIZE + 50 + CHECKSUM_SIZE
_MARIADB_BEGIN: Final = HEADER_SIZE + 13 + CHECKSUM_SIZE
_EXTRA: Final = HEADER_SIZE + 8
_NO_EXTRA: Final = b"\2\0"
_LARGEST: Final = 1 << 20
_GOOD: Final = 0x2144DF1C  # the CRC-32 of whatever has its own CRC-32 behind it

_OPS: Final = {
    binlog.WRITE_ROWS: "c",
    binlog.WRITE_ROWS_V1: "c",
    binlog.UPDATE_ROWS: "u",
    binlog.UPDATE_ROWS_V1: "u",
    binlog.DELETE_ROWS: "d",
    binlog.DELETE_ROWS_V1: "d",
}


@dataclass(frozen=True, slots=True)
class Singles:
    """What was read. at: the head of the packet behind it; end: in the file; size: bytes of the records' values;
    commit_ms: of the last transaction; gtids: of all."""

    at: int
    end: int
    records: list[Record]
    size: int
    commit_ms: int
    gtids: list[Added]


_Begin: TypeAlias = tuple[int, int, int, int, int | str, str, int, int]
"""(behind it in the buffer; in the file, its first event's beginning and the end of all there are; server; thread; the
GTID's source and number; Unix ms of the commit). Tuples, since naming their parts takes a tenth of the time."""

_Change: TypeAlias = tuple[int, int, int, Alone, str, str, str, str, str]
"""(behind the transaction in the buffer; in the file, its row's place and its end; the collection's texts; op; key;
before; after; types)"""


class SingleReader(Protocol):
    """Reads transactions of one row each, as many as come together; the kernel's also small ones of several."""

    def read(
        self, data: bytes, at: int, budget: int, file: str, base: int, end: int, now_ms: int
    ) -> Singles | None:
        """Read from the packet at `at` on, as long as transactions are such, and about `budget` bytes. file, end:
        where in the binlog the event before ended; base: the order of the file's beginning. None if there is nothing
        such."""


def single_reader(
    tables: Mapping[bytes, FollowedTable | None], *, mariadb: bool, numbered: bool
) -> SingleReader:
    """The kernel's, or the one in Python. tables: as announced, by their ids; numbered: as in `Assembler`."""
    compiled = kernel.load("binlog")
    make: Any = PythonSingleReader if compiled is None else compiled.SingleReader
    reader: SingleReader = make(tables, mariadb=mariadb, numbered=numbered)
    return reader


class PythonSingleReader:
    """A `SingleReader` by generated code."""

    def __init__(
        self, tables: Mapping[bytes, FollowedTable | None], *, mariadb: bool, numbered: bool
    ) -> None:
        self._tables = tables
        self._begins = self._mariadb if mariadb else self._mysql
        self._numbered = numbered
        self._begin_text = b"\0"  # what follows thread and duration in the newest BEGIN
        self._file = ("", "")

    def read(
        self, data: bytes, at: int, budget: int, file: str, base: int, end: int, now_ms: int
    ) -> Singles | None:
        """See `SingleReader`."""
        if file != self._file[0]:
            self._file = (file, json_name(file))
        quoted_file, numbered = self._file[1], self._numbered
        records: list[Record] = []
        gtids: list[Added] = []
        source, first, last = "", 0, 0
        size = commit_ms = 0
        stop = at + budget
        try:
            while at < stop:
                begin = self._begins(data, at, end)
                if begin is None:
                    break
                behind, begins, ended, server, thread, of, number, ms = begin
                change = self._change(data, behind, ended)
                if change is None:
                    break
                at, place, end, alone, op, key, before, after, types = change
                name = gtid = f"{of}{number}"
                quoted = f'"{gtid}"'
                if not of:
                    quoted = NULL
                if not of or not numbered:
                    name = f"{file}:{begins}"
                event = (
                    f'{{"before":{before},"after":{after}{alone.source}{ms}{alone.table}{server},"gtid":{quoted}'
                    f',"file":{quoted_file},"thread":{thread},"txId":"{name}","commit_lsn":{base | begins}'
                    f',"pos":{place},"row":0}},"op":"{op}","ts_ms":{now_ms}{types},"transaction":{{"id":"{name}","total_order":1'
                    f',"data_collection_order":1,"last":true}}}}'
                ).encode("latin-1")
                records.append((alone.collection, key.encode("latin-1"), event))
                size += len(event)
                commit_ms = ms
                if of == source and number == last + 1:
                    last = number
                    continue
                if source:
                    gtids.append((source, first, last))
                source, first, last = of, number, number
        except ROW_ERRORS:
            pass  # the general way comes to it next, and says it properly
        if not records:
            return None
        if source:
            gtids.append((source, first, last))
        return Singles(at, end, records, size, commit_ms, gtids)

    def _mysql(self, data: bytes, at: int, end: int) -> _Begin | None:
        """GTID_LOG_EVENT and a QUERY_EVENT that says BEGIN."""
        head, ok, kind, server, size, begin_end, source, number, time = _mysql_begin(data, at)
        query = at + PACKET_HEAD + size
        if (
            ok
            or (kind != binlog.GTID and kind != binlog.ANONYMOUS_GTID)
            or head & _SIZE != size + 1
            or size < _MYSQL_BEGIN
            or begin_end <= end
            or crc32(data[at + PACKET_HEAD : query]) != _GOOD
        ):
            return None
        head, ok, query_kind, query_size, query_end, thread = _statement(data, query)
        behind = query + PACKET_HEAD + query_size
        if (
            ok
            or query_kind != binlog.QUERY
            or head & _SIZE != query_size + 1
            or query_end <= begin_end
            or crc32(data[query + PACKET_HEAD : behind]) != _GOOD
        ):
            return None
        text = data[query + _STATEMENT : behind - CHECKSUM_SIZE]
        if text != self._begin_text:
            if not binlog.is_begin(data, query + _BODY, behind - CHECKSUM_SIZE):
                return None
            self._begin_text = text
        of = f"{binlog.uuid_text(source)}:" if kind == binlog.GTID else ""
        commit_ms = (time & binlog.COMMIT_TIME_BITS) // 1000
        return behind, begin_end - size, query_end, server, thread, of, number, commit_ms

    def _mariadb(self, data: bytes, at: int, end: int) -> _Begin | None:
        """MariaDB's GTID_EVENT, which is a BEGIN too."""
        head, ok, stamp, kind, server, size, begin_end, number, domain, flags = _mariadb_begin(data, at)
        behind = at + PACKET_HEAD + size
        if (
            ok
            or kind != binlog.MARIADB_GTID
            or head & _SIZE != size + 1
            or size < _MARIADB_BEGIN
            or flags & binlog.NOT_PLAIN
            or begin_end <= end
            or crc32(data[at + PACKET_HEAD : behind]) != _GOOD
        ):
            return None
        of = f"{domain}-{server}-"
        return behind, begin_end - size, begin_end, server, NULL, of, number, stamp * 1000

    def _change(self, data: bytes, at: int, end: int) -> _Change | None:
        """A table map that is known, a rows event of one row and the transaction's end."""
        head, ok, kind, size, map_end, table_id = _of_table(data, at)
        rows = at + PACKET_HEAD + size
        table = self._tables.get(table_id)
        if (
            ok
            or kind != binlog.TABLE_MAP
            or table is None
            or table.single is None
            or head & _SIZE != size + 1
            or map_end <= end
            or data[at + _DESCRIPTION : rows - CHECKSUM_SIZE] != table.described
            or crc32(data[at + PACKET_HEAD : rows]) != _GOOD
        ):
            return None
        head, ok, kind, size, rows_end, rows_id = _of_table(data, rows)
        xid = rows + PACKET_HEAD + size
        op = _OPS.get(kind)
        if (
            ok
            or op is None
            or rows_id != table_id
            or head & _SIZE != size + 1
            or size > _LARGEST
            or rows_end <= map_end
        ):
            return None
        xid_head, ok, xid_kind, xid_size, xid_end = _plain(data, xid)
        behind = xid + PACKET_HEAD + xid_size
        if (
            ok
            or xid_kind != binlog.XID
            or xid_head & _SIZE != xid_size + 1
            or xid_end <= rows_end
            or crc32(data[xid + PACKET_HEAD : behind]) != _GOOD
        ):
            return None
        event = data[rows + PACKET_HEAD : xid]
        if crc32(event) != _GOOD:
            return None
        columns = _EXTRA
        if kind >= binlog.WRITE_ROWS:
            if event[_EXTRA : _EXTRA + 2] != _NO_EXTRA:
                return None
            columns += 2
        single = table.single
        place = rows_end - size
        if op == "u":
            update = single.rows.code.update(event, columns, size - CHECKSUM_SIZE)
            if update is None:
                return None
            old_key, old, old_kinds, key, doc, kinds = update
            if old_key != key or (old_kinds is not kinds and old_kinds != kinds):
                return None
            return behind, place, xid_end, single.alone, op, key, old, doc, single.types(kinds)
        row = single.rows.code.row(event, columns, size - CHECKSUM_SIZE)
        if row is None:
            return None
        key, doc, kinds = row
        before, after = (NULL, doc) if op == "c" else (doc, NULL)
        return behind, place, xid_end, single.alone, op, key, before, after, single.types(kinds)
