"""Every type on real servers: the binlog's row and the SELECT's are the same bytes, and the ones written here."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import pymysql
import pytest

from broadcaster.demo.mysql import EmbeddedMysql
from cdc.mysql.catalog import load_table
from cdc.mysql.charsets import charset_of, decoder
from cdc.mysql.rowcode import compile_rows
from cdc.mysql.tablemap import parse_table_map
from cdc.mysql.values import compile_row, select_list
from servers.mysql import MysqlDatabase, MysqlServers, temporary_database
from support.binlog_rows import RowsEvent, place, rows_since

LAX = "SET sql_mode = '', time_zone = '+00:00'"


class Decoded(NamedTuple):
    """Rows as (key, doc, kinds): what the binlog's events gave, and what the table holds in the end."""

    stream: list[tuple[str, str, Any]]
    snapshot: list[tuple[str, str, Any]]


class Probe:
    """A database, and what looks at it from both sides over connections that stay."""

    def __init__(self, database: MysqlDatabase, stack: ExitStack) -> None:
        self.database = database
        self.name = database.name
        self.flavor = database.flavor
        self._catalog = stack.enter_context(database.connect())
        self._writer = stack.enter_context(database.connect())
        with self._writer.cursor() as cursor:
            cursor.execute(LAX)
        server = database.server
        self._reader = stack.enter_context(
            pymysql.connect(
                host="127.0.0.1",
                port=server.port,
                user="root",
                password=server.password,
                database=database.name,
                charset="utf8mb4",
                use_unicode=False,
                conv=pymysql.converters.encoders,
                autocommit=True,
                init_command="SET time_zone = '+00:00'",
            )
        )

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        with self._catalog.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def events(self, *statements: str, session: str | None = None) -> list[RowsEvent]:
        """The rows events of these statements. session: prepares one for them alone."""
        with ExitStack() as stack:
            connection = self._writer
            if session is not None:
                connection = stack.enter_context(self.database.connect())
                connection.cursor().execute(session)
            file, offset = place(connection)
            for statement in statements:
                connection.cursor().execute(statement)
        return rows_since(self.database.connect(), file, offset)

    def rows(self, event: RowsEvent) -> Any:
        """What the generated code makes of it."""
        table = parse_table_map(event.table_map, mariadb=self.flavor == "mariadb")
        known = load_table(self._catalog, table.schema, table.table)
        assert known is not None
        assert [column.name for column in known.columns] == [column.name for column in table.columns]
        assert known.key == tuple(table.columns[i].name for i in table.key)
        code = compile_rows(table, known.hints)
        functions = {"insert": code.inserts, "delete": code.deletes, "update": code.updates}
        decode = functions.get(event.op, code.partial_updates)
        return decode(event.body, event.at, len(event.body))

    def select(self) -> list[tuple[str, str, Any]]:
        """All rows of the table `t` as a snapshot has them."""
        table = load_table(self._catalog, self.name, "t")
        assert table is not None
        row = compile_row(table)
        with self._reader.cursor() as cursor:
            cursor.execute(f"SELECT {select_list(table)} FROM t ORDER BY 1")
            rows = [row(values) for values in cursor.fetchall()]
        return [(key.decode(), doc.decode(), kinds) for key, doc, kinds in rows]

    def decoded(self, *statements: str, session: str | None = None) -> Decoded:
        """Of statements that fill a table `t`, in the order of its first column, its key."""
        events = self.events(*statements, session=session)
        return Decoded([_text(row) for event in events for row in self.rows(event)], self.select())


def _text(row: tuple[str, str, Any]) -> tuple[str, str, Any]:
    key, doc, kinds = row
    return key.encode("latin-1").decode(), doc.encode("latin-1").decode(), kinds


@contextmanager
def _probe(server: EmbeddedMysql) -> Iterator[Probe]:
    with temporary_database(server) as database, ExitStack() as stack:
        yield Probe(database, stack)


@pytest.fixture(scope="module")
def each_probe(mysql_server: EmbeddedMysql) -> Iterator[Probe]:
    with _probe(mysql_server) as probe:
        yield probe


@pytest.fixture
def each(each_probe: Probe) -> Probe:
    """MySQL, then MariaDB, without a table `t`."""
    each_probe.execute("DROP TABLE IF EXISTS t")
    return each_probe


@pytest.fixture
def mysql(mysql_servers: MysqlServers) -> Iterator[Probe]:
    with _probe(mysql_servers.get("mysql")) as probe:
        yield probe


@pytest.fixture
def mariadb(mysql_servers: MysqlServers) -> Iterator[Probe]:
    with _probe(mysql_servers.get("mariadb")) as probe:
        yield probe


