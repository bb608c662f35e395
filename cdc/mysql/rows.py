"""Rows events of followed tables to finished change events. (pure)"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from cdc.errors import ProtocolError, SetupError
from cdc.event import Reset
from cdc.mysql import binlog
from cdc.mysql.rowwriter import RowWriter, row_writer
from cdc.mysql.statement import TableName
from cdc.mysql.table import Hint
from cdc.mysql.tablemap import parse_table_map
from cdc.mysql.writer import Alone, EventWriter

_ID_SIZE: Final = 6
_V1_HEAD: Final = 8
_PLAIN: Final = {
    binlog.WRITE_ROWS_COMPRESSED_V1: binlog.WRITE_ROWS_V1,
    binlog.UPDATE_ROWS_COMPRESSED_V1: binlog.UPDATE_ROWS_V1,
    binlog.DELETE_ROWS_COMPRESSED_V1: binlog.DELETE_ROWS_V1,
    binlog.WRITE_ROWS_COMPRESSED: binlog.WRITE_ROWS,
    binlog.UPDATE_ROWS_COMPRESSED: binlog.UPDATE_ROWS,
    binlog.DELETE_ROWS_COMPRESSED: binlog.DELETE_ROWS,
}
_V1: Final = (binlog.WRITE_ROWS_V1, binlog.UPDATE_ROWS_V1, binlog.DELETE_ROWS_V1)
_INSERTS: Final = (binlog.WRITE_ROWS_V1, binlog.WRITE_ROWS)


class Single(NamedTuple):
    """What a row needs that is alone in its transaction; types: see `EventWriter.types`."""

    rows: RowWriter
    alone: Alone
    types: Callable[[Mapping[str, str] | None], str]


class FollowedTable:
    """A table as one table map describes it.

    described: the table map's body; as an attribute without the table id. single: None if its rows must be read with
    `add`. writer: of its own collection, None if it is only known for what its foreign keys
    do. cascades: collections that change, with no word in the binlog, when its rows are deleted or updated. changes:
    all collections that its rows change.
    Raises ProtocolError for a malformed table map, SetupError for a table without a primary key.
    """

    def __init__(
        self,
        name: TableName,
        described: bytes,
        *,
        writer: EventWriter | None,
        mariadb: bool,
        hints: Mapping[str, Hint],
        cascades: frozenset[str],
    ) -> None:
        self.changes = cascades if writer is None else cascades | {writer.collection.name}
        self.described = described[_ID_SIZE:]
        self.single: Single | None = None
        self._writer = writer
        self._cascades = [Reset(child, "foreign_key_cascade") for child in sorted(cascades)]
        self._rows: RowWriter | None = None
        if writer is not None:
            table_map = parse_table_map(described, mariadb=mariadb)
            if table_map.named:
                if not table_map.key:
                    table = ".".join(name)
                    raise SetupError(
                        f"table {table} has no primary key, by which its rows could be told apart; "
                        f"add one: ALTER TABLE {table} ADD PRIMARY KEY (…)"
                    )
                self._rows = row_writer(table_map, hints, writer)
                if not cascades:
                    self.single = Single(self._rows, writer.alone, writer.types)

    def add(self, kind: int, data: bytes, at: int, end: int, place: int) -> Sequence[Reset]:
        """Append the events of a rows event, whose body this is, to the transaction; place: its beginning in the file.
        What cannot be told that way is a reset. Raises ProtocolError for rows that do not fit the table."""
        if kind in _PLAIN:
            data = _plain(kind, data[at:end])
            kind, at, end = _PLAIN[kind], 0, len(data)
        at += _V1_HEAD
        if kind not in _V1:
            at += int.from_bytes(data[at : at + 2], "little")
        resets = self._cascades if kind not in _INSERTS else []
        if self._writer is None:
            return resets
        if self._rows is None or not self._rows.add(kind, data, at, end, place):
            return [*resets, Reset(self._writer.collection.name, "row_image_incomplete")]
        return resets


def _plain(kind: int, body: bytes) -> bytes:
    """The body of MariaDB's compressed rows as of plain ones: what follows the bitmaps of columns is compressed."""
    try:
        head = _V1_HEAD
        plain = _PLAIN[kind]
        if plain not in _V1:
            head += int.from_bytes(body[head : head + 2], "little")
        columns, bitmap = binlog.packed_int(body, head)
        images = 2 if plain in (binlog.UPDATE_ROWS_V1, binlog.UPDATE_ROWS) else 1
        rows = bitmap + images * ((columns + 7) // 8)
        return body[:rows] + binlog.inflate(body, rows, len(body))
    except (IndexError, ValueError, zlib.error) as error:
        raise ProtocolError(f"binlog event of type {kind}, {len(body)} bytes: {error}") from error
