"""Rows of the binlog: NULLs elsewhere change no value; what is cut short or garbage leaves as ProtocolError alone."""

from __future__ import annotations

import json
import struct
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
from support.mysqlrows import COLUMNS, UTF8, beginning, image


def _code(columns: list[MapColumn]) -> RowCode:
    key = MapColumn("id", types.LONG, 0, False)
    named = [
        MapColumn(f"c{i}", c.type, c.metadata, True, c.unsigned, c.collation, c.labels)
        for i, c in enumerate(columns)
    ]
    return compile_rows(TableMap("d", "t", (key, *named), (0,)), {})


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
    body = beginning(len(columns)) + image([*values])
    ((key, whole, _),) = code.inserts(body, 0, len(body)) or []
    chosen = [data.draw(st.booleans()) for _ in columns]
    some = [value if keep else None for value, keep in zip(values, chosen, strict=True)]
    body = beginning(len(columns), 2) + image([*values]) + image([*some])
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
    images = image(old) + image(new)
    alone = beginning(len(columns)) + images
    together = beginning(len(columns), 2) + images
    before, after = code.inserts(alone, 0, len(alone)) or []
    assert code.updates(together, 0, len(together)) == [(*before, *after)]


@given(ROWS)
@settings(max_examples=40)
def test_an_event_cut_within_a_row_is_refused(case: tuple[list[MapColumn], list[bytes]]) -> None:
    columns, values = case
    code = _code(columns)
    row = image([*values])
    for decode, head, rows in (
        (code.inserts, beginning(len(columns)), row),
        (code.updates, beginning(len(columns), 2), row + row),
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
    body = bytearray(beginning(len(columns), 2) + 2 * image([*values]))
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
    body = beginning(len(table), 2) + garbage
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
