"""What is pushed down selects, on both servers, all that the evaluator keeps, and never fails."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any, TypeAlias

import pymysql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcaster.evaluate import compile_predicate, decode_row
from broadcaster.order import Order, SortField
from broadcaster.predicate import Node
from broadcaster.query import parse_where
from broadcaster.snapshot.mysql_order import order_by
from broadcaster.snapshot.mysql_sql import push_down
from broadcaster.snapshot.pushed_down import PushedDown
from cdc.mysql.catalog import load_table
from cdc.mysql.table import Column, Table
from cdc.mysql.values import compile_row, select_list
from servers.mysql import MysqlServers, temporary_database

Rows: TypeAlias = dict[int, tuple[dict[str, Any], Mapping[str, str] | None]]

ROWS = 120
READ = ("SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = ''",)

MOMENTS = [
    "0000-00-00 00:00:00", "2024-00-00 00:00:00", "2024-02-00 10:00:00", "0001-01-01 00:00:00", "1970-01-01 00:00:01",
    "2024-01-05 00:00:00", "2024-01-05 10:20:30.5", "2024-01-05 10:20:30.500001", "2024-02-29 00:00:00",
    "2038-01-19 03:14:07", "9999-12-31 23:59:59.499999",
]  # fmt: skip
STAMPS = [
    "0000-00-00 00:00:00", "1970-01-01 00:00:01", "2024-01-05 00:00:00", "2024-01-05 10:20:30.5",
    "2024-01-05 10:20:30.500001", "2038-01-19 03:14:07",
]  # fmt: skip
LATIN = [
    "", "a", "A", "ab", "ab  ", "b", "á", "aa", "å", "ch", "cz", "ß", "ss", "æ", "ae", "é", "É", "z", "~", "5", "NaN",
    "€", "'; --", '{x,"\\}', "%s", "a\0", "a\0b", "\0", "a\t", "\\", "a_c", "abc",
]  # fmt: skip
TEXTS = [*LATIN, "\ue000", "\uffff", "e\u0301", "\u00ad", "日本", "ｱ", "İ", "ﬁ"]
WIDE_TEXTS = [*TEXTS, "\U0001d4b3", "\U0001f600", "\U0010ffff"]
FLOATS = [
    "0", "-0e0", "1", "1.1", "0.1", "-2.5", "9007199254740992", "1e22", "1e23", "3.4028234e38", "-3.4028234e38",
    "1e-38", "1e-45", "1.17549435e-38", "16777217", "1.0000001", "0.30000001192092896", "100000", "123456.79",
]  # fmt: skip
INTEGERS = ["0", "1", "-1", "2", "5", "32767", "-32768"]
NATURALS = ["0", "1", "2", "5", "255"]
WIDE = ["9007199254740991", "9007199254740993", "9223372036854775807"]
UUIDS = [
    "00000000-0000-0000-0000-000000000000", "7e57d004-2b97-0e7a-b45f-5387367791cd",
    "ffffffff-0000-4000-8000-000000000001",
]  # fmt: skip
BYTES = ["", "00", "0000", "61", "6161", "ff", "ff00", "00ff"]
JSONS = [
    "null", "1", "1.0", "0.1", "5", "1e23", "9007199254740993", '"a"', '"5"', "true", "false", '{"x": 1}',
    '{"x": null}', "[1, null]", "[[5]]", '{"x": [{"y": 5}, {"y": "a"}]}', '{"x": {"y": [1, [5]]}}', '{"x": {"0": "a"}}',
    '[{"x": 5}]', '{"x": "2024-01-05"}', '{"x": "a\\"\\\\b"}', '{"x": "é"}', '{"x": {"x": true}}', "[]", "{}", '""',
    '{"x": ["a", "b"]}', '{"x y": 1}',
]  # fmt: skip

# name: (type as declared, values as SQL)
Columns: TypeAlias = dict[str, tuple[str, list[str]]]


def texts(values: list[str]) -> list[str]:
    return [f"_utf8mb4 X'{value.encode().hex()}'" for value in values]


def strings(values: list[str]) -> list[str]:
    return [f"'{value}'" for value in values]


COLUMNS: Columns = {
    "i1": ("tinyint", [*INTEGERS[:5], "127", "-128"]),
    "u1": ("tinyint unsigned", NATURALS),
    "i2": ("smallint", INTEGERS),
    "i3": ("mediumint", INTEGERS),
    "i4": ("int", [*INTEGERS, "2147483647"]),
    "z4": ("int(8) unsigned zerofill", NATURALS),
    "i8": ("bigint", [*INTEGERS, *WIDE, "-9223372036854775808"]),
    "u8": ("bigint unsigned", [*NATURALS, *WIDE, "18446744073709551615"]),
    "b1": ("boolean", ["0", "1", "5", "-1"]),
    "bit1": ("bit(1)", ["0", "1"]),
    "bit9": ("bit(9)", ["0", "1", "5", "511"]),
    "bit64": ("bit(64)", ["0", "1", "9007199254740993", "18446744073709551615"]),
    "y": ("year", ["0", "1901", "2005", "2024", "2155"]),
    "num": ("decimal(65,30)", ["0", "1", "1.10", "0.1", "-2.5", "9007199254740993", "1e-30", "-1e-30", "1e34"]),
    "money2": ("decimal(12,2)", ["0", "1.1", "10.50", "9999999999.99", "-0.01"]),
    "whole": ("decimal(20)", ["0", "5", "-3", "9007199254740993"]),
    "f4": ("float", FLOATS),
    "f8": ("double", [*FLOATS, "9007199254740993", "9007199254740996", "5e-324", "1.7976931348623157e308"]),
    "t": ("text character set utf8mb4", texts(WIDE_TEXTS)),
    "vc": ("varchar(40) character set utf8mb4", texts(WIDE_TEXTS)),
    "vci": ("varchar(40) character set utf8mb4 collate utf8mb4_unicode_ci", texts(WIDE_TEXTS)),
    "vcb": ("varchar(40) character set utf8mb4 collate utf8mb4_bin", texts(WIDE_TEXTS)),
    "v3": ("varchar(40) character set utf8mb3", texts(TEXTS)),
    "l1": ("varchar(40) character set latin1", texts(LATIN)),
    "l1d": ("varchar(40) character set latin1 collate latin1_german2_ci", texts(LATIN)),
    "u16": ("varchar(40) character set utf16", texts(WIDE_TEXTS)),
    "u32": ("varchar(40) character set utf32", texts(WIDE_TEXTS)),
    "u2": ("varchar(40) character set ucs2", texts(TEXTS)),
    "jis": ("varchar(40) character set sjis", texts(["", "a", "A", "\\", "日本", "ｱ", "ア", "5"])),
    "gbk": (
        "varchar(40) character set gbk",
        [*texts(["", "a", "A", "\\", "日本", "5", "?", "~"]), "X'A2A0'", "X'61A2A062'"],  # the last are nothing
    ),
    "bc": ("char(6) character set utf8mb4", texts(["", "a", "A", "ab", "b", "5", "á", "a\t", "a\0"])),
    "e": ("enum('sad','ok','HAPPY','5','') character set latin1", ["1", "2", "3", "4", "5", "0"]),
    "s": ("set('a','b','é') character set latin1", ["0", "1", "2", "3", "4", "7"]),
    "d": ("date", strings([moment[:10] for moment in MOMENTS])),
    "dn": ("date not null", strings([moment[:10] for moment in MOMENTS])),
    "dt0": ("datetime", strings(MOMENTS)),
    "dt3": ("datetime(3)", strings(MOMENTS)),
    "dt6": ("datetime(6)", strings(MOMENTS)),
    "ts0": ("timestamp null", strings(STAMPS)),
    "ts6": ("timestamp(6) null", strings(STAMPS)),
    "tn": ("time", strings(["00:00:00", "10:20:30.5", "24:00:00", "-00:00:01", "838:59:59", "-838:59:59"])),
    "t6": ("time(6)", strings(["00:00:00", "10:20:30.500001", "-00:00:01.25", "838:59:59", "-838:59:59"])),
    "bin": ("binary(2)", [f"X'{value}'" for value in BYTES]),
    "vb": ("varbinary(10)", [f"X'{value}'" for value in BYTES]),
    "bl": ("blob", [f"X'{value}'" for value in BYTES]),
    "g": ("point", ["POINT(1, 2)"]),
    "js": ("json", strings([value.replace("\\", "\\\\") for value in JSONS])),
    "odd %s `x`": ("varchar(20) character set utf8mb4", texts(["", "a", "%s", "5"])),
}  # fmt: skip
ON_MYSQL: Columns = {
    "vca": ("varchar(40) character set utf8mb4 collate utf8mb4_0900_ai_ci", texts(WIDE_TEXTS)),
    "vcs": ("varchar(40) character set utf8mb4 collate utf8mb4_0900_as_cs", texts(WIDE_TEXTS)),
    "vct": ("varchar(40) character set utf8mb4 collate utf8mb4_es_trad_0900_ai_ci", texts(WIDE_TEXTS)),
    "jo": (
        "json",
        ["JSON_OBJECT('x', CAST('2024-01-05' AS DATE))", "JSON_OBJECT('x', CAST(0.1 AS DECIMAL(3,1)))",
         "JSON_OBJECT('x', CAST(5 AS DECIMAL(3,1)))", "JSON_OBJECT('x', X'6161')",
         "JSON_OBJECT('x', CAST(5 AS DOUBLE))",
         "JSON_ARRAY(CAST('10:00:00' AS TIME), 18446744073709551615)", "CAST(true AS JSON)"],
    ),
}  # fmt: skip
ON_MARIADB: Columns = {
    "vnp": ("varchar(40) character set utf8mb4 collate utf8mb4_general_nopad_ci", texts(WIDE_TEXTS)),
    "vcz": ("varchar(40) character set utf8mb4 collate utf8mb4_czech_ci", texts(WIDE_TEXTS)),
    "u": ("uuid", strings(UUIDS)),
    "ip4": ("inet4", strings(["127.0.0.1", "255.255.255.255"])),
    "ip6": ("inet6", strings(["::1", "::ffff:127.0.0.1"])),
    "vcc": ("varchar(40) compressed character set utf8mb4", texts(WIDE_TEXTS)),
    "jraw": ("json", strings(['{"x":"\\\\u0061"}', '{ "x" : 5.0, "x": 1 }', "[ 5 ]", "null"])),
}  # fmt: skip

NUMBERS = [
    0, 1, -1, 5, 1.0, 1.1, 0.1, -2.5, 2.5, 0.5, 255, 256, 511, 32767, 32768, 1901, 2005, 2155, 2156, 2**31, 2**53,
    2**53 + 1, 2**53 + 3, 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 1e22, 1e23, 10**23 + 1, 10**34,
    10**35, 1.0000000000000002, 1.0000001, 3.4028234e38, 3.4028235e38, 3.4028236e38, 1e39, -1e39, 1e-45, 1e-46, 5e-324,
    1e-40, 1e308, 10**309, -(10**309), 16777217, 16777216, 0.30000001, 123456.79, 123456.789, -1e-30, 1e-31, 10**400,
]  # fmt: skip
STRINGS = [
    *WIDE_TEXTS, "\ud800", "a\udfff", "ab   ", "sad", "ok", "happy", "a,b", "Infinity", "-Infinity", "infinity",
    "9007199254740993", "9223372036854775808", "18446744073709551615", "-99999999999999999999", "1.10", "1e200000",
    "1e-20000", "1E+999999999", "1e-999999999", "0.1", "-0.001", "0.000000000000000000000000000001", "x" * 300, *UUIDS,
    UUIDS[1].upper(), "7e57d004", "AA==", "AAA=", "YQ==", "YWE=", "/w==", "/wA=", "10:20:30.5", "10:20:30.5000009",
    "-00:00:01.25", "24:00", "838:59:59", "838:59:59.5", "839:00:00", "-999:00:00", "2024-00-00", "0000-00-00", "::1",
    "127.0.0.1", "?", "\ufffd", "a\ufffdb", "base64:type15:YWE=", "2024", "0000-00-00T00:00:00Z",
]  # fmt: skip
DATES = [
    "-infinity", "infinity", "2024-01-05", "2024-01-05T10:20:30.5", "2024-01-05T10:20:30.5Z", "2024-01-05T00:00:00Z",
    "2024-01-05T12:20:30.500001+02:00", "2024-01-05T24:00", "2024-02-30", "4714-11-24 BC", "0044-03-15T10:00:00 BC",
    "9999999-01-01", "9999999-01-01 BC", "0001-01-01", "0001-12-31 BC", "0001-01-01T00:00:00+00:30",
    "10000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999", "1970-01-01", "1970-01-01T00:00:00.5Z",
    "2038-01-19T03:14:07Z", "2040-01-01T00:00:00Z", "1960-01-01T00:00:00Z", "2024-01-05T10:20:31",
    "2024-01-05T10:20:30.500000999",
]  # fmt: skip
OPERANDS = [True, False, *NUMBERS, *STRINGS, *DATES]
LITERALS = st.sampled_from([None, [], [1], ["a"], [5], {}, {"x": 1}, {"y": 5}, *OPERANDS])
PATTERNS = [
    "%",
    "_",
    "a%",
    "%b",
    "a_c",
    "\\%s",
    "%\\\\%",
    "é",
    "_b%",
    "ab  ",
    "a",
    "",
    "%\U0001f600%",
    "\ud800%",
    "%\0%",
]
RANGES = ("$gt", "$gte", "$lt", "$lte")


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    paths = ["js.x", "js.x.y", "js.0", "js.x.0", "js.x y", "jo.x", "jraw.x", "i4.x", "missing"]
    name = draw(st.sampled_from([*COLUMNS, *ON_MYSQL, *ON_MARIADB, *paths]))
    op = draw(st.sampled_from(["$eq", "$ne", *RANGES, "$in", "$nin", "$exists", "$like", "$contains"]))
    if op == "$exists":
        return {name: {op: draw(st.booleans())}}
    if op in ("$in", "$nin"):
        return {name: {op: draw(st.lists(LITERALS, max_size=5))}}
    if op == "$like":
        operand = draw(st.sampled_from(PATTERNS))
    else:
        operand = draw(LITERALS if op in ("$eq", "$ne") else st.sampled_from(OPERANDS))
    return {name: draw(st.sampled_from([{op: operand}, {"$not": {op: operand}}]))}


@st.composite
def wheres(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    logical = draw(st.sampled_from([None, "$and", "$or", "$nor"])) if depth else None
    if logical is None:
        return draw(conditions())
    return {logical: draw(st.lists(wheres(depth - 1), min_size=1, max_size=3))}


class Filled:
    """A filled table: its rows as the evaluator sees them, and a connection to ask on."""

    def __init__(self, rows: Rows, table: Table, connection: pymysql.Connection[Any]) -> None:
        self.rows = rows
        self.columns: dict[str, Column] = {column.name: column for column in table.columns}
        self.connection = connection

    def check(self, where: dict[str, Any]) -> PushedDown:
        node = parse_where(where)
        pushed = push_down(node, self.columns)
        found = run(self.connection, f"SELECT id FROM pushed WHERE {pushed.sql}")
        self.compare(where, node, pushed, {id_ for (id_,) in found}, self.rows)
        return pushed

    def check_all(self, name: str, conditions: list[dict[str, Any]]) -> None:
        """All conditions on one field in one statement, which is quicker by far, on each value of its column once."""
        column = name.partition(".")[0]
        ids = {json.dumps(doc[column]): id_ for id_, (doc, _) in self.rows.items()}.values()
        nodes = [parse_where({name: condition}) for condition in conditions]
        pushed = [push_down(node, self.columns) for node in nodes]
        statement = f"SELECT id, {', '.join(each.sql for each in pushed)} FROM pushed"
        found = run(self.connection, f"{statement} WHERE id IN ({', '.join(map(str, ids))})")
        for at, (condition, node, each) in enumerate(zip(conditions, nodes, pushed, strict=True), start=1):
            self.compare({name: condition}, node, each, {row[0] for row in found if row[at]}, ids)

    def compare(
        self, where: dict[str, Any], node: Node, pushed: PushedDown, selected: set[int], ids: Collection[int]
    ) -> None:
        test = compile_predicate(node)
        kept = {id_ for id_ in ids if test(*self.rows[id_])}
        missed = [self.rows[id_][0] for id_ in kept - selected]
        assert not missed, (where, pushed)
        if pushed.exact:
            surplus = [self.rows[id_][0] for id_ in selected - kept]
            assert not surplus, (where, pushed)


@pytest.fixture(scope="module", params=["mysql", "mariadb"])
def table(request: pytest.FixtureRequest, mysql_servers: MysqlServers) -> Iterator[Filled]:
    with temporary_database(mysql_servers.get(request.param)) as database:
        with database.connect() as connection:
            run(connection, *READ)
            columns = COLUMNS | (ON_MYSQL if request.param == "mysql" else ON_MARIADB)
            fill(connection, columns)
            shape = load_table(connection, database.name, "pushed")
            assert shape is not None
            yield Filled(read(connection, shape), shape, connection)


def run(connection: pymysql.Connection[Any], *statements: str) -> list[Any]:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


def quoted(name: str) -> str:
    return "`{}`".format(name.replace("`", "``"))


def fill(connection: pymysql.Connection[Any], columns: Columns) -> None:
    """The pools are walked through, so that every value occurs; nulls and the pairing are random."""
    dice = random.Random(1)
    declared = ", ".join(f"{quoted(name)} {declared}" for name, (declared, _) in columns.items())
    run(connection, f"CREATE TABLE pushed (id int PRIMARY KEY, {declared})")
    pools = [(type_, dice.sample(values, len(values))) for type_, values in columns.values()]
    for row in range(ROWS):
        values = [
            "NULL" if dice.random() < 0.15 and "not null" not in type_ else pool[row % len(pool)]
            for type_, pool in pools
        ]
        run(connection, f"INSERT INTO pushed VALUES ({row}, {', '.join(values)})")


def read(connection: pymysql.Connection[Any], table: Table) -> Rows:
    encode = compile_row(table)
    rows = {}
    decoders, connection.decoders, connection.use_unicode = connection.decoders, {}, False
    for raw in run(connection, f"SELECT {select_list(table)} FROM pushed"):
        _, doc, types = encode(list(raw))
        row = decode_row(doc)
        rows[row["id"]] = (row, types)
    connection.decoders, connection.use_unicode = decoders, True
    assert len(rows) == ROWS
    return rows


@settings(max_examples=200)
@given(where=wheres())
def test_pushed_down_contains_the_predicate(table: Filled, where: dict[str, Any]) -> None:
    table.check(where)


@pytest.mark.parametrize(
    "name", sorted({*COLUMNS, *ON_MYSQL, *ON_MARIADB, "js.x", "js.x.y", "jo.x", "jraw.x"})
)
def test_every_literal_against_every_type(table: Filled, name: str) -> None:
    if name.partition(".")[0] not in table.columns:
        pytest.skip("a type of the other server")
    literals = [None, [], [1], [5], {"x": 1}, *OPERANDS]
    if (pool := (COLUMNS | ON_MYSQL | ON_MARIADB).get(name)) is not None and pool[1][0].startswith("'"):
        literals += [value.strip("'") for value in pool[1]]
    conditions: list[dict[str, Any]] = [{"$eq": literal} for literal in literals]
    conditions += [{op: operand} for operand in OPERANDS for op in RANGES]
    conditions += [{"$like": pattern} for pattern in PATTERNS]
    conditions += [{"$in": literals}, {"$exists": True}]
    conditions += [{"$not": condition} for condition in conditions[:: len(conditions) // 50]]
    table.check_all(name, conditions)
    for condition in (
        {"$eq": None},
        {"$ne": None},
    ):  # NULL of a NOT NULL date has a meaning of its own behind WHERE
        table.check({name: condition})


def test_equalities_and_ranges_use_ordinary_indexes(table: Filled) -> None:
    wheres: list[dict[str, Any]] = [
        {"i1": 5}, {"i4": {"$gt": 1}}, {"i8": {"$in": [1, 2]}}, {"u8": {"$lt": 5}}, {"b1": True}, {"bit1": True},
        {"num": {"$lte": 1.5}}, {"money2": "1.10"}, {"f4": 1.5}, {"f8": {"$gte": 1.5}}, {"vc": "a"}, {"vci": "a"},
        {"vcb": {"$in": ["a", "b"]}}, {"v3": "é"}, {"l1": "é"}, {"u16": "é"}, {"bc": "a"}, {"vb": "YQ=="},
        {"d": {"$gte": "2024-01-05"}}, {"dt0": "2024-01-05"}, {"dt6": {"$lt": "2024-01-05"}}, {"i2": None},
        {"ts6": {"$lt": "2024-01-05"}}, {"t6": "10:20:30.5"}, {"dn": {"$in": ["2024-01-05", "2024-02-29"]}},
    ]  # fmt: skip
    if "u" in table.columns:
        wheres.append({"u": UUIDS[1]})
    names = {name for where in wheres for name in where}
    run(table.connection, f"ALTER TABLE pushed {', '.join(f'ADD INDEX of_{n} ({n})' for n in sorted(names))}")
    explain = "EXPLAIN" if "u" in table.columns else "EXPLAIN FORMAT=TRADITIONAL"
    for where in wheres:
        (name,) = where
        pushed = table.check(where)
        statement = f"SELECT id FROM pushed FORCE INDEX (of_{name}) WHERE {pushed.sql}"
        [plan] = run(table.connection, f"{explain} {statement}")
        assert {"ref", "range", "const"}.intersection(plan), (where, pushed, plan)


UNORDERED = {
    "t", "jis", "gbk", "e", "s", "bl", "g", "js", "jo", "u", "ip4", "ip6", "vcc", "jraw",
}  # fmt: skip


def in_order(table: Filled, order: Order) -> None:
    """The server gives the rows in order, as far as it is said to."""
    terms, pushed = order_by(order, ("id",), table.columns)
    if pushed <= len(order.sort):
        assert order.sort[pushed].path in UNORDERED
    if not terms:
        return
    ids = [id_ for (id_,) in run(table.connection, f"SELECT id FROM pushed ORDER BY {terms}")]
    ranks = {id_: list(order.parts(b'{"id":%d}' % id_, *table.rows[id_])) for id_ in ids}
    for lower, higher in pairwise(ids):
        assert ranks[lower][:pushed] <= ranks[higher][:pushed], (
            order,
            [[table.rows[id_][0].get(field.path) for field in order.sort] for id_ in (lower, higher)],
        )
    if pushed > len(order.sort):
        assert ids == sorted(ids, key=lambda id_: ranks[id_])


@pytest.mark.parametrize("name", sorted({*COLUMNS, *ON_MYSQL, *ON_MARIADB}))
def test_the_order_of_every_type(table: Filled, name: str) -> None:
    if name not in table.columns:
        pytest.skip("a type of the other server")
    for descending in (False, True):
        in_order(table, Order((SortField(name, descending),), 1))


def test_the_order_of_several_fields(table: Filled) -> None:
    dice = random.Random(2)
    for _ in range(100):
        names = dice.sample([*table.columns], dice.randint(0, 4))
        in_order(table, Order(tuple(SortField(name, dice.random() < 0.5) for name in names), 1))
