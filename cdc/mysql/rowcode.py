"""Generates, per table map, the code that reads rows events straight into finished JSON. (pure)

Format: mysql-server's libs/mysql/binlog/event/rows_event.h (Rows_event).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from cdc.errors import ProtocolError
from cdc.mysql import json_diff
from cdc.mysql.forms import is_varying, row_types
from cdc.mysql.imagecode import ImageCode
from cdc.mysql.readings import NAMES, Reading, reading_of
from cdc.mysql.scalars import repaired
from cdc.mysql.table import Hint
from cdc.mysql.tablemap import TableMap
from cdc.wire_text import RowTypes, indent, json_name, literal

Kinds: TypeAlias = Mapping[str, str] | None
Row: TypeAlias = tuple[str, str, Kinds]
"""(key, row, kinds): JSON of the primary key's fields and of all columns, as wire text (see `cdc.wire_text`); what the
event's `types` has, None where empty. Equal kinds of one table are mostly the same object, which never changes."""

Update: TypeAlias = tuple[str, str, Kinds, str, str, Kinds]
"""(key, row, kinds) before, then the same after."""

Rows: TypeAlias = Callable[[bytes, int, int], list[Row] | None]
Updates: TypeAlias = Callable[[bytes, int, int], list[Update] | None]

ROW_ERRORS: Final = (
    ValueError,
    LookupError,
    OverflowError,
    RecursionError,
    struct.error,
    zlib.error,
    msgspec.DecodeError,
)


_LONG_COUNT: Final = 251
_BEGINNINGS_KEPT: Final = 16  # the bits behind the last column may be anything


@dataclass(frozen=True, slots=True)
class RowCode:
    """All take a rows event's body, where its count of columns stands (behind table id, flags and extra data), and its
    end (before the checksum); they return all its rows, or None if its images do not have all columns
    (binlog_row_image other than FULL). They raise ProtocolError for what cannot be read.

    inserts, deletes: WRITE_ROWS, DELETE_ROWS. updates: UPDATE_ROWS. partial_updates: PARTIAL_UPDATE_ROWS (39), whose
    JSON diffs are applied.

    row, update: of an event with one row, an unguarded function each: what they raise is one of `ROW_ERRORS`; None for
    any other number of rows too.
    """

    inserts: Rows
    deletes: Rows
    updates: Updates
    partial_updates: Updates
    row: Callable[[bytes, int, int], Row | None]
    update: Callable[[bytes, int, int], Update | None]


def compile_rows(table: TableMap, hints: Mapping[str, Hint]) -> RowCode:
    """hints: by column name. Raises ProtocolError for a table map without names or primary key, or with a column that
    cannot be read."""
    where = f"{table.schema}.{table.table}"
    if not table.named:
        raise ProtocolError(f"{where}: its table map has no names (binlog_row_metadata=MINIMAL)")
    if not table.key:
        raise ProtocolError(f"{where}: its table map has no primary key")
    code = _Code(table, readings_of(table, hints))
    lines = code.lines()
    namespace = code.namespace()
    exec("\n".join(lines), namespace)
    rows: Rows = _guarded(namespace["rows"], where)
    return RowCode(
        rows,
        rows,
        _guarded(namespace["updates"], where),
        _guarded(namespace["partial_updates"], where),
        namespace["row"],
        namespace["update"],
    )


def readings_of(table: TableMap, hints: Mapping[str, Hint]) -> list[Reading]:
    """Of a table map with names; raises ProtocolError for a column that cannot be read."""
    readings = []
    for i, column in enumerate(table.columns):
        try:
            readings.append(reading_of(column, hints.get(column.name or ""), i))
        except (LookupError, ValueError) as error:
            raise ProtocolError(
                f"{table.schema}.{table.table}: its column {column.name} cannot be read: {error}"
            ) from error
    return readings


def types_of(table: TableMap, readings: Iterable[Reading]) -> RowTypes:
    """The `types` of the table's rows."""
    forms = zip(table.columns, readings, strict=True)
    return row_types((column.name or "", reading.form) for column, reading in forms)


def _guarded(function: Callable[[bytes, int, int], Any], where: str) -> Callable[[bytes, int, int], Any]:
    def guarded(body: bytes, at: int, end: int) -> Any:
        try:
            return function(body, at, end)
        except ROW_ERRORS as error:
            raise ProtocolError(
                f"{where}: a rows event of {end - at} bytes cannot be read: {error}"
            ) from error

    return guarded


