"""Rows events into the open transaction, by the kernel or in Python. (pure)"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final, Protocol

from cdc import kernel
from cdc.mysql import binlog
from cdc.mysql.rowcode import RowCode, compile_rows
from cdc.mysql.rowplan import plan_rows
from cdc.mysql.table import Hint
from cdc.mysql.tablemap import TableMap
from cdc.mysql.writer import NULL, EventWriter

_INSERTS: Final = (binlog.WRITE_ROWS_V1, binlog.WRITE_ROWS)
_DELETES: Final = (binlog.DELETE_ROWS_V1, binlog.DELETE_ROWS)


class RowWriter(Protocol):
    """Of one table, as one table map describes it."""

    @property
    def code(self) -> RowCode:
        """What reads the table's rows in Python."""

    def add(self, kind: int, data: bytes, at: int, end: int, place: int) -> bool:
        """Append the events of a rows event of this type to the transaction, unless its images do not have all columns;
        whether they have. `data[at:end]`: see `RowCode`; place: the event's beginning in the file. Raises ProtocolError
        for rows that do not fit the table."""


def row_writer(table: TableMap, hints: Mapping[str, Hint], writer: EventWriter) -> RowWriter:
    """The kernel's, or the one in Python, which the kernel asks for at need. hints: by column name. Raises
    ProtocolError as `compile_rows` does."""
    in_python = partial(PythonRowWriter, table, hints, writer)
    compiled = kernel.load("binlog")
    if compiled is None:
        return in_python()
    made: RowWriter = compiled.RowWriter(plan_rows(table, hints), writer, in_python)
    return made


class PythonRowWriter:
    """A `RowWriter` by generated code."""

    def __init__(self, table: TableMap, hints: Mapping[str, Hint], writer: EventWriter) -> None:
        self.code = compile_rows(table, hints)
        self._write = writer.write

    def add(self, kind: int, data: bytes, at: int, end: int, place: int) -> bool:
        """See `RowWriter`."""
        if kind in _INSERTS or kind in _DELETES:
            return self._add_rows(kind, data, at, end, place)
        code, write = self.code, self._write
        decode = code.partial_updates if kind == binlog.PARTIAL_UPDATE_ROWS else code.updates
        updates = decode(data, at, end)
        if updates is None:
            return False
        for number, (old_key, old, old_kinds, key, doc, kinds) in enumerate(updates):
            if old_key != key:
                write("d", old_key, old, NULL, old_kinds, place, number)
                write("c", key, NULL, doc, kinds, place, number)
            else:
                if old_kinds is not kinds and old_kinds != kinds:
                    kinds = {**(old_kinds or {}), **(kinds or {})}
                write("u", key, old, doc, kinds, place, number)
        return True

    def _add_rows(self, kind: int, data: bytes, at: int, end: int, place: int) -> bool:
        code, write = self.code, self._write
        rows = (code.inserts if kind in _INSERTS else code.deletes)(data, at, end)
        if rows is None:
            return False
        if kind in _INSERTS:
            for number, (key, doc, kinds) in enumerate(rows):
                write("c", key, NULL, doc, kinds, place, number)
        else:
            for number, (key, doc, kinds) in enumerate(rows):
                write("d", key, doc, NULL, kinds, place, number)
        return True
