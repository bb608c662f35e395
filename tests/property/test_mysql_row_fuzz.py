"""Rows of the binlog: NULLs elsewhere change no value; what is cut short or garbage leaves as ProtocolError alone."""

from __future__ import annotations

import json
import struct
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc.errors import ProtocolError
from cdc.mysql import column_types as types
from cdc.mysql import json_diff
from cdc.mysql.binary_json import text_of
from cdc.mysql.charsets import charset_of, decoder
from cdc.mysql.readings import reading_of
from cdc.mysql.rowcode import RowCode, compile_rows
from cdc.mysql.tablemap import MapColumn, TableMap, parse_table_map

UTF8 = 255
LATIN1 = 8
UTF16 = 54
BINARY = 63


def _counted(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=20).map(lambda data: len(data).to_bytes(size, "little") + data)


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


def _code(columns: list[MapColumn]) -> RowCode:
    key = MapColumn("id", types.LONG, 0, False)
    named = [
        MapColumn(f"c{i}", c.type, c.metadata, True, c.unsigned, c.collation, c.labels)
        for i, c in enumerate(columns)
    ]
    return compile_rows(TableMap("d", "t", (key, *named), (0,)), {})


def _image(values: list[bytes | None]) -> bytes:
    nulls = sum(1 << i + 1 for i, value in enumerate(values) if value is None)
    size = (len(values) + 8) // 8
    return (
        nulls.to_bytes(size, "little")
        + b"\1\0\0\0"
        + b"".join(value for value in values if value is not None)
    )


def _head(count: int, images: int = 1) -> bytes:
    return bytes([count + 1]) + b"\xff" * ((count + 8) // 8) * images


TABLES = st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=12)
ROWS = TABLES.flatmap(
    lambda table: st.tuples(
        st.just([column for column, _ in table]), st.tuples(*(values for _, values in table)).map(list)
    )
)


@given(ROWS, st.data())
@settings(max_examples=150)
def test_a_value_is_the_same_whatever_else_is_null(
    case: tuple[list[MapColumn], list[bytes]], data: st.DataObject
) -> None:
    columns, values = case
    code = _code(columns)
    body = _head(len(columns)) + _image([*values])
    ((key, whole, _),) = code.inserts(body, 0, len(body)) or []
    chosen = [data.draw(st.booleans()) for _ in columns]
    some = [value if keep else None for value, keep in zip(values, chosen, strict=True)]
    body = _head(len(columns), 2) + _image([*values]) + _image([*some])
    ((*before, after_key, after, _),) = code.updates(body, 0, len(body)) or []
    assert before[:2] == [key, whole]
    assert after_key == key
    full, partial = (json.loads(text.encode("latin-1")) for text in (whole, after))
    assert full == {**full, **{name: value for name, value in partial.items() if value is not None}}
    assert [partial[f"c{i}"] is not None for i in range(len(columns))] == chosen


PAIRS = TABLES.flatmap(
    lambda table: st.tuples(
        st.just([column for column, _ in table]),
        st.lists(st.tuples(*(st.none() | values for _, values in table)).map(list), min_size=2, max_size=2),
        st.lists(st.booleans(), min_size=len(table), max_size=len(table)),
    )
)


@given(PAIRS)
@settings(max_examples=150)
def test_the_images_of_an_update_are_as_if_read_alone(
    case: tuple[list[MapColumn], list[list[bytes | None]], list[bool]],
) -> None:
    columns, (old, other), same = case
    new = [before if keep else after for before, after, keep in zip(old, other, same, strict=True)]
    code = _code(columns)
    images = _image(old) + _image(new)
    alone = _head(len(columns)) + images
    together = _head(len(columns), 2) + images
    before, after = code.inserts(alone, 0, len(alone)) or []
    assert code.updates(together, 0, len(together)) == [(*before, *after)]


@given(ROWS)
@settings(max_examples=40)
def test_an_event_cut_within_a_row_is_refused(case: tuple[list[MapColumn], list[bytes]]) -> None:
    columns, values = case
    code = _code(columns)
    row = _image([*values])
    for decode, head, rows in (
        (code.inserts, _head(len(columns)), row),
        (code.updates, _head(len(columns), 2), row + row),
    ):
        body = head + rows
        for end in [*range(1, len(head)), *range(len(head) + 1, len(body))]:
            if end < len(head):
                with suppress(ProtocolError):  # bits that are not there count as columns that are not
                    assert decode(body[:end], 0, end) is None
            else:
                with pytest.raises(ProtocolError):
                    decode(body[:end], 0, end)
                with pytest.raises(ProtocolError):
                    decode(body, 0, end)


@given(ROWS, st.data())
@settings(max_examples=150)
def test_a_damaged_event_is_decoded_or_refused(
    case: tuple[list[MapColumn], list[bytes]], data: st.DataObject
) -> None:
    columns, values = case
    code = _code(columns)
    body = bytearray(_head(len(columns), 2) + 2 * _image([*values]))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    for decode in (code.inserts, code.updates, code.partial_updates):
        with suppress(ProtocolError):
            for row in decode(bytes(body), 0, len(body)) or []:
                json.loads(row[1].encode("latin-1"))


@given(TABLES, st.binary(max_size=200))
@settings(max_examples=150)
def test_garbage_is_decoded_or_refused(
    table: list[tuple[MapColumn, st.SearchStrategy[bytes]]], garbage: bytes
) -> None:
    code = _code([column for column, _ in table])
    body = _head(len(table), 2) + garbage
    for decode in (code.inserts, code.deletes, code.updates, code.partial_updates):
        with suppress(ProtocolError):
            decode(body, 0, len(body))


@given(st.binary(max_size=120), st.booleans())
@settings(max_examples=300)
def test_a_garbage_table_map_is_parsed_or_refused(garbage: bytes, mariadb: bool) -> None:
    for body in (garbage, b"p\0\0\0\0\0\1\0\1d\0\1t\0\2\x03\xfe\x02\xf7\x01\0" + garbage):
        with suppress(ProtocolError):
            parse_table_map(body, mariadb=mariadb)


@given(st.binary(max_size=120), st.integers(0, 15))
@settings(max_examples=300)
def test_garbage_json_is_text_or_refused(garbage: bytes, kind: int) -> None:
    with suppress(ValueError, LookupError, struct.error):
        json.loads(text_of(bytes([kind]) + garbage).encode("latin-1", "replace"))


@given(st.sampled_from([b"\0\4$[0]\3\5\1\0", b"\1\3$.b\3\5\1\0", b"\2\3$.a"]), st.binary(max_size=20))
@settings(max_examples=200)
def test_garbage_diffs_are_applied_or_refused(diff: bytes, garbage: bytes) -> None:
    for document in ('{"a":1}', "[1]", "null"):
        with suppress(ValueError, LookupError, struct.error):
            json_diff.apply(document, diff + garbage)


@given(st.binary(max_size=60))
@settings(max_examples=100)
def test_every_charset_decodes_anything(data: bytes) -> None:
    for collation in range(1, 324):
        with suppress(KeyError):
            decoder(charset_of(collation))(data).encode()


def test_a_reading_is_refused_where_its_metadata_is_none() -> None:
    for column in (
        MapColumn("c", types.NEWDECIMAL, 70 << 8, True),
        MapColumn("c", types.BLOB, 9, True, collation=UTF8),
        MapColumn("c", types.TIME2, 7, True),
        MapColumn("c", types.VARCHAR, 9, True, collation=9999),
    ):
        with pytest.raises((ValueError, LookupError)):
            reading_of(column, None, 0)
