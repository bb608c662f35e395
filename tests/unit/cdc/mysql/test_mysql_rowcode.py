from __future__ import annotations

import pytest

from cdc.errors import ProtocolError
from cdc.mysql import column_types as types
from cdc.mysql.rowcode import compile_rows
from cdc.mysql.tablemap import MapColumn, TableMap

ID = MapColumn("id", types.LONG, 0, False)
NAME = MapColumn("name", types.VARCHAR, 40, True, collation=255)
BIG = MapColumn("big", types.LONGLONG, 0, True)
JSON = MapColumn("doc", types.JSON, 4, True)


def _table(*columns: MapColumn, key: tuple[int, ...] = (0,)) -> TableMap:
    return TableMap("app", "items", columns, key)


def test_inserts_and_deletes() -> None:
    code = compile_rows(_table(ID, NAME), {})
    body = b"..\2\x03" + b"\xfc\1\0\0\0\1a" + b"\xfe\2\0\0\0" + b'\xfc\3\0\0\0\3\xc3\xa4"' + b"CRC!"
    rows = code.inserts(body, 2, len(body) - 4)
    assert rows == [
        ('{"id":1}', '{"id":1,"name":"a"}', None),
        ('{"id":2}', '{"id":2,"name":null}', None),
        ('{"id":3}', '{"id":3,"name":"\xc3\xa4\\""}', None),  # wire text
    ]
    assert code.deletes(body, 2, len(body) - 4) == rows


def test_updates_have_both_images_and_the_kinds_of_each() -> None:
    code = compile_rows(_table(ID, BIG), {})
    body = b"\2\x03\x03" + b"\xfc\1\0\0\0" + b"\xff" * 7 + b"\x7f" + b"\xfc\2\0\0\0\5\0\0\0\0\0\0\0"
    assert code.updates(body, 0, len(body)) == [
        (
            '{"id":1}',
            '{"id":1,"big":"9223372036854775807"}',
            {"big": "int64"},
            '{"id":2}',
            '{"id":2,"big":5}',
            None,
        )
    ]


def test_a_zero_that_becomes_negative_is_told() -> None:
    code = compile_rows(_table(ID, MapColumn("x", types.DOUBLE, 8, False)), {})
    body = b"\2\x03\x03" + b"\xfc\1\0\0\0" + bytes(8) + b"\xfc\1\0\0\0" + bytes(7) + b"\x80"
    ((_, before, _, _, after, _),) = code.updates(body, 0, len(body)) or []
    assert (before, after) == ('{"id":1,"x":0.0}', '{"id":1,"x":-0.0}')


@pytest.mark.parametrize(("bits", "complete"), [(b"\x03", True), (b"\x01", False), (b"\x02", False)])
def test_an_image_without_all_columns_is_told(bits: bytes, complete: bool) -> None:
    code = compile_rows(_table(ID, NAME), {})
    body = b"\2" + bits + b"\xfc\1\0\0\0\1a"
    assert (code.inserts(body, 0, len(body)) is not None) == complete
    assert code.updates(b"\2\x03" + bits, 0, 3) == ([] if complete else None)


def test_partial_updates_apply_to_the_document_before() -> None:
    code = compile_rows(_table(ID, JSON), {})
    before = b"\x0c\3old"  # a string
    whole = b"\0\1\0\x0c\0\x0b\0\1\0\5\7\0a"  # {"a": 7}
    diff = b"\0\3$.a\3\5\x09\0"  # replace $.a by 9
    old = b"\xfc\1\0\0\0" + len(whole).to_bytes(4, "little") + whole
    new = b"\1\1\xfc\1\0\0\0" + len(diff).to_bytes(4, "little") + diff
    body = b"\2\x03\x03" + old + new
    assert code.partial_updates(body, 0, len(body)) == [
        ('{"id":1}', '{"id":1,"doc":{"a":7}}', None, '{"id":1}', '{"id":1,"doc":{"a":9}}', None)
    ]
    full = b"\0\xfc\1\0\0\0" + len(before).to_bytes(4, "little") + before
    body = b"\2\x03\x03" + old + full
    assert code.partial_updates(body, 0, len(body))[0][4] == '{"id":1,"doc":"old"}'  # type: ignore[index]


def test_hints_and_key_order() -> None:
    flag = MapColumn("flag", types.TINY, 0, False)
    uuid = MapColumn("uuid", types.STRING, 16, False, collation=63)
    code = compile_rows(_table(flag, uuid, ID, key=(2, 1)), {"flag": "boolean", "uuid": "uuid"})
    body = b"\3\x07\xf8\1\1\x12\7\0\0\0"
    assert code.inserts(body, 0, len(body)) == [
        (
            '{"id":7,"uuid":"12000000-0000-0000-0000-000000000000"}',
            '{"flag":true,"uuid":"12000000-0000-0000-0000-000000000000","id":7}',
            {"uuid": "uuid"},
        )
    ]


def test_bytes_that_are_no_utf8_are_replaced_in_row_and_key() -> None:
    code = compile_rows(_table(NAME), {})
    body = b"\1\x01\xfe\2a\xff"
    ((key, doc, _),) = code.inserts(body, 0, len(body)) or []
    assert key == doc
    assert doc.encode("latin-1").decode() == '{"name":"a\ufffd"}'


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (b"\3\x07", "3 columns, its table map 2"),
        (b"\2\x03\xfd\1a", "NULL in a column that is NOT NULL"),
        (b"\2\x03\xfc\1\0\0\0\x09a", "ends 8 bytes behind"),
        (b"\2\x03\xfc\1\0", "unpack_from requires"),
        (b"", "index out of range"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_table(body: bytes, what: str) -> None:
    code = compile_rows(_table(ID, NAME), {})
    with pytest.raises(ProtocolError, match=f"app.items: a rows event .*{what}"):
        code.inserts(body, 0, len(body))


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (_table(MapColumn(None, types.LONG, 0, False)), "has no names"),
        (_table(ID, key=()), "has no primary key"),
        (_table(ID, MapColumn("x", types.VARCHAR, 4, True, collation=9999)), "its column x cannot be read"),
    ],
)
def test_tables_that_cannot_be_read(table: TableMap, what: str) -> None:
    with pytest.raises(ProtocolError, match=what):
        compile_rows(table, {})
