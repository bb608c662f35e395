from __future__ import annotations

import pytest

from cdc.errors import ProtocolError
from cdc.mysql import column_types as types
from cdc.mysql.tablemap import MapColumn, TableMap, parse_table_map

# create table t(id int unsigned primary key, b bigint unsigned, y year, g geometry, c char(3),
#   v varchar(4) charset latin1, tx text charset gbk, j json, bl blob, e enum('a','b') charset latin1, s set('x','y'),
#   bi bit(9), ts timestamp(3) null, d decimal(10,2) unsigned) default charset utf8mb4
HEAD = b"p\0\0\0\0\0\1\0\x0cvalues_probe\0\1t\0\x0e"
NAMES = b"\x04!\x02id\x01b\x01y\x01g\x01c\x01v\x02tx\x01j\x02bl\x01e\x01s\x02bi\x02ts\x01d"
LABELS = b"\x05\x05\x02\x01x\x01y\x06\x05\x02\x01a\x01b"
METADATA = b"\x11\x04\xfe\x0c\x04\x00\x02\x04\x02\xf7\x01\xf8\x01\x01\x01\x03\x0a\x02\xfe\x3f"
MYSQL = (
    HEAD
    + b"\x03\x08\r\xff\xfe\x0f\xfc\xf5\xfc\xfe\xfe\x10\x11\xf6"
    + METADATA
    + b"\x01\x01\xf0\x03\x06\xfc\xff\x00\x08\x1c?\x07\x01\x00"
    + NAMES
    + b"\x0b\x04\x08\xfc\xff\x00"
    + LABELS
    + b"\x08\x01\x00\x0c\x02\xff\xfc"
)
MARIADB = (
    HEAD
    + b"\x03\x08\r\xff\xfe\x0f\xfc\xfc\xfc\xfe\xfe\x10\x11\xf6"
    + METADATA
    + b"\x01\x01\xf0\x03\x06?-\x08\x1c.?\x07\x01\x00"
    + NAMES
    + b"\x0b\x02\x08-"
    + LABELS
    + b"\x08\x01\x00"
)


def _expected(mariadb: bool) -> TableMap:
    utf8 = 45 if mariadb else 255
    return TableMap(
        "values_probe",
        "t",
        (
            MapColumn("id", types.LONG, 0, False, unsigned=True),
            MapColumn("b", types.LONGLONG, 0, True, unsigned=True),
            MapColumn("y", types.YEAR, 0, True, unsigned=True),
            MapColumn("g", types.GEOMETRY, 4, True, collation=63 if mariadb else 0),
            MapColumn("c", types.STRING, 12, True, collation=utf8),
            MapColumn("v", types.VARCHAR, 4, True, collation=8),
            MapColumn("tx", types.BLOB, 2, True, collation=28),
            MapColumn("j", types.BLOB, 4, True, collation=46)
            if mariadb
            else MapColumn("j", types.JSON, 4, True),
            MapColumn("bl", types.BLOB, 2, True, collation=63),
            MapColumn("e", types.ENUM, 1, True, collation=8, labels=("a", "b")),
            MapColumn("s", types.SET, 1, True, collation=utf8, labels=("x", "y")),
            MapColumn("bi", types.BIT, 9, True),
            MapColumn("ts", types.TIMESTAMP2, 3, True),
            MapColumn("d", types.NEWDECIMAL, 10 << 8 | 2, True, unsigned=True),
        ),
        (0,),
    )


@pytest.mark.parametrize("mariadb", [False, True])
def test_a_full_table_map(mariadb: bool) -> None:
    table = parse_table_map(MARIADB if mariadb else MYSQL, mariadb=mariadb)
    assert table == _expected(mariadb)
    assert table.named


def test_a_minimal_table_map_has_no_names() -> None:
    minimal = HEAD + b"\x03\x08\r\xff\xfe\x0f\xfc\xf5\xfc\xfe\xfe\x10\x11\xf6" + METADATA + b"\x01\x01\xf0"
    table = parse_table_map(minimal, mariadb=False)
    assert not table.named
    assert table.columns[0] == MapColumn(None, types.LONG, 0, False, unsigned=True)
    assert table.key == ()


@pytest.mark.parametrize("end", range(len(MYSQL)))
def test_a_table_map_cut_at_any_byte_is_refused_or_lacks_its_last_fields(end: int) -> None:
    try:
        table = parse_table_map(MYSQL[:end], mariadb=False)
    except ProtocolError:
        return
    assert [column.type for column in table.columns] == [
        column.type for column in _expected(mariadb=False).columns
    ]
    assert end > len(HEAD)


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ProtocolError, match="column type 200 is not known"):
        parse_table_map(b"p\0\0\0\0\0\1\0\1d\0\1t\0\1\xc8\0\0", mariadb=False)


def test_bytes_too_many_are_refused() -> None:
    with pytest.raises(ProtocolError, match="bytes too many"):
        parse_table_map(b"p\0\0\0\0\0\1\0\1d\0\1t\0\1\x03\0\0\x01\x02\0\0", mariadb=False)


def test_a_char_of_more_than_255_bytes_keeps_its_length() -> None:
    # CHAR(100) in utf8mb4, 400 bytes: bits 8 and 9 of the length are upside down in the type's byte.
    body = b"p\0\0\0\0\0\1\0\1d\0\1t\0\1\xfe\x02\xee\x90\0"
    assert parse_table_map(body, mariadb=False).columns == (MapColumn(None, types.STRING, 400, False),)