def _values(probe: Probe, column: str, *values: str, session: str | None = None) -> tuple[list[str], Any]:
    """The JSON of a column's values and its kinds, which stream and snapshot agree on."""
    rows = ", ".join(f"({i}, {value})" for i, value in enumerate(values))
    decoded = probe.decoded(
        f"CREATE TABLE t (id INT PRIMARY KEY, c {column}) DEFAULT CHARSET utf8mb4",
        f"INSERT INTO t VALUES {rows}",
        session=session,
    )
    assert decoded.stream == decoded.snapshot
    texts = []
    for i, (key, doc, _) in enumerate(decoded.stream):
        assert key == f'{{"id":{i}}}'
        head = f'{{"id":{i},"c":'
        assert doc.startswith(head)
        json.loads(doc)
        texts.append(doc[len(head) : -1])
    return texts, [kinds for _, _, kinds in decoded.stream]


BOTH: list[tuple[str, dict[str, str], str | None]] = [
    # column, {SQL: JSON}, kind (of all but null)
    ("TINYINT", {"-128": "-128", "127": "127", "NULL": "null"}, None),
    ("TINYINT UNSIGNED", {"0": "0", "255": "255"}, None),
    ("TINYINT(1)", {"0": "false", "1": "true", "2": "2", "-1": "-1", "NULL": "null"}, None),
    ("BOOLEAN", {"TRUE": "true", "FALSE": "false"}, None),
    ("SMALLINT", {"-32768": "-32768", "32767": "32767"}, None),
    ("SMALLINT UNSIGNED", {"65535": "65535"}, None),
    ("MEDIUMINT", {"-8388608": "-8388608", "-1": "-1", "8388607": "8388607"}, None),
    ("MEDIUMINT UNSIGNED", {"16777215": "16777215", "65536": "65536"}, None),
    ("INT", {"-2147483648": "-2147483648", "2147483647": "2147483647"}, None),
    ("INT UNSIGNED", {"4294967295": "4294967295"}, None),
    ("INT(6) ZEROFILL", {"42": "42", "0": "0"}, None),
    ("BIGINT", {"9007199254740991": "9007199254740991", "-9007199254740991": "-9007199254740991"}, None),
    ("BIGINT ", {"-9223372036854775808": '"-9223372036854775808"'}, "int64"),
    ("BIGINT", {"9007199254740992": '"9007199254740992"'}, "int64"),
    ("BIGINT UNSIGNED", {"18446744073709551615": '"18446744073709551615"'}, "int64"),
    ("BIGINT ZEROFILL", {"7": "7", "9007199254740991": "9007199254740991"}, None),
    ("YEAR", {"0": "0", "'0000'": "0", "1901": "1901", "2155": "2155"}, None),
    ("BIT(1)", {"b'0'": "false", "b'1'": "true"}, None),
    ("BIT(9)", {"b'100000001'": "257"}, None),
    ("BIT(64)", {"1": "1"}, None),
    ("BIT(64)", {"18446744073709551615": '"18446744073709551615"'}, "int64"),
    (
        "FLOAT",
        {"1.1": "1.1", "16777216": "16777216.0", "3.4e38": "3.4e+38", "1e-45": "1e-45", "0.1": "0.1"},
        None,
    ),
    ("FLOAT(9,3)", {"1.1": "1.1", "123456.789": "123456.79"}, None),
    (
        "DOUBLE",
        {"1.1": "1.1", "1e308": "1e+308", "5e-324": "5e-324", "0.1": "0.1", "3": "3.0"},
        None,
    ),
    ("DOUBLE(10,2)", {"1.126": "1.13"}, None),
    (
        "DECIMAL(10,2)",
        {"1.5": '"1.50"', "-0.05": '"-0.05"', "99999999.99": '"99999999.99"', "-99999999.99": '"-99999999.99"',
         "0": '"0.00"', "-0.001": '"0.00"'},
        "decimal",
    ),
    ("DECIMAL(65,30)", {f"-{'9' * 35}.{'9' * 30}": f'"-{"9" * 35}.{"9" * 30}"', "1e-30": f'"0.{"0" * 29}1"'},
     "decimal"),
    ("DECIMAL(30,30)", {"0.5": f'"0.5{"0" * 29}"'}, "decimal"),
    ("DECIMAL(65,0)", {"9" * 65: f'"{"9" * 65}"', "-1": '"-1"'}, "decimal"),
    ("DECIMAL(8,3) ZEROFILL", {"1.5": '"1.500"', "0": '"0.000"'}, "decimal"),
    (
        "DATE",
        {"'2024-02-29'": '"2024-02-29"', "0": '"0000-00-00"', "'2024-00-00'": '"2024-00-00"',
         "'9999-12-31'": '"9999-12-31"',
         "'0001-01-01'": '"0001-01-01"'},
        "date",
    ),
    (
        "DATETIME",
        {"'2024-01-02 03:04:05'": '"2024-01-02T03:04:05"', "0": '"0000-00-00T00:00:00"',
         "'2024-01-00 01:02:03'": '"2024-01-00T01:02:03"', "'9999-12-31 23:59:59'": '"9999-12-31T23:59:59"'},
        "timestamp",
    ),
    ("DATETIME(1)", {"'2024-01-02 03:04:05.5'": '"2024-01-02T03:04:05.5"'}, "timestamp"),
    ("DATETIME(3)", {"'2024-01-02 03:04:05.120'": '"2024-01-02T03:04:05.12"', "'2024-01-02'": '"2024-01-02T00:00:00"'},
     "timestamp"),
    ("DATETIME(6)", {"'2024-01-02 03:04:05.000001'": '"2024-01-02T03:04:05.000001"'}, "timestamp"),
    (
        "TIMESTAMP NULL",
        {"'2024-01-02 03:04:05'": '"2024-01-02T03:04:05Z"', "0": '"0000-00-00T00:00:00Z"',
         "'1970-01-01 00:00:01'": '"1970-01-01T00:00:01Z"', "'2038-01-19 03:14:07'": '"2038-01-19T03:14:07Z"',
         "NULL": "null"},
        "timestamptz",
    ),
    ("TIMESTAMP(2) NULL", {"'2024-01-02 03:04:05.10'": '"2024-01-02T03:04:05.1Z"'}, "timestamptz"),
    ("TIMESTAMP(6) NULL", {"'2024-01-02 03:04:05.999999'": '"2024-01-02T03:04:05.999999Z"',
      "0": '"0000-00-00T00:00:00Z"'},
     "timestamptz"),
    ("TIME", {"'12:34:56'": '"12:34:56"', "'-838:59:59'": '"-838:59:59"', "'838:59:59'": '"838:59:59"',
      "0": '"00:00:00"'}, "time"),
    ("TIME(1)", {"'-00:00:00.5'": '"-00:00:00.5"', "'-00:00:01.2'": '"-00:00:01.2"'}, "time"),
    ("TIME(4)", {"'-00:00:01.25'": '"-00:00:01.25"', "'01:02:03.0040'": '"01:02:03.004"'}, "time"),
    ("TIME(6)", {"'-00:00:00.000001'": '"-00:00:00.000001"', "'838:59:58.999999'": '"838:59:58.999999"'}, "time"),
    ("CHAR(3)", {"'ab '": '"ab"', "'äöü'": '"äöü"', "''": '""'}, None),
    ("CHAR(255)", {"REPEAT('ä', 255)": json.dumps("ä" * 255, ensure_ascii=False)}, None),
    ("VARCHAR(3)", {"'ab '": '"ab "', "'😀'": '"😀"'}, None),
    ("VARCHAR(300)", {"'a\\n\\t\\\"\\\\\\0\\Z/'": '"a\\n\\t\\"\\\\\\u0000\\u001a/"'}, None),
    ("TINYTEXT", {"'x'": '"x"', "''": '""'}, None),
    ("TEXT", {"REPEAT('x', 300)": f'"{"x" * 300}"'}, None),
    ("MEDIUMTEXT", {"REPEAT('x', 70000)": f'"{"x" * 70000}"'}, None),
    ("LONGTEXT", {"'y'": '"y"'}, None),
    ("BINARY(4)", {"'ab'": '"YWIAAA=="', "x'00000000'": '"AAAAAA=="', "''": '"AAAAAA=="'}, "bytes"),
    ("VARBINARY(4)", {"x'6100'": '"YQA="', "''": '""'}, "bytes"),
    ("TINYBLOB", {"x'ff'": '"/w=="'}, "bytes"),
    ("BLOB", {"x'00ff'": '"AP8="', "''": '""', "NULL": "null"}, "bytes"),
    ("MEDIUMBLOB", {"x'01'": '"AQ=="'}, "bytes"),
    ("LONGBLOB", {"x'01'": '"AQ=="'}, "bytes"),
    ("ENUM('a','ö','b,c')", {"'a'": '"a"', "'ö'": '"ö"', "3": '"b,c"', "''": '""', "NULL": "null"}, None),
    ("ENUM('ä','é') CHARSET latin1", {"'é'": '"é"'}, None),
    ("ENUM('漢','字') CHARSET utf16", {"'字'": '"字"'}, None),
    ("ENUM('汉','字') CHARSET gbk", {"'汉'": '"汉"'}, None),
    (f"ENUM({','.join(map(repr, map(str, range(300))))})", {"'299'": '"299"'}, None),
    ("SET('a','b','c')", {"'c,a'": '"a,c"', "''": '""', "'a,b,c'": '"a,b,c"'}, None),
    ("SET('ä','é') CHARSET latin1", {"'é,ä'": '"ä,é"'}, None),
    ("SET('漢','字') CHARSET utf16", {"'字'": '"字"', "3": '"漢,字"'}, None),
    (f"SET({','.join(f'{chr(39)}m{i}{chr(39)}' for i in range(64))})", {"'m63,m0'": '"m0,m63"'}, None),
    ("VARCHAR(9) CHARSET latin1", {"'é€'": '"é€"', "x'81'": '"\x81"'}, None),
    ("CHAR(9) CHARSET utf16", {"'a漢😀'": '"a漢😀"', "'a '": '"a"'}, None),
    ("VARCHAR(9) CHARSET ucs2", {"'a漢'": '"a漢"'}, None),
    ("VARCHAR(9) CHARSET utf32", {"'a漢😀'": '"a漢😀"'}, None),
    ("VARCHAR(9) CHARSET utf16le", {"'a漢😀'": '"a漢😀"'}, None),
    ("VARCHAR(9) CHARSET utf8mb3", {"'aä漢'": '"aä漢"'}, None),
    ("VARCHAR(9) CHARSET ascii", {"'a~'": '"a~"'}, None),
    ("VARCHAR(9) CHARSET binary", {"'a~'": '"YX4="'}, "bytes"),
    ("TEXT CHARSET sjis", {"'漢ｱ\\\\'": '"漢ｱ\\\\"'}, None),
    ("TEXT CHARSET gbk", {"'汉字'": '"汉字"'}, None),
    ("GEOMETRY", {"NULL": "null"}, None),
    ("POINT", {"ST_GeomFromText('POINT(1 2)')": '{"srid":0,"wkb":"AQEAAAAAAAAAAADwPwAAAAAAAABA"}'}, "geometry"),
    (
        "GEOMETRY",
        {"ST_GeomFromText('POINT(1 2)', 4326)": '{"srid":4326,"wkb":"AQEAAAAAAAAAAAAAQAAAAAAAAPA/"}'},
        "geometry of MySQL",  # which keeps longitude first
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("column", "values", "kind"), BOTH, ids=[f"{i}-{case[0][:24]}" for i, case in enumerate(BOTH)]
)
def test_a_type(each: Probe, column: str, values: dict[str, str], kind: str | None) -> None:
    if kind == "geometry of MySQL" and each.flavor == "mariadb":
        values = {"ST_GeomFromText('POINT(2 1)', 4326)": next(iter(values.values()))}
    texts, kinds = _values(each, column, *values)
    assert texts == list(values.values())
    if kind is not None and kind.startswith("geometry"):
        assert kinds == [{"c.wkb": "bytes"}]
    elif "GEOMETRY" not in column:
        assert kinds == [None if kind is None else {"c": kind}] * len(values)


JSON_VALUES = {
    "'null'": "null",
    "'true'": "true",
    "'[]'": "[]",
    "'{}'": "{}",
    "'\"\"'": '""',
    '\'{"": 1, "b": [1, -32768, 32768, 65536, -2147483649, 4294967296]}\'':
        '{"":1,"b":[1,-32768,32768,65536,-2147483649,4294967296]}',
    "'[18446744073709551615, -9223372036854775808]'": "[18446744073709551615,-9223372036854775808]",
    "'[1.0, 1e20, 0.1, 123456789012345680]'": "[1.0,1e20,0.1,123456789012345680]",
    "'\"\\\\u0001\\\\n\\\\\"ä😀\"'": '"\\u0001\\n\\"ä😀"',
    "NULL": "null",
}  # fmt: skip


def test_json(each: Probe) -> None:
    texts, kinds = _values(each, "JSON", *JSON_VALUES)
    assert texts == list(JSON_VALUES.values())
    assert kinds == [None] * len(texts)


def test_json_of_sql_values(mysql: Probe) -> None:
    values = {
        "JSON_ARRAY(CAST(1.50 AS DECIMAL(10,2)), CAST(-0.05 AS DECIMAL(5,2)), CAST(12345678901.5 AS DECIMAL(20,4)))":
            "[1.50,-0.05,12345678901.5000]",
        "CAST(CAST('2024-01-02' AS DATE) AS JSON)": '"2024-01-02"',
        "CAST(CAST('2024-01-02 03:04:05.67' AS DATETIME(2)) AS JSON)": '"2024-01-02 03:04:05.670000"',
        "JSON_ARRAY(CAST('-12:34:56.5' AS TIME(1)), CAST('838:59:59' AS TIME))":
            '["-12:34:56.500000","838:59:59.000000"]',
        "CAST(TIMESTAMP'2024-01-02 03:04:05' AS JSON)": '"2024-01-02 03:04:05.000000"',
        "JSON_ARRAY(x'00ff', CAST('' AS BINARY))": '["base64:type15:AP8=","base64:type15:"]',
        "JSON_OBJECT('b', b'101', 'y', CAST(2024 AS YEAR))": '{"b":"base64:type15:BQ==","y":2024}',
        "JSON_ARRAY(REPEAT(x'ff', 100))":
            '["base64:type15:' + "/" * 76 + "\\n" + "/" * 57 + 'w=="]',
        "JSON_ARRAY(-0.0e0, 1e-7, 1e15, 1e16, 1.5e300, 0.00001234, 5e-324)":
            "[-0.0,0.0000001,1e15,1e16,1.5e300,0.00001234,5e-324]",
        "JSON_OBJECT('bb', 1, 'a', 2, 'ccc', 3, 'B', 4)": '{"B":4,"a":2,"bb":1,"ccc":3}',
    }  # fmt: skip
    texts, _ = _values(mysql, "JSON", *values)
    assert texts == list(values.values())


def test_large_json(each: Probe) -> None:
    # Beyond 64 KiB MySQL's containers have wider offsets.
    documents = [
        {f"member{i:05}": [i, "x" * (i % 50), {"n": i / 8, "deep": [None, [True]]}] for i in range(3000)},
        ["y" * 70_000, 70_000, -70_000, {"z": "z" * 200}],
        {"long": "€" * 100_000, "s": 1},
    ]
    texts, _ = _values(
        each,
        "JSON",
        *[f"'{json.dumps(document, ensure_ascii=False)}'" for document in documents],
    )
    assert [json.loads(text) for text in texts] == documents


def test_vector(mysql: Probe) -> None:
    values = {"TO_VECTOR('[1,2.5,-0.1]')": "[1.0,2.5,-0.1]", "TO_VECTOR('[3e38]')": "[3e+38]", "NULL": "null"}
    texts, _ = _values(mysql, "VECTOR(5)", *values)
    assert texts == list(values.values())


def test_mariadb_types(mariadb: Probe) -> None:
    for column, values, kind in [
        (
            "UUID",
            {"'123e4567-e89b-12d3-a456-426655440000'": '"123e4567-e89b-12d3-a456-426655440000"',
             "'ffffffff-ffff-ffff-ffff-ffffffffffff'": '"ffffffff-ffff-ffff-ffff-ffffffffffff"',
             "'00000000-0000-0000-0000-000000000000'": '"00000000-0000-0000-0000-000000000000"',
             "'01890a5d-ac96-774b-bcce-b302099a8000'": '"01890a5d-ac96-774b-bcce-b302099a8000"'},
            "uuid",
        ),
        ("INET4", {"'1.2.3.0'": '"1.2.3.0"', "'0.0.0.0'": '"0.0.0.0"', "'255.255.255.255'": '"255.255.255.255"'}, None),
        (
            "INET6",
            {"'::'": '"::"', "'::1'": '"::1"', "'::ffff:1.2.3.4'": '"::ffff:1.2.3.4"', "'::1.2.3.4'": '"::1.2.3.4"',
             "'2001:db8::ff00:42:8329'": '"2001:db8::ff00:42:8329"', "'1:0:0:2:0:0:0:3'": '"1:0:0:2::3"'},
            None,
        ),
        ("VARCHAR(300) COMPRESSED", {"REPEAT('ä', 200)": f'"{"ä" * 200}"', "''": '""', "'a'": '"a"'}, None),
        ("TEXT CHARSET latin1 COMPRESSED", {"REPEAT('é', 200)": f'"{"é" * 200}"'}, None),
        ("TINYTEXT COMPRESSED", {"'x'": '"x"'}, None),
        ("LONGBLOB COMPRESSED", {"REPEAT(x'00', 30)": f'"{"A" * 40}"', "''": '""'}, "bytes"),
        ("VARBINARY(100) COMPRESSED", {"REPEAT(x'00', 30)": f'"{"A" * 40}"'}, "bytes"),
        ("JSON", {"'{ \"a\" : [1, 2.50] }'": '{"a":[1,2.50]}'}, None),
    ]:  # fmt: skip
        texts, kinds = _values(mariadb, column, *values)
        assert texts == list(values.values())
        assert kinds == [None if kind is None else {"c": kind}] * len(values)
        mariadb.execute("DROP TABLE t")


def test_mariadb_zlib_wrapped_compression(mariadb: Probe) -> None:
    session = f"{LAX}, column_compression_zlib_wrap = ON"
    texts, _ = _values(mariadb, "TEXT COMPRESSED", "REPEAT('x', 200)", session=session)
    assert texts == [f'"{"x" * 200}"']


def test_mariadb_document_that_is_none(mariadb: Probe) -> None:
    texts, kinds = _values(
        mariadb, "JSON", "'{oops'", "'1'", "'1e999'", session=f"{LAX}, check_constraint_checks = OFF"
    )
    assert texts == ['"{oops"', "1", '"1e999"']
    assert kinds == [{"c": "json"}, None, {"c": "json"}]


def test_mariadb_times_of_the_old_format(mariadb: Probe) -> None:
    values = {
        "DATETIME": ["'2024-01-02 03:04:05'", "0"],
        "DATETIME(3)": ["'2024-01-02 03:04:05.670'", "0"],
        "DATETIME(6)": ["'9999-12-31 23:59:59.999999'", "'2024-00-00'"],
        "TIMESTAMP NULL": ["'2024-01-02 03:04:05'", "0"],
        "TIMESTAMP(1) NULL": ["'2024-01-02 03:04:05.5'", "0"],
        "TIMESTAMP(6) NULL": ["'2024-01-02 03:04:05.000001'", "0"],
        "TIME": ["'-12:34:56'", "'838:59:59'"],
        "TIME(2)": ["'-00:00:00.25'", "'00:00:00'"],
        "TIME(6)": ["'838:59:58.999999'", "'-838:59:58.999999'"],
    }
    columns = ", ".join(f"c{i} {column}" for i, column in enumerate(values))
    rows = ", ".join(f"({n}, {', '.join(column[n] for column in values.values())})" for n in range(2))
    try:
        mariadb.execute(
            "SET GLOBAL mysql56_temporal_format = OFF",
            f"CREATE TABLE t (id INT PRIMARY KEY, {columns})",
        )
    finally:
        mariadb.execute("SET GLOBAL mysql56_temporal_format = ON")
    decoded = mariadb.decoded("SELECT 1", f"INSERT INTO t VALUES {rows}")
    assert decoded.stream == decoded.snapshot
    assert [list(json.loads(doc).values())[1:] for _, doc, _ in decoded.stream] == [
        [
            "2024-01-02T03:04:05", "2024-01-02T03:04:05.67", "9999-12-31T23:59:59.999999", "2024-01-02T03:04:05Z",
            "2024-01-02T03:04:05.5Z", "2024-01-02T03:04:05.000001Z", "-12:34:56", "-00:00:00.25", "838:59:58.999999",
        ],
        [
            "0000-00-00T00:00:00", "0000-00-00T00:00:00", "2024-00-00T00:00:00", "0000-00-00T00:00:00Z",
            "0000-00-00T00:00:00Z", "0000-00-00T00:00:00Z", "838:59:59", "00:00:00", "-838:59:58.999999",
        ],
    ]  # fmt: skip


def test_every_character_of_every_charset(each: Probe) -> None:
    everything = "".join(
        chr(point)
        for point in [
            *range(0x20, 0xD800),
            *range(0xE000, 0xFFFE),
            *range(0x10000, 0x10400),
            *range(0x1F600, 0x20200),
        ]
        if point not in (0x5C, 0x27)
    )
    sources = [everything[i : i + 1000].encode().hex() for i in range(0, len(everything), 1000)]
    with each.database.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT character_set_name FROM information_schema.collations")
        charsets = {row[0] for row in cursor.fetchall() if row[0] is not None} - {"binary"}
        assert len(charsets) > 38
        cursor.execute("CREATE TEMPORARY TABLE everything (id INT PRIMARY KEY, t TEXT CHARSET utf8mb4)")
        cursor.execute(
            "INSERT INTO everything VALUES " + ",".join(f"({i}, x'{s}')" for i, s in enumerate(sources))
        )
        for charset in sorted(charsets):
            cursor.execute(
                f"SELECT HEX(CONVERT(t USING {charset})), CONVERT(CONVERT(t USING {charset}) USING utf8mb4) "
                "FROM everything"
            )
            decode = decoder(charset)
            for data, text in cursor.fetchall():
                # big5: some that the server encodes, it does not decode.
                ours = decode(bytes.fromhex(data))
                assert [c for c in zip(ours, text, strict=True) if c[0] != c[1] != "\ufffd"] == [], charset


def test_text_of_every_charset(each: Probe) -> None:
    collations = each.execute(
        "SELECT id, character_set_name FROM information_schema.collations WHERE id IS NOT NULL"
        if each.flavor == "mysql"
        else "SELECT id, character_set_name FROM information_schema.collation_character_set_applicability"
    )
    for number, charset in collations:
        assert charset_of(number) == charset
    charsets = sorted({charset for _, charset in collations} - {"binary"})
    columns = ", ".join(
        f"{charset} VARCHAR(4) CHARACTER SET {charset}, {charset}_text TEXT CHARACTER SET {charset}, "
        f"{charset}_enum ENUM('Ab1') CHARACTER SET {charset}"
        for charset in charsets
    )
    values = ", ".join(["'Ab1'"] * 3 * len(charsets))
    decoded = each.decoded(
        f"CREATE TABLE t (id INT PRIMARY KEY, {columns})",
        f"INSERT INTO t VALUES (0, {values})",
    )
    assert decoded.stream == decoded.snapshot
    assert set(json.loads(decoded.stream[0][1]).values()) == {0, "Ab1"}


def test_generated_and_invisible_columns(each: Probe) -> None:
    decoded = each.decoded(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT, s INT AS (a + 1) STORED, v INT AS (a + 2) VIRTUAL, "
        'hidden INT INVISIBLE DEFAULT 7, `na"me\\ {ü}` INT)',
        'INSERT INTO t (id, a, `na"me\\ {ü}`) VALUES (1, 10, 5)',
    )
    assert decoded.stream == decoded.snapshot
    assert decoded.stream[0][1] == '{"id":1,"a":10,"s":11,"v":12,"hidden":7,"na\\"me\\\\ {ü}":5}'
    events = each.events(*["UPDATE t SET a = 20", "DELETE FROM t"])
    ((*before, key, after, _),) = each.rows(events[0])
    assert before[0] == key
    assert json.loads(after.encode("latin-1")) == {
        "id": 1, "a": 20, "s": 21, "v": 22, "hidden": 7, 'na"me\\ {ü}': 5
    }  # fmt: skip
    assert each.rows(events[1])[0][1] == after


def test_functional_indexes_are_no_columns(mysql: Probe) -> None:
    decoded = mysql.decoded(
        "CREATE TABLE t (id INT PRIMARY KEY, j JSON, s TEXT, INDEX ((CAST(j->'$.a' AS UNSIGNED ARRAY))), "
        "INDEX ((LOWER(LEFT(s, 9)))))",
        "INSERT INTO t VALUES (1, '{\"a\": [1, 2]}', 'X')",
    )
    assert decoded.stream == decoded.snapshot
    assert decoded.stream[0][1] == '{"id":1,"j":{"a":[1,2]},"s":"X"}'


def test_keys(each: Probe) -> None:
    decoded = each.decoded(
        "CREATE TABLE t (v INT, b VARCHAR(20), a BIGINT, c CHAR(4), PRIMARY KEY (c, b(5), a))",
        "INSERT INTO t VALUES (1, 'ä\"longer than five', 9007199254740993, 'k')",
    )
    assert decoded.stream == decoded.snapshot
    assert decoded.stream[0][0] == '{"c":"k","b":"ä\\"longer than five","a":"9007199254740993"}'


def test_many_columns_and_nulls_in_all_patterns(each: Probe) -> None:
    choose = random.Random(1)
    kinds = [
        "INT",
        "VARCHAR(9)",
        "BIGINT NOT NULL",
        "DATETIME(3)",
        "TEXT",
        "BOOLEAN",
        "MEDIUMINT",
        "CHAR(3) NOT NULL",
    ]
    columns = [f"c{i} {kinds[i % len(kinds)]}" for i in range(70)]
    rows = []
    for n in range(300):
        values = []
        for i, column in enumerate(columns):
            value = {
                0: "-7",
                1: "'va'",
                2: "12",
                3: "'2024-01-02 03:04:05.6'",
                4: "'tä'",
                5: "1",
                6: "-3",
                7: "'q'",
            }[i % 8]
            null = "NOT NULL" not in column and choose.random() < (n % 3) / 4
            values.append("NULL" if null else value)
        rows.append(f"({n}, {', '.join(values)})")
    decoded = each.decoded(
        f"CREATE TABLE t (id INT PRIMARY KEY, {', '.join(columns)}) CHARSET utf8mb4",
        f"INSERT INTO t VALUES {', '.join(rows)}",
    )
    assert decoded.stream == decoded.snapshot
    assert len(decoded.stream) == 300


def test_random_numbers(each: Probe) -> None:
    choose = random.Random(2)
    rows = []
    for n in range(1500):
        double = struct.unpack("<d", choose.randbytes(8))[0]
        single = struct.unpack("<f", choose.randbytes(4))[0]
        if not math.isfinite(double) or n % 2:
            double = choose.randint(-(10**6), 10**6) * 10.0 ** choose.randint(-30, 30)
        if not math.isfinite(single) or n % 2:
            single = round(choose.random() * 1000, n % 6)
        digits = "".join(choose.choices("0123456789", k=choose.randint(1, 30)))
        rows.append(f"({n}, {double!r}, {single!r}, -{digits}.{digits}, '[{double!r}, {single!r}]')")
    decoded = each.decoded(
        "CREATE TABLE t (id INT PRIMARY KEY, d DOUBLE, f FLOAT, n DECIMAL(60,30), j JSON)",
        f"INSERT INTO t VALUES {', '.join(rows)}",
    )
    assert decoded.stream == decoded.snapshot
    for (_, doc, _), row in zip(decoded.stream, rows, strict=True):
        assert json.loads(doc)["d"] == float(row.split(", ")[1])


@pytest.mark.parametrize("image", ["MINIMAL", "NOBLOB"])
def test_incomplete_images_are_told(each: Probe, image: str) -> None:
    (insert,) = each.events(
        "CREATE TABLE t (id INT PRIMARY KEY, a INT, b TEXT)", "INSERT INTO t VALUES (1, 1, 'x')"
    )
    assert each.rows(insert) is not None
    update, delete = each.events(
        "UPDATE t SET a = 2", "DELETE FROM t", session=f"SET binlog_row_image = {image}"
    )
    assert each.rows(update) is None
    assert each.rows(delete) is None


def test_rows_over_16_mib(each: Probe) -> None:
    decoded = each.decoded(
        "CREATE TABLE t (id INT PRIMARY KEY, t LONGTEXT CHARSET utf8mb4, b LONGBLOB)",
        "INSERT INTO t VALUES (1, REPEAT('ä', 9000000), REPEAT(x'ff', 3000000))",
    )
    assert decoded.stream == decoded.snapshot
    assert len(decoded.stream[0][1]) == len('{"id":1,"t":"","b":""}') + 9_000_000 + 4_000_000


PARTIAL = "SET sql_mode = '', binlog_row_value_options = 'PARTIAL_JSON'"


def test_partial_json(mysql: Probe) -> None:
    document = json.dumps(
        {
            "a": 1,
            "list": [1, 2, {"deep": "x" * 100}],
            "b": {"c": {"d": "y" * 200}},
            'odd "key.[é': 1,
            "pad": "p" * 999,
        }
    )
    updates = [
        "JSON_SET(j, '$.a', 2)",
        "JSON_SET(j, '$.a', 3, '$.list[2].deep', 'short', '$.b.c.d', JSON_OBJECT('new', 1))",
        "JSON_REPLACE(j, '$.\"odd \\\\\"key.[é\"', 'é')",
        "JSON_SET(j, '$.ab', 1.5, '$.zz', CAST('2024-01-02' AS DATE))",
        "JSON_ARRAY_INSERT(j, '$.list[1]', 'between')",
        "JSON_SET(j, '$.list[9]', 'last')",
        "JSON_REMOVE(j, '$.list[0]', '$.b.c')",
        "JSON_SET(j, '$.b.x', JSON_ARRAY(1, 2), '$.pad', '')",
        "JSON_REMOVE(j, '$.ab')",
        "'{\"whole\": true}'",
    ]
    mysql.execute(
        "CREATE TABLE t (id INT PRIMARY KEY, j JSON, other JSON, n INT)",
        f"""INSERT INTO t VALUES (1, '{document.replace(chr(92), chr(92) * 2)}', '[1, 2]', 0), (2, NULL, NULL, NULL)""",
    )
    partial = 0
    for update in updates:
        for more in ("", ", n = n + 1", ", other = JSON_SET(other, '$[0]', 'o')"):
            before = mysql.select()
            events = mysql.events(*[f"UPDATE t SET j = {update}{more}"], session=PARTIAL)
            rows = [row for event in events for row in mysql.rows(event)]
            partial += sum(event.op == "partial" for event in events)
            after = mysql.select()
            changed = [row for row in zip(before, after, strict=True) if row[0] != row[1]]
            assert [(_text(row[:3]), _text(row[3:])) for row in rows] == changed
    assert partial > 10


def test_timestamps_do_not_depend_on_the_writer(each: Probe) -> None:
    texts, _ = _values(
        each,
        "TIMESTAMP(3)",
        "'2024-07-01 12:00:00'",
        session="SET sql_mode = '', time_zone = '+05:30'",
    )
    assert texts == ['"2024-07-01T06:30:00Z"']
