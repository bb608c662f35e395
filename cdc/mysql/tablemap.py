"""Table map events: what the rows events that follow hold. (pure)

Format: mysql-server's libs/mysql/binlog/event/rows_event.h (Table_map_event). Names, signs, labels, keys and most
collations are there only with binlog_row_metadata=FULL.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from cdc.errors import ProtocolError
from cdc.mysql import column_types as types
from cdc.mysql.charsets import decode_label

_SIGNEDNESS: Final = 1
_DEFAULT_CHARSET: Final = 2
_COLUMN_CHARSET: Final = 3
_COLUMN_NAME: Final = 4
_SET_LABELS: Final = 5
_ENUM_LABELS: Final = 6
_GEOMETRY_TYPE: Final = 7
_SIMPLE_KEY: Final = 8
_PREFIX_KEY: Final = 9
_LABEL_DEFAULT_CHARSET: Final = 10
_LABEL_COLUMN_CHARSET: Final = 11
_VISIBILITY: Final = 12
_VECTOR_DIMENSIONS: Final = 13


@dataclass(frozen=True, slots=True)
class MapColumn:
    """name: None where the table map lacks it (binlog_row_metadata=MINIMAL).
    type: one of `column_types`; ENUM and SET, which travel as STRING, by their own code.
    metadata: bytes of a value (STRING, ENUM, SET) or at most (VARCHAR); bytes of a value's length (BLOB, JSON, …);
        fraction digits (TIME2, …); precision << 8 | scale (NEWDECIMAL); bits (BIT).
    collation: of text and binary strings (63: binary) and of labels; 0 where not told.
    labels: of ENUM and SET. geometry: the type's WKB code, 0 for any. dimensions: of a VECTOR, at most.
    """

    name: str | None
    type: int
    metadata: int
    nullable: bool
    unsigned: bool = False
    collation: int = 0
    labels: tuple[str, ...] = ()
    visible: bool = True
    geometry: int = 0
    dimensions: int = 0


@dataclass(frozen=True, slots=True)
class TableMap:
    """key: the primary key's columns as places in `columns`, in key order; empty where there is none or not told."""

    schema: str
    table: str
    columns: tuple[MapColumn, ...]
    key: tuple[int, ...]

    @property
    def named(self) -> bool:
        """Whether it was written with binlog_row_metadata=FULL."""
        return all(column.name is not None for column in self.columns)


def parse_table_map(body: bytes, *, mariadb: bool) -> TableMap:
    """Parse the event behind its header, without its checksum. Raises ProtocolError for what is not one, and for a
    column type that is not known here."""
    try:
        return _parse(_Reader(body), mariadb)
    except (IndexError, ValueError, LookupError) as error:
        raise ProtocolError(f"a table map event of {len(body)} bytes cannot be read: {error}") from error


