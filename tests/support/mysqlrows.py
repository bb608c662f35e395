"""Rows as the binlog has them: columns of every type with the bytes of their values, and images of those."""

from __future__ import annotations

import json
import struct
import zlib
from typing import NamedTuple

from hypothesis import strategies as st

from cdc.mysql import column_types as types
from cdc.mysql.table import Hint
from cdc.mysql.tablemap import MapColumn

UTF8 = 255
LATIN1 = 8
UTF16 = 54
BINARY = 63


def _counted(size: int, most: int = 20) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=most).map(lambda data: len(data).to_bytes(size, "little") + data)


def _said(size: int, text: st.SearchStrategy[str], encoding: str = "utf-8") -> st.SearchStrategy[bytes]:
    encoded = text.map(lambda value: value.encode(encoding))
    return encoded.map(lambda data: len(data).to_bytes(size, "little") + data)


def _decimal(before: int, after: int) -> st.SearchStrategy[bytes]:
    """A DECIMAL of so many digits on either side of the point, fewer than ten each."""
    sizes = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
    size = sizes[before] + sizes[after]
    parts = st.tuples(st.integers(0, 10**before - 1), st.integers(0, 10**after - 1), st.booleans())

    def pack(value: tuple[int, int, bool]) -> bytes:
        whole, fraction, negative = value
        bits = (whole << 8 * sizes[after] | fraction) ^ 1 << 8 * size - 1
        return (bits ^ (1 << 8 * size) - 1 if negative else bits).to_bytes(size)

    return parts.map(pack)


def _json(value: str) -> bytes:
    data = value.encode()
    return (len(data) + 2).to_bytes(4, "little") + bytes([0x0C, len(data)]) + data


def _compressed(data: bytes) -> bytes:
    raw = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = bytes([0x89, len(data)]) + raw.compress(data) + raw.flush()
    return len(packed).to_bytes(2, "little") + packed


COLUMNS: list[tuple[MapColumn, st.SearchStrategy[bytes]]] = [
    (MapColumn("", types.TINY, 0, True), st.binary(min_size=1, max_size=1)),
    (MapColumn("", types.SHORT, 0, True, unsigned=True), st.binary(min_size=2, max_size=2)),
    (MapColumn("", types.INT24, 0, True), st.binary(min_size=3, max_size=3)),
    (MapColumn("", types.LONG, 0, True), st.binary(min_size=4, max_size=4)),
    (MapColumn("", types.LONGLONG, 0, True), st.binary(min_size=8, max_size=8)),
    (MapColumn("", types.YEAR, 0, True), st.binary(min_size=1, max_size=1)),
    (MapColumn("", types.FLOAT, 4, True), st.floats(width=32, allow_nan=False, allow_infinity=False).map(
        lambda value: struct.pack("<f", value))),
    (MapColumn("", types.DOUBLE, 8, True), st.floats(allow_nan=False, allow_infinity=False).map(
        lambda value: struct.pack("<d", value))),
    (MapColumn("", types.NEWDECIMAL, 20 << 8 | 10, True), st.binary(min_size=10, max_size=10)),
    (MapColumn("", types.BIT, 60, True), st.binary(min_size=8, max_size=8)),
    (MapColumn("", types.DATE, 0, True), st.binary(min_size=3, max_size=3)),
    (MapColumn("", types.DATETIME2, 3, True), st.binary(min_size=6, max_size=6).map(lambda b: b"\x99" + b)),
    (MapColumn("", types.TIMESTAMP2, 6, True), st.binary(min_size=7, max_size=7)),
    (MapColumn("", types.TIME2, 2, True), st.binary(min_size=4, max_size=4)),
    (MapColumn("", types.VARCHAR, 80, True, collation=UTF8), _counted(1)),
    (MapColumn("", types.VARCHAR, 800, True, collation=LATIN1), _counted(2)),
    (MapColumn("", types.BLOB, 3, True, collation=UTF16), _counted(3)),
    (MapColumn("", types.STRING, 20, True, collation=BINARY), _counted(1)),
    (MapColumn("", types.BLOB, 4, True, collation=BINARY), _counted(4)),
    (MapColumn("", types.BLOB_COMPRESSED, 2, True, collation=UTF8), st.binary(max_size=99).map(_compressed)),
    (MapColumn("", types.ENUM, 1, True, labels=("a", "ä")), st.sampled_from([b"\0", b"\1", b"\2"])),
    (MapColumn("", types.SET, 1, True, labels=("a", "ä")), st.sampled_from([b"\0", b"\1", b"\3"])),
    (MapColumn("", types.JSON, 4, True), st.text(max_size=9).map(_json)),
]  # fmt: skip


class Hinted(NamedTuple):
    """A column with what the catalog says of it."""

    column: MapColumn
    values: st.SearchStrategy[bytes]
    hint: Hint | None = None


def _bytes(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


ASCII = st.text(st.characters(max_codepoint=127), max_size=9)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
)
WRITTEN = st.tuples(DOCUMENTS, st.sampled_from([None, 1]), st.booleans()).map(
    lambda case: json.dumps(case[0], indent=case[1], ensure_ascii=case[2])
)
ODD = st.sampled_from(
    ["", " ", "01", "-", "1.", ".5", "1e999", "1E5", "-0.0", "123456789012345678901234", "NaN", "nul", "[1,]", "{,}",
     '{"a" 1}', '{"a":1,"a":2}', "[1 2]",
     '"\\u00e9\\/"', '"\\ud800"', '"\\ud83d\\ude00"', '"\\x"', '"\\u12"', '"\t"', '"\x7f"',
     "[" * 70 + "]" * 70, "[" * 300 + "]" * 300, "[}", "{]", "{", "[1", "1 2", "\ufeff1", " \r\n[ 1 ,\t2 ] "]
)  # fmt: skip