class _Code:
    """The source of the functions for one table."""

    def __init__(self, table: TableMap, readings: list[Reading]) -> None:
        self._table = table
        self._json_names = [json_name(column.name or "") for column in table.columns]
        self._readings = readings
        self._count = len(readings)
        self._varying = any(is_varying(reading.form) for reading in readings)
        self._image = ImageCode(table, readings, self._varying)
        self._count_bytes = 1 if self._count < _LONG_COUNT else 3
        # how rows events of one and of two images begin where those have all columns
        self._complete: dict[int, set[bytes]] = {1: set(), 2: set()}
        self._types = types_of(table, readings)

    def namespace(self) -> dict[str, Any]:
        namespace: dict[str, Any] = {
            **NAMES,
            **self._image.structs,
            "apply": json_diff.apply,
            "begin": self._begin,
            "complete1": self._complete[1],
            "complete2": self._complete[2],
            "overrun": _overrun,
            "packed": _packed,
            "repaired": repaired,
            "types": self._types,
            "constant": self._types[0],
        }
        for reading in self._readings:
            namespace |= reading.names or {}
        return namespace

    def lines(self) -> list[str]:
        row = [*self._image.lines(), *self._finish("")]
        update, partial_update = self._update(partial=False), self._update(partial=True)
        one, two = "(key, doc, kinds)", "(old_key, old_doc, old_kinds, key, doc, kinds)"
        return [
            *self._all("rows", 1, row, one),
            *self._all("updates", 2, update, two),
            *self._all("partial_updates", 2, partial_update, two),
            *self._single("row", 1, row, one),
            *self._single("update", 2, update, two),
        ]

    def _update(self, *, partial: bool) -> list[str]:
        """Statements that read both images of a row."""
        return [
            *self._image.lines(keep=not partial),
            *self._finish("old_"),
            *(self._image.kept_documents() if partial else []),
            *self._image.lines(partial=partial, compare=not partial),
            *self._finish(""),
        ]

    def _all(self, name: str, images: int, row: list[str], result: str) -> list[str]:
        """A function that gives the results of all rows."""
        return [
            *self._beginning(name, images),
            "    found = []",
            "    add = found.append",
            "    while at < end:",
            *indent(2, [*row, f"add({result})"]),
            "    return found",
        ]

    def _single(self, name: str, images: int, row: list[str], result: str) -> list[str]:
        """A function that gives the result of the only row."""
        return [
            *self._beginning(name, images),
            "    if at >= end:",
            "        return None",
            *indent(1, row),
            f"    return {result} if at == end else None",
        ]

    def _beginning(self, name: str, images: int) -> list[str]:
        return [
            f"def {name}(body, at, end):",
            f"    start = at + {self._count_bytes + images * self._image.null_bytes}",
            f"    at = start if body[at:start] in complete{images} else begin(body, at, {images})",
            "    if not at:",
            "        return None",
            '    text = str(body, "latin-1")',
        ]

    def _finish(self, prefix: str) -> list[str]:
        """Statements that make key, doc and kinds (their names begin with `prefix`) of an image."""
        doc = self._object(range(self._count))
        key = self._object(self._table.key)
        return [
            f'{prefix}doc = f"{doc}"',
            f'{prefix}key = f"{key}"',
            f"if not {prefix}doc.isascii():",
            f"    {prefix}doc = repaired({prefix}doc)",
            f"    {prefix}key = repaired({prefix}key)",
            f"{prefix}kinds = {'types[marked]' if self._varying else 'constant'}",
        ]

    def _object(self, places: Iterable[int]) -> str:
        """The inside of an f-string: these columns as a JSON object."""
        fields = (f"{literal(self._json_names[i])}:{{new{i}}}" for i in places)
        return f"{{{{{','.join(fields)}}}}}"

    def _begin(self, body: bytes, at: int, images: int) -> int:
        """Where the rows begin; 0 if the images do not have all columns."""
        start = at
        count, at = _packed(body, at)
        if count != self._count:
            raise ValueError(f"it has {count} columns, its table map {self._count}")
        complete = True
        for _ in range(images):
            bits = body[at : at + self._image.null_bytes]
            at += self._image.null_bytes
            complete &= int.from_bytes(bits, "little") & self._image.all == self._image.all
        if complete and at - start == self._count_bytes + images * self._image.null_bytes:
            known = self._complete[images]
            if len(known) < _BEGINNINGS_KEPT:
                known.add(body[start:at])
        return at if complete else 0


def _packed(body: bytes, at: int) -> tuple[int, int]:
    """A length-encoded integer, and where it ends."""
    first = body[at]
    at += 1
    if first < _LONG_COUNT:
        return first, at
    size = {252: 2, 253: 3, 254: 8}[first]
    return int.from_bytes(body[at : at + size], "little"), at + size


def _overrun(at: int, end: int) -> ValueError:
    return ValueError(f"a row ends {at - end} bytes behind the event")
