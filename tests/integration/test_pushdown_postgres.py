"""What is pushed down selects, on real servers, all that the evaluator keeps, and never fails."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broadcaster.evaluate import compile_predicate, decode_row
from broadcaster.order import Order, SortField
from broadcaster.predicate import Node
from broadcaster.query import parse_where
from broadcaster.snapshot.postgres_conditions import ColumnInfo
from broadcaster.snapshot.postgres_order import bands
from broadcaster.snapshot.postgres_sql import push_down
from broadcaster.snapshot.pushed_down import PushedDown
from cdc.postgres.values import PgType, compile_row
from servers.postgres import EmbeddedPostgres, temporary_database

Rows: TypeAlias = dict[int, tuple[dict[str, Any], Mapping[str, str] | None]]

ROWS = 120
READ = (
    "-c DateStyle=ISO -c IntervalStyle=iso_8601 -c TimeZone=UTC -c bytea_output=hex -c extra_float_digits=3"
)
ASK = "-c DateStyle=SQL,DMY -c TimeZone=America/New_York -c extra_float_digits=0"

MOMENTS = [
    "-infinity", "4714-11-24 00:00:00 BC", "0044-03-15 10:00:00 BC", "0001-12-31 BC", "0001-01-01",
    "1970-01-01", "2024-01-05", "2024-01-05 10:20:30.5", "2024-01-05 10:20:30.500001", "2024-02-29",
    "9999-12-31 23:59:59.999999", "10000-01-01", "294276-12-31 23:59:59.999999", "infinity",
]  # fmt: skip
TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "ab  ",
    "b",
    "á",
    "z",
    "~",
    "é",
    "\ue000",
    "\U0001d4b3",
    "5",
    "NaN",
    "'; --",
    '{x,"\\}',
    "%s",
]
FLOATS = [
    "0", "-0", "1", "1.1", "0.1", "-2.5", "9007199254740992", "9007199254740993", "1e22", "1e23",
    "3.4028235e38", "1e-38", "1e-45", "9007199254740996", "1.17549435e-38", "NaN", "Infinity", "-Infinity",
    "16777217",
]  # fmt: skip
INTEGERS = ["0", "1", "-1", "2", "5", "32767", "-32768"]
UUIDS = [
    "00000000-0000-0000-0000-000000000000",
    "7e57d004-2b97-0e7a-b45f-5387367791cd",
    "ffffffff-0000-4000-8000-000000000001",
]

# name: (type as declared, type as pushed down, values)
COLUMNS: dict[str, tuple[str, str, list[str]]] = {
    "i2": ("int2", "int2", INTEGERS),
    "i4": ("int4", "int4", [*INTEGERS, "2147483647"]),
    "i8": (
        "int8", "int8",
        [*INTEGERS, "9007199254740991", "9007199254740993", "9223372036854775807", "-9223372036854775808"],
    ),
    "num": (
        "numeric", "numeric",
        ["0", "0.0", "1", "1.0", "1.10", "0.1", "-2.5", "NaN", "9007199254740993", "1e23", "1e-400", "-1e2000",
         "Infinity", "-Infinity"],
    ),
    "money2": ("numeric(12,2)", "numeric", ["0", "1.1", "10.50", "9999999999.99", "NaN"]),
    "f4": ("float4", "float4", FLOATS),
    "f8": ("float8", "float8", [*FLOATS, "5e-324", "1.7976931348623157e308"]),
    "b": ("bool", "bool", ["true", "false"]),
    "t": ("text", "text", TEXTS),
    "vc": ("varchar(20)", "varchar", TEXTS),
    "bc": ("char(4)", "bpchar", ["", "a", "ab", "b", "5", "á"]),
    "e": ("mood", "enum", ["sad", "ok", "happy", "5"]),
    "u": ("uuid", "uuid", UUIDS),
    "d": ("date", "date", [*MOMENTS, "5874897-12-31"]),
    "ts": ("timestamp", "timestamp", MOMENTS),
    "tz": ("timestamptz", "timestamptz", MOMENTS),
    "dom": ("positive", "int4", ["1", "5"]),
    'odd "50%s" = %s::x': ("text", "text", TEXTS),
    "js": ("jsonb", "jsonb", ["null", "1", '"a"', '{"x": 1}', "[1, null]", "true"]),
    "arr": ("int4[]", "array", ["{}", "{1,NULL}", "{5}", "{{1},{2}}"]),
    "tod": ("time", "time", ["00:00:00", "10:20:30.5", "24:00:00"]),
    "raw": ("bytea", "bytea", ["\\x", "\\x00ff"]),
    "iv": ("interval", "interval", ["1 day", "24:00:00"]),
}  # fmt: skip
NUMBERS = [
    0, 1, -1, 5, 1.0, 1.1, 0.1, -2.5, 2.5, 0.5, 32767, 32768, 2**31, 2**53, 2**53 + 1, 2**53 + 3, 2**63 - 1,
    2**63, -(2**63), -(2**63) - 1, 1e22, 1e23, 10**23 + 1, 1.0000000000000002, 3.4028235e38, 3.4028236e38,
    1e39, -1e39, 1e-45, 1e-46, 5e-324, 1e-40, 1e308, 10**309, -(10**309), 16777217, 16777216,
]  # fmt: skip
STRINGS = [
    *TEXTS, "a\0", "a\0b", "\0", "\ud800", "a\udfff", "ab   ", "sad", "ok", "Infinity", "-Infinity", "NaN", "infinity",
    "9007199254740993", "9223372036854775808", "-99999999999999999999", "1.10", "1e200000", "1e-20000", "1e131071",
    "-1e131072", "1e-16383", "0.1", "x" * 300, *UUIDS, UUIDS[1].upper(), "7e57d004",
]  # fmt: skip
DATES = [
    "-infinity", "infinity", "2024-01-05", "2024-01-05T10:20:30.5", "2024-01-05T10:20:30.5Z",
    "2024-01-05T12:20:30.500001+02:00", "2024-01-05T24:00", "2024-02-30", "4714-11-24 BC", "4714-11-23 BC",
    "4714-11-23T23:59:59.999999 BC", "0044-03-15T10:00:00 BC", "294276-12-31T23:59:59.999999",
    "294277-01-01", "5874897-12-31", "5874898-01-01", "9999999-01-01", "9999999-01-01 BC", "0001-01-01",
    "0001-12-31 BC", "0001-01-01T00:00:00-00:30", "10000-01-01T00:00:00Z",
]  # fmt: skip
PATTERNS = [
    "",
    "%",
    "a%",
    "_",
    "á_%",
    "%b",
    "5",
    r"\%",
    r"a\_b",
    "%\ud800",
    "a\0%",
    "NaN",
    "2024-%",
    "%'%",
    "\U0001d4b3%",
]
REGEXES = ["", "^a", "[0-9]", "(?i)A", "^$"]
LITERALS = st.sampled_from([None, True, False, [], [1], ["a"], {}, {"x": 1}, *NUMBERS, *STRINGS, *DATES])
RANGE_LITERALS = LITERALS.filter(
    lambda literal: literal is not None and not isinstance(literal, (list, dict))
)


@st.composite
def conditions(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from([*COLUMNS, "js.x", "arr.0", "missing"]))
    values = st.sampled_from(COLUMNS[name][2]) if name in COLUMNS else RANGE_LITERALS
    op = draw(
        st.sampled_from(
            [
                "$eq",
                "$ne",
                "$gt",
                "$gte",
                "$lt",
                "$lte",
                "$in",
                "$nin",
                "$exists",
                "$like",
                "$regex",
                "$contains",
            ]
        )
    )
    if op == "$exists":
        return {name: {op: draw(st.booleans())}}
    if op in ("$like", "$regex"):
        pattern = {op: draw(st.sampled_from(PATTERNS if op == "$like" else REGEXES))}
        return {name: draw(st.sampled_from([pattern, {"$not": pattern}]))}
    if op == "$contains":
        return {name: {op: draw(LITERALS.filter(lambda literal: literal is not None))}}
    if op in ("$in", "$nin"):
        return {name: {op: draw(st.lists(LITERALS | values, max_size=5))}}
    operand = draw((LITERALS if op in ("$eq", "$ne") else RANGE_LITERALS) | values)
    return {name: draw(st.sampled_from([{op: operand}, {"$not": {op: operand}}]))}


@st.composite
def wheres(draw: st.DrawFn, depth: int = 2) -> dict[str, Any]:
    logical = draw(st.sampled_from([None, "$and", "$or", "$nor"])) if depth else None
    return (
        {logical: draw(st.lists(wheres(depth - 1), min_size=1, max_size=3))}
        if logical
        else draw(conditions())
    )


class Table:
    """A filled table: its rows as the evaluator sees them, and a connection to ask on."""

    def __init__(
        self, rows: Rows, columns: Mapping[str, ColumnInfo], connection: psycopg.Connection[Any]
    ) -> None:
        self.rows = rows
        self.columns = columns
        self.connection = connection

    def check(self, where: dict[str, Any]) -> PushedDown:
        node = parse_where(where)
        pushed = push_down(node, self.columns)
        selected, kept = self.select(pushed), self.keep(node)
        missed = [self.rows[row] for row in kept - selected]
        assert not missed, (where, pushed)
        if pushed.exact:
            surplus = [self.rows[row] for row in selected - kept]
            assert not surplus, (where, pushed)
        return pushed

    def select(self, pushed: PushedDown) -> set[int]:
        found = self.connection.execute(f"SELECT row FROM pushed WHERE {pushed.sql}".encode(), pushed.params)
        return {row for (row,) in found}

    def keep(self, node: Node) -> set[int]:
        test = compile_predicate(node)
        return {row for row, (doc, types) in self.rows.items() if test(doc, types)}


@pytest.fixture(scope="module")
def table(postgres_server: EmbeddedPostgres) -> Iterator[Table]:
    with temporary_database(postgres_server) as database:
        with psycopg.connect(database.url, autocommit=True, options=READ) as connection:
            _fill(connection)
            rows = _read(connection)
        columns = {name: ColumnInfo(name, pushed) for name, (_, pushed, _) in COLUMNS.items()}
        columns["row"] = ColumnInfo("row", "int4")
        with psycopg.connect(database.url, autocommit=True, options=ASK) as connection:
            yield Table(rows, columns, connection)


def _quoted(name: str) -> str:
    return '"{}"'.format(name.replace('"', '""'))


def _fill(connection: psycopg.Connection[Any]) -> None:
    dice = random.Random(1)
    declared = ", ".join(f"{_quoted(name)} {declared}" for name, (declared, _, _) in COLUMNS.items())
    connection.execute("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', '5')")
    connection.execute("CREATE DOMAIN positive AS int4 CHECK (value > 0)")
    connection.execute(f"CREATE TABLE pushed (row int4 PRIMARY KEY, {declared})".encode())
    width = len(COLUMNS)
    # The pools are walked through, so that every value occurs; nulls and the pairing are random.
    pools = [dice.sample(values, len(values)) for _, _, values in COLUMNS.values()]
    insert = f"INSERT INTO pushed VALUES (%s{', %s' * width})".encode()
    with connection.cursor() as cursor:
        for row in range(ROWS):
            values = [None if dice.random() < 0.15 else pool[row % len(pool)] for pool in pools]
            cursor.execute(insert, [row, *values])


def _read(connection: psycopg.Connection[Any]) -> Rows:
    @dataclass(frozen=True)
    class Column:
        name: str
        oid: int

    result = connection.execute("SELECT * FROM pushed ORDER BY row")
    columns = [Column(column.name, column.type_code) for column in result.description or ()]
    mood = connection.execute("SELECT 'mood'::regtype::oid::int8").fetchone()
    assert mood is not None
    encode = compile_row(columns, ("row",), {mood[0]: PgType(mood[0], "enum", "mood")})
    rows = {}
    raw = result.pgresult
    assert raw is not None
    for row in range(raw.ntuples):
        _, doc, types = encode([raw.get_value(row, column) for column in range(raw.nfields)])
        rows[row] = (decode_row(doc), types)
    return rows


@settings(max_examples=200)
@given(where=wheres())
def test_pushed_down_contains_the_predicate(table: Table, where: dict[str, Any]) -> None:
    table.check(where)


@pytest.mark.parametrize("name", COLUMNS)
def test_every_literal_against_every_type(table: Table, name: str) -> None:
    literals = [None, True, False, [1], {"x": 1}, *NUMBERS, *STRINGS, *DATES, *COLUMNS[name][2]]
    for literal in literals:
        table.check({name: {"$eq": literal}})
        if literal is not None and not isinstance(literal, (list, dict)):
            for op in ("$gt", "$gte", "$lt", "$lte"):
                table.check({name: {op: literal}})
        if literal is not None:
            table.check({name: {"$contains": literal}})
    for pattern in PATTERNS:
        table.check({name: {"$like": pattern}})
        table.check({name: {"$not": {"$like": pattern}}})
    for pattern in REGEXES:
        table.check({name: {"$regex": pattern}})
    table.check({name: {"$in": literals}})
    table.check({name: {"$nin": literals}})


def test_equalities_and_ranges_use_ordinary_indexes(table: Table) -> None:
    connection = table.connection
    connection.execute("SET enable_seqscan = off")
    wheres: list[dict[str, Any]] = [
        {"i2": 5}, {"i4": {"$gt": 1}}, {"i8": {"$in": [1, 2]}}, {"num": {"$lte": 1.5}}, {"f8": 1.5}, {"t": "a"},
        {"vc": "a"}, {"u": {"$in": UUIDS}}, {"d": {"$gte": "2024-01-05"}}, {"ts": "2024-01-05"}, {"bc": "a"},
        {"tz": {"$lt": "2024-01-05"}},
    ]  # fmt: skip
    for where in wheres:
        (name,) = where
        connection.execute(f"CREATE INDEX ON pushed ({name})".encode())
        pushed = table.check(where)
        plan = connection.execute(
            f"EXPLAIN SELECT row FROM pushed WHERE {pushed.sql}".encode(), pushed.params
        )
        text = "\n".join(line for (line,) in plan)
        assert "Index Cond" in text, (where, text)
    connection.execute("RESET enable_seqscan")


UNORDERED = {"bc", "js", "arr", "iv"}


def in_order(table: Table, order: Order) -> list[int]:
    """The rows as Postgres gives them, of which as much is in order as it is said to be."""
    given = bands(order, ("row",), table.columns)
    rows: list[int] = []
    for where, order_by in given.parts:
        found = table.connection.execute(f"SELECT row FROM pushed WHERE {where}{order_by}".encode(), ())
        rows += [row for (row,) in found]
    assert sorted(rows) == sorted(table.rows)
    leading = [ranked(table, order, row)[: given.pushed] for row in rows]
    for lower, higher, row in zip(leading, leading[1:], rows[1:], strict=False):
        assert lower <= higher, (order, table.rows[row])
    if given.pushed > len(order.sort):
        assert rows == sorted(rows, key=lambda row: ranked(table, order, row))
    else:
        assert UNORDERED & {field.path for field in order.sort}
    return rows


def ranked(table: Table, order: Order, row: int) -> list[bytes]:
    doc, types = table.rows[row]
    return list(order.parts(b'{"row":%d}' % row, doc, types))


@pytest.mark.parametrize("name", COLUMNS)
def test_the_order_of_every_type(table: Table, name: str) -> None:
    for descending in (False, True):
        in_order(table, Order((SortField(name, descending),), 1))


def test_the_order_of_several_fields(table: Table) -> None:
    dice = random.Random(2)
    for _ in range(150):
        names = dice.sample([*COLUMNS, "row"], dice.randint(0, 4))
        in_order(table, Order(tuple(SortField(name, dice.random() < 0.5) for name in names)))


def test_the_first_rows_come_from_an_ordinary_index(table: Table) -> None:
    connection = table.connection
    connection.execute("SET enable_seqscan = off; SET enable_sort = off")
    connection.execute("CREATE INDEX ON pushed (i4); CREATE INDEX ON pushed (tz)")
    for name in ("i4", "tz", "row"):
        for descending in (False, True):
            key = ("row",) if name == "row" else ()
            for where, order_by in bands(Order((SortField(name, descending),)), key, table.columns).parts:
                plan = connection.execute(f"EXPLAIN SELECT row FROM pushed WHERE {where}{order_by}".encode())
                text = "\n".join(line for (line,) in plan)
                assert "Index" in text, (where, order_by, text)
                assert "Sort" not in text, (where, order_by, text)
    connection.execute("RESET enable_seqscan; RESET enable_sort")