SOUND: list[Hinted] = [
    *(Hinted(MapColumn("", kind, 0, True, unsigned), _bytes(size))
      for kind, size in ((types.TINY, 1), (types.SHORT, 2), (types.INT24, 3), (types.LONG, 4), (types.LONGLONG, 8))
      for unsigned in (False, True)),
    Hinted(MapColumn("", types.YEAR, 0, True), _bytes(1)),
    Hinted(MapColumn("", types.TINY, 0, True), st.sampled_from([b"\0", b"\1", b"\2", b"\xff"]), "boolean"),
    Hinted(MapColumn("", types.BIT, 1, True), st.sampled_from([b"\0", b"\1"])),
    Hinted(MapColumn("", types.BIT, 60, True), _bytes(8)),
    Hinted(MapColumn("", types.FLOAT, 4, True), st.floats(width=32, allow_nan=False, allow_infinity=False).map(
        lambda value: struct.pack("<f", value))),
    Hinted(MapColumn("", types.DOUBLE, 8, True), st.floats(allow_nan=False, allow_infinity=False).map(
        lambda value: struct.pack("<d", value))),
    Hinted(MapColumn("", types.NEWDECIMAL, 12 << 8 | 4, True), _decimal(8, 4)),
    Hinted(MapColumn("", types.NEWDECIMAL, 9 << 8 | 9, True), _decimal(0, 9)),
    Hinted(MapColumn("", types.NEWDECIMAL, 7 << 8, True), _decimal(7, 0)),
    Hinted(MapColumn("", types.DATE, 0, True), _bytes(3)),
    *(Hinted(MapColumn("", types.DATETIME2, digits, True),
             _bytes(4 + (digits + 1) // 2).map(lambda data: b"\x99" + data)) for digits in (0, 3, 6)),
    *(Hinted(MapColumn("", types.TIMESTAMP2, digits, True), _bytes(4 + (digits + 1) // 2)) for digits in (0, 2, 6)),
    Hinted(MapColumn("", types.TIMESTAMP2, 0, True), st.just(bytes(4))),
    *(Hinted(MapColumn("", types.TIME2, digits, True), _bytes(3 + (digits + 1) // 2)) for digits in (0, 1, 6)),
    Hinted(MapColumn("", types.VARCHAR, 80, True, collation=UTF8), _said(1, TEXTS)),
    Hinted(MapColumn("", types.VARCHAR, 800, True, collation=LATIN1), _said(2, ASCII)),
    Hinted(MapColumn("", types.BLOB, 3, True, collation=UTF16), _said(3, TEXTS, "utf-16-be")),
    Hinted(MapColumn("", types.BLOB, 4, True, collation=BINARY), _counted(4)),
    Hinted(MapColumn("", types.STRING, 20, True, collation=BINARY), _counted(1)),
    Hinted(MapColumn("", types.STRING, 16, True, collation=BINARY), _counted(1, 16), "uuid"),
    Hinted(MapColumn("", types.ENUM, 1, True, labels=("a", "ä")), st.sampled_from([b"\0", b"\1", b"\2"])),
    Hinted(MapColumn("", types.SET, 1, True, labels=("a", "ä")), st.sampled_from([b"\0", b"\1", b"\3"])),
    Hinted(MapColumn("", types.JSON, 4, True), TEXTS.map(_json)),
    Hinted(MapColumn("", types.BLOB, 4, True, collation=UTF8), _said(4, WRITTEN | ODD), "json"),
]  # fmt: skip
"""Columns with values that a server might send."""

ANY: list[Hinted] = [
    *SOUND,
    *(Hinted(*each) for each in COLUMNS),
    Hinted(MapColumn("", types.ENUM, 1, True, labels=("a",)), _bytes(1)),
    Hinted(MapColumn("", types.BIT, 1, True), _bytes(1)),
    Hinted(MapColumn("", types.DATETIME2, 0, True), _bytes(5)),
    Hinted(
        MapColumn("", types.DOUBLE, 8, True),
        st.floats(allow_nan=True).map(lambda value: struct.pack("<d", value)),
    ),
    Hinted(MapColumn("", types.FLOAT, 4, True), _bytes(4)),
    Hinted(MapColumn("", types.BLOB, 4, True, collation=UTF8), _counted(4), "json"),
    Hinted(MapColumn("", types.NEWDECIMAL, 30 << 8 | 10, True), _bytes(14)),
]
"""Columns with any values."""


def image(values: list[bytes | None]) -> bytes:
    nulls = sum(1 << i + 1 for i, value in enumerate(values) if value is None)
    size = (len(values) + 8) // 8
    return (
        nulls.to_bytes(size, "little")
        + b"\1\0\0\0"
        + b"".join(value for value in values if value is not None)
    )


def beginning(count: int, images: int = 1) -> bytes:
    return bytes([count + 1]) + b"\xff" * ((count + 8) // 8) * images