def _parse(reader: _Reader, mariadb: bool) -> TableMap:
    reader.skip(8)  # the table's id, flags
    schema = reader.counted_text(terminated=True)
    table = reader.counted_text(terminated=True)
    count = reader.packed()
    codes = reader.take(count)
    metadata = _Reader(reader.take(reader.packed()))
    nulls = reader.take((count + 7) // 8)
    columns = []
    for i, code in enumerate(codes):
        kind, value = _metadata(code, metadata)
        columns.append(MapColumn(None, kind, value, bool(nulls[i >> 3] >> (i & 7) & 1)))
    metadata.expect_end()
    key: tuple[int, ...] = ()
    label_bytes: dict[int, list[bytes]] = {}
    while not reader.at_end:
        field = reader.take(1)[0]
        value_reader = _Reader(reader.take(reader.packed()))
        if field in (_SIMPLE_KEY, _PREFIX_KEY):
            key = tuple(_key(value_reader, count, field == _PREFIX_KEY))
        elif field in (_SET_LABELS, _ENUM_LABELS):
            kind = types.SET if field == _SET_LABELS else types.ENUM
            for i in [i for i, column in enumerate(columns) if column.type == kind]:
                label_bytes[i] = [value_reader.counted() for _ in range(value_reader.packed())]
        else:
            _apply(field, value_reader, columns, mariadb)
        value_reader.expect_end()
    for i, labels in label_bytes.items():
        decoded = tuple(decode_label(label, columns[i].collation) for label in labels)
        columns[i] = replace(columns[i], labels=decoded)
    return TableMap(schema, table, tuple(columns), key)


def _metadata(code: int, metadata: _Reader) -> tuple[int, int]:
    """(type, metadata) of a column as MapColumn has them."""
    size = types.METADATA_SIZES.get(code)
    if size is None:
        raise ValueError(f"the column type {code} is not known")
    data = metadata.take(size)
    if code == types.STRING:
        # A CHAR longer than 255 bytes hides the upper bits of its length in those of the type that are always set.
        real = data[0]
        if real & 0x30 != 0x30:
            return types.STRING, data[1] | ((real & 0x30) ^ 0x30) << 4
        if real not in (types.STRING, types.ENUM, types.SET):
            raise ValueError(f"the column type {real} is not known")
        return real, data[1]
    if code == types.NEWDECIMAL:
        return code, data[0] << 8 | data[1]
    if code == types.BIT:
        return code, data[1] * 8 + data[0]
    if code == types.VAR_STRING:
        code = types.VARCHAR
    return code, int.from_bytes(data, "little")


def _apply(field: int, reader: _Reader, columns: list[MapColumn], mariadb: bool) -> None:
    """Put a field of the optional metadata into the columns that it speaks of."""
    if field == _SIGNEDNESS:
        numeric = [i for i, column in enumerate(columns) if column.type in types.NUMERIC]
        flags = reader.take((len(numeric) + 7) // 8)
        for n, i in enumerate(numeric):
            columns[i] = replace(columns[i], unsigned=bool(flags[n >> 3] << (n & 7) & 0x80))
    elif field in (_DEFAULT_CHARSET, _COLUMN_CHARSET):
        text = types.CHARACTER | {types.GEOMETRY} if mariadb else types.CHARACTER
        _collations(reader, columns, text, each=field == _COLUMN_CHARSET)
    elif field in (_LABEL_DEFAULT_CHARSET, _LABEL_COLUMN_CHARSET):
        _collations(reader, columns, {types.ENUM, types.SET}, each=field == _LABEL_COLUMN_CHARSET)
    elif field == _COLUMN_NAME:
        for i, column in enumerate(columns):
            columns[i] = replace(column, name=reader.counted_text())
    elif field == _GEOMETRY_TYPE:
        for i, column in enumerate(columns):
            if column.type == types.GEOMETRY:
                columns[i] = replace(column, geometry=reader.packed())
    elif field == _VECTOR_DIMENSIONS:
        for i, column in enumerate(columns):
            if column.type == types.VECTOR:
                columns[i] = replace(column, dimensions=reader.packed())
    elif field == _VISIBILITY:
        flags = reader.take((len(columns) + 7) // 8)
        for i, column in enumerate(columns):
            columns[i] = replace(column, visible=bool(flags[i >> 3] << (i & 7) & 0x80))
    else:
        raise ValueError(f"the metadata field {field} is not known")


def _collations(
    reader: _Reader, columns: list[MapColumn], types: set[int] | frozenset[int], *, each: bool
) -> None:
    """Either one collation for each of the columns of these types, or a default and the exceptions to it."""
    places = [i for i, column in enumerate(columns) if column.type in types]
    if each:
        for i in places:
            columns[i] = replace(columns[i], collation=reader.packed())
        return
    default = reader.packed()
    for i in places:
        columns[i] = replace(columns[i], collation=default)
    while not reader.at_end:
        i = places[reader.packed()]
        columns[i] = replace(columns[i], collation=reader.packed())


def _key(reader: _Reader, count: int, prefixes: bool) -> Iterator[int]:
    while not reader.at_end:
        place = reader.packed()
        if place >= count:
            raise ValueError(f"the primary key has column {place} of {count}")
        if prefixes:
            reader.packed()  # how much of the column is in the key
        yield place


class _Reader:
    """Reads on through bytes; every length is checked."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._data):
            raise ValueError(f"{size} bytes at {self._at} of {len(self._data)}")
        data = self._data[self._at : end]
        self._at = end
        return data

    def skip(self, size: int) -> None:
        self.take(size)

    def packed(self) -> int:
        """A length-encoded integer."""
        first = self.take(1)[0]
        if first < 251:
            return first
        return int.from_bytes(self.take({252: 2, 253: 3, 254: 8}[first]), "little")

    def counted(self) -> bytes:
        return self.take(self.packed())

    def counted_text(self, *, terminated: bool = False) -> str:
        """A name behind its length; terminated: a zero byte follows."""
        text = self.counted().decode()
        if terminated:
            self.skip(1)
        return text

    def expect_end(self) -> None:
        if not self.at_end:
            raise ValueError(f"{len(self._data) - self._at} bytes too many")
