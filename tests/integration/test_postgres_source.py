"""The Postgres source on real servers: the shared suite on every version, then what is Postgres' own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import sql

from cdc.event import Reset
from cdc.metrics import DatabaseMetrics
from cdc.postgres import catalog
from cdc.postgres.connect import SESSION
from cdc.postgres.source import PostgresSource
from cdc.postgres.target import Target, table_name
from cdc.postgres.values import compile_row
from integration.conformance import Change, Conformance, Delete, Doc, Insert, Update, one
from servers.postgres import Database, connect
from support.tail import Tail, eventually, new_tail

TABLE = "CREATE TABLE {} (id bigint PRIMARY KEY, name text, n int)"


class PostgresDriver:
    """The suite's driver: a database with `items`, `others` and, not followed, `elsewhere`."""

    key_field = "id"
    changes_keys = True
    truncates = True

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name

    def target(self, *collections: str, manage: bool = True) -> Target:
        """Slots are the whole server's: their name follows the database's."""
        return Target(
            project="todo-app",
            alias="db",
            conn=self.url,
            manage=manage,
            publication="livetail",
            slot=f"livetail_{self.name}",
            tables={table_name(collection): collection for collection in collections or ("items", "others")},
        )

    def source(self, metrics: DatabaseMetrics) -> PostgresSource:
        return PostgresSource(self.target(), metrics, watch_every=0.2)

    def following(self, *collections: str) -> Callable[[DatabaseMetrics], PostgresSource]:
        return lambda metrics: PostgresSource(self.target(*collections), metrics, watch_every=0.2)

    async def execute(self, *statements: str) -> None:
        """Each in a transaction of its own."""
        conn = await connect(self.url)
        async with conn:
            for statement in statements:
                await conn.execute(statement.encode())

    async def fetch(self, query: str, **options: Any) -> list[tuple[Any, ...]]:
        conn = await connect(self.url, **options)
        async with conn:
            return await (await conn.execute(query.encode())).fetchall()

    async def finds(self, query: str) -> bool:
        """Whether there is a row."""
        return bool(await self.fetch(query))

    async def prepare(self) -> None:
        await self.execute(TABLE.format("items"), TABLE.format("others"), TABLE.format("elsewhere"))

    async def transaction(self, *changes: Change, commit: bool = True) -> None:
        conn = await connect(self.url)
        async with conn, conn.transaction(force_rollback=not commit):
            for change in changes:
                await self._apply(conn, change)

    async def _apply(self, conn: psycopg.AsyncConnection[Any], change: Change) -> None:
        table = sql.Identifier(change.collection)
        if isinstance(change, Insert):
            query = "INSERT INTO {} SELECT * FROM jsonb_to_recordset(%s) AS x(id bigint, name text, n int)"
            await conn.execute(sql.SQL(query).format(table), (json.dumps(change.docs),))
        elif isinstance(change, Delete):
            await conn.execute(
                sql.SQL("DELETE FROM {} WHERE %(id)s::bigint IS NULL OR id = %(id)s").format(table),
                {"id": change.id},
            )
        else:
            assert isinstance(change, Update)
            sets = sql.SQL(", ").join(
                sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in change.fields
            )
            where = "id = %s" if change.id is not None else "n >= %s"
            await conn.execute(
                sql.SQL("UPDATE {} SET {} WHERE " + where).format(table, sets),  # type: ignore[arg-type]
                (*change.fields.values(), change.id if change.id is not None else change.least),
            )

    async def truncate(self, collection: str) -> None:
        await self.execute(f"TRUNCATE {collection}")

    async def write_elsewhere(self) -> None:
        await self.execute("INSERT INTO elsewhere VALUES (1, 'x', 1)")

    async def documents(self, collection: str) -> list[Doc]:
        rows = await self.fetch(f"SELECT id, name, n FROM {collection} ORDER BY id")
        return [{"id": id, "name": name, "n": n} for id, name, n in rows]  # noqa: A001


@pytest.fixture
async def driver(each_postgres_db: Database) -> PostgresDriver:
    found = PostgresDriver(each_postgres_db.url, each_postgres_db.name)
    await found.prepare()
    return found


@pytest.fixture
async def newest(postgres_db: Database) -> PostgresDriver:
    """On the newest version only."""
    found = PostgresDriver(postgres_db.url, postgres_db.name)
    await found.prepare()
    return found


class TestPostgres(Conformance):
    """The shared suite, on every version."""


async def followed(tail: Tail) -> None:
    await tail.until(lambda tail: bool(tail.positions))


async def test_savepoints(driver: PostgresDriver) -> None:
    tail = new_tail()
    async with tail.running(driver.source):
        await followed(tail)
        await driver.execute(
            "BEGIN; INSERT INTO items VALUES (1); SAVEPOINT a; INSERT INTO items VALUES (2); ROLLBACK TO a;"
            "INSERT INTO items VALUES (3); RELEASE a; COMMIT"
        )
        events = await tail.count(2)
    assert [(event.key["id"], event.transaction["total_order"]) for event in events] == [(1, 1), (3, 2)]


async def test_an_unchanged_large_value_is_filled_from_before(driver: PostgresDriver) -> None:
    await driver.execute("ALTER TABLE items ALTER name SET STORAGE EXTERNAL")
    large = "x" * 50_000
    tail = new_tail()
    async with tail.running(driver.source):
        await followed(tail)
        await driver.execute(f"INSERT INTO items VALUES (1, '{large}', 1)", "UPDATE items SET n = 2")
        events = await tail.count(2)
    assert events[1].before == {"id": 1, "name": large, "n": 1}
    assert events[1].after == {"id": 1, "name": large, "n": 2}


async def test_single_rows_beyond_what_is_read_ahead(newest: PostgresDriver) -> None:
    """The newest event of a collection is kept until it is known whether it is the last: it must not be waited for."""
    tail = new_tail()
    async with tail.running(newest.source):
        await followed(tail)
        await newest.execute(
            "INSERT INTO items SELECT i, repeat('x', 12000000), i FROM generate_series(1, 4) i"
        )
        assert [event.after["n"] for event in await tail.count(4)] == [1, 2, 3, 4]


async def test_generated_columns(driver: PostgresDriver) -> None:
    await driver.execute("CREATE TABLE g (id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED)")
    tail = new_tail()
    async with tail.running(driver.following("g")):
        await followed(tail)
        await driver.execute("INSERT INTO g VALUES (2)")
        events = await tail.count(1)
    [[version]] = await driver.fetch("SELECT current_setting('server_version_num')::int")
    assert events[0].after == ({"id": 2, "twice": 4} if version >= 180000 else {"id": 2})


async def test_partitions_also_new_ones(driver: PostgresDriver) -> None:
    await driver.execute(
        "CREATE TABLE p (id int, region text, v text, PRIMARY KEY (region, id)) PARTITION BY LIST (region)",
        "CREATE TABLE p_a PARTITION OF p FOR VALUES IN ('a')",
    )
    tail = new_tail()
    async with tail.running(driver.following("p")):
        await followed(tail)
        await driver.execute(
            "INSERT INTO p VALUES (1, 'a', 'x')", "CREATE TABLE p_b PARTITION OF p FOR VALUES IN ('b')"
        )
        await eventually(
            lambda: driver.finds("SELECT FROM pg_class WHERE relname = 'p_b' AND relreplident = 'f'")
        )
        await driver.execute(
            "INSERT INTO p VALUES (2, 'b', 'y')",
            "UPDATE p SET v = 'z'",
            "UPDATE p SET region = 'b' WHERE id = 1",
        )
        events = await tail.count(6)
    assert {event.collection for event in events} == {"p"}
    assert events[0].key == {"region": "a", "id": 1}
    assert sorted((event.key["id"], event.before["v"], event.after["v"]) for event in events[2:4]) == [
        (1, "x", "z"),
        (2, "y", "z"),
    ]
    moved = {"id": 1, "region": "a", "v": "z"}
    assert [event.change for event in events[4:]] == [
        ("d", moved, None),
        ("c", None, {**moved, "region": "b"}),
    ]


async def test_composite_uuid_and_text_keys(driver: PostgresDriver) -> None:
    await driver.execute(
        "CREATE TABLE k (b text, a uuid, v int, PRIMARY KEY (a, b))",
        'CREATE TABLE "Odd ""Name" ("Key ""x" text PRIMARY KEY)',
    )
    tail = new_tail()
    async with tail.running(driver.following("k", 'Odd "Name')):
        await followed(tail)
        await driver.execute(
            "INSERT INTO k VALUES ('x,\"y', '11111111-2222-3333-4444-555555555555', 1)",
            'INSERT INTO "Odd ""Name" VALUES (\'é\')',
        )
        events = await tail.count(2)
    assert list(events[0].key.items()) == [("a", "11111111-2222-3333-4444-555555555555"), ("b", 'x,"y')]
    assert events[1].key == {'Key "x': "é"}


async def test_columns_change_midstream(driver: PostgresDriver) -> None:
    tail = new_tail()
    async with tail.running(driver.source):
        await followed(tail)
        await driver.execute(
            "INSERT INTO items VALUES (1, 'a', 1)",
            "ALTER TABLE items ADD extra jsonb DEFAULT '{\"a\": 1.50}'",
            "INSERT INTO items VALUES (2, 'b', 2)",
            "ALTER TABLE items RENAME name TO title",
            "UPDATE items SET n = 3 WHERE id = 1",
            "ALTER TABLE items ALTER n TYPE numeric(10, 2)",
            "INSERT INTO items VALUES (3, 'c', 3.5)",
            "ALTER TABLE items DROP title",
            "DELETE FROM items WHERE id = 2",
        )
        events = await tail.count(5)
        await tail.until(lambda tail: len(tail.resets) >= 4)
    extra = {"a": 1.5}
    assert events[1].after == {"id": 2, "name": "b", "n": 2, "extra": extra}
    assert events[2].after == {"id": 1, "title": "a", "n": 3, "extra": extra}
    assert events[3].after == {"id": 3, "title": "c", "n": "3.50", "extra": extra}
    assert events[3].value["types"] == {"n": "decimal"}
    assert events[4].before == {"id": 2, "n": "2.00", "extra": extra}
    assert set(tail.resets) == {Reset("items", "columns_changed")}


async def test_the_database_goes_while_a_relation_is_looked_up(
    newest: PostgresDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    lookup = catalog.types_of

    async def gone(conn: catalog.Connection, oids: Any) -> Any:
        monkeypatch.setattr(catalog, "types_of", lookup)
        await newest.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return await lookup(conn, oids)

    tail = new_tail()
    async with tail.running(newest.source):
        await followed(tail)
        monkeypatch.setattr(catalog, "types_of", gone)
        await newest.execute("INSERT INTO items VALUES (1, 'a', 1)")
        await tail.count(1)


@pytest.mark.parametrize(
    "statement",
    [
        "TRUNCATE p_a",
        "ALTER TABLE p DETACH PARTITION p_a",
        "DROP TABLE p_a",
        "CREATE TABLE p_c (LIKE p INCLUDING ALL); INSERT INTO p_c VALUES (3, 'c'); "
        "ALTER TABLE p ATTACH PARTITION p_c FOR VALUES IN ('c')",
    ],
)
async def test_rows_that_come_or_go_with_a_partition(newest: PostgresDriver, statement: str) -> None:
    await newest.execute(
        "CREATE TABLE p (id int, region text, PRIMARY KEY (region, id)) PARTITION BY LIST (region)",
        "CREATE TABLE p_a PARTITION OF p FOR VALUES IN ('a')",
        "INSERT INTO p VALUES (1, 'a')",
    )
    tail = new_tail()
    async with tail.running(newest.following("p")):
        await followed(tail)
        await newest.execute(
            "INSERT INTO p VALUES (2, 'a')", "CREATE TABLE p_b PARTITION OF p FOR VALUES IN ('b')"
        )
        await tail.count(1)
        await eventually(
            lambda: newest.finds("SELECT FROM pg_class WHERE relname = 'p_b' AND relreplident = 'f'")
        )
        assert tail.resets == []
        await newest.execute(statement)
        await tail.until(lambda tail: bool(tail.resets))
    assert tail.resets == [Reset("p", "partitions_changed")]


async def test_columns_change_without_a_row(newest: PostgresDriver) -> None:
    tail = new_tail()
    async with tail.running(newest.source):
        await followed(tail)
        await newest.execute("INSERT INTO items VALUES (1, 'a', 1)")
        await tail.count(1)
        await newest.execute("ALTER TABLE items ADD extra int DEFAULT 7")
        await tail.until(lambda tail: bool(tail.resets))
    assert tail.resets == [Reset("items", "columns_changed")]


async def test_a_table_made_anew(newest: PostgresDriver) -> None:
    tail = new_tail()
    async with tail.running(newest.source):
        await followed(tail)
        await newest.execute("INSERT INTO items VALUES (1, 'a', 1)")
        await tail.count(1)
        await newest.execute("DROP TABLE items", TABLE.format("items"))
        await tail.until(lambda tail: bool(tail.resets))
        await newest.execute("INSERT INTO items VALUES (2, 'b', 2)")
        await tail.count(2)
    assert tail.resets[-1] in (Reset("items", "table_recreated"), Reset("items", "table_republished"))
    assert tail.events[1].after == {"id": 2, "name": "b", "n": 2}


async def test_a_table_made_anew_while_the_tailer_was_away(newest: PostgresDriver) -> None:
    tail = new_tail()
    async with tail.running(newest.source):
        await followed(tail)
    await newest.execute("DROP TABLE items", TABLE.format("items"))
    async with tail.running(newest.source):
        await tail.until(lambda tail: bool(tail.resets))
    assert [reset.collection for reset in tail.resets] == ["items"]


async def test_a_table_dropped_while_the_tailer_was_away_keeps_no_other_back(newest: PostgresDriver) -> None:
    tail = new_tail()
    async with tail.running(newest.source):
        await followed(tail)
        await newest.execute("INSERT INTO items VALUES (1, 'a', 1)")
        await tail.count(1)
    await newest.execute("DROP TABLE items")
    async with tail.running(newest.source):
        await tail.until(lambda tail: bool(tail.resets))
        await newest.transaction(one("others", 1))
        await tail.count(2)
        assert tail.resets == [Reset("items", "table_dropped")]
        await newest.execute(TABLE.format("items"))
        await tail.until(lambda tail: len(tail.resets) > 1)
        await newest.execute("INSERT INTO items VALUES (2, 'b', 2)")
        await tail.count(3)
    assert tail.events[2].after == {"id": 2, "name": "b", "n": 2}


async def test_a_dropped_table_ends_nothing(newest: PostgresDriver, caplog: pytest.LogCaptureFixture) -> None:
    tail = new_tail()
    async with tail.running(newest.source):
        await followed(tail)
        await newest.execute("DROP TABLE items")
        await tail.until(lambda tail: bool(tail.resets))
        await newest.transaction(one("others", 1))
        await tail.count(1)
    assert tail.resets == [Reset("items", "table_dropped")]
    said = [record.message for record in caplog.records if "table public.items" in record.message]
    assert len(said) == 1


WIDE = {
    "b": ["bool", "true", "false"],
    "i2": ["int2", "-32768", "32767"],
    "i4": ["int4", "-2147483648"],
    "i8": ["int8", "9007199254740991", "9007199254740992", "-9223372036854775808"],
    "f4": ["float4", "1.1", "'NaN'", "'-Infinity'", "1e-30"],
    "f8": ["float8", "0.1", "'Infinity'", "1e308", "5e-324", "-0.0"],
    "num": ["numeric", "1e40", "'NaN'", "'-Infinity'", "0.10", "-12345678901234567890.5"],
    "num2": ["numeric(10,2)", "1.5"],
    "mon": ["money", "'-12.34'"],
    "txt": ["text", "''", "E'a\\nb\\t\\\\\"\\u2028\\x01'", "'🎈'"],
    "vc": ["varchar(5)", "'ab'"],
    "bp": ["char(5)", "'ab'"],
    "nm": ["name", "'pg'"],
    "ch": ['"char"', "'x'"],
    "by": ["bytea", "'\\x00ff10'", "''"],
    "da": ["date", "'2024-02-29'", "'infinity'", "'0044-03-15 BC'", "'12345-01-01'"],
    "ti": ["time", "'23:59:59.999999'", "'24:00'"],
    "tz": ["timetz", "'12:00+05:30'", "'12:00:00.5-15:59:59'"],
    "ts": ["timestamp", "'2024-02-29 12:34:56.789'", "'-infinity'", "'0001-01-01 00:00:00 BC'"],
    "tt": ["timestamptz", "'2024-02-29 12:34:56.7+02'", "'infinity'", "'99999-01-01 00:00:00Z'"],
    "iv": ["interval", "'1 year 2 mons -3 days 04:05:06.7'", "'0'"],
    "uu": ["uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"],
    "js": ["json", '\'{"a": 1.10,\n "a": [1, 2]}\'', "'\"x\"'", "'null'"],
    "jb": ["jsonb", '\'{"b": 12345678901234567890.12345678901234567890, "a": null}\'', "'[]'"],
    "ne": ["inet", "'192.168.0.1/24'"],
    "ci": ["cidr", "'10.0.0.0/8'"],
    "ma": ["macaddr", "'08:00:2b:01:02:03'"],
    "m8": ["macaddr8", "'08:00:2b:01:02:03:04:05'"],
    "bi": ["bit(3)", "B'101'"],
    "vb": ["varbit", "B'10101'"],
    "tv": ["tsvector", "'a:1 fat:2 cat:3'"],
    "tq": ["tsquery", "'fat & (rat | cat)'"],
    "xm": ["xml", "'<a>b</a>'"],
    "po": ["point", "'(1.5,2)'"],
    "li": ["line", "'{1,2,3}'"],
    "ls": ["lseg", "'[(0,0),(1,1)]'"],
    "bx": ["box", "'(1,1),(0,0)'"],
    "pa": ["path", "'((0,0),(1,1))'"],
    "pg": ["polygon", "'((0,0),(1,1),(1,0))'"],
    "cr": ["circle", "'<(0,0),1>'"],
    "lsn": ["pg_lsn", "'16/B374D848'"],
    "oi": ["oid", "4294967295"],
    "rc": ["regclass", "'pg_class'"],
    "r4": ["int4range", "'[1,10)'", "'empty'"],
    "rn": ["numrange", "'(1.5,)'"],
    "rt": ["tstzrange", "'[2024-01-01 00:00+00,)'"],
    "mr": ["int4multirange", "'{[1,3),[5,9)}'"],
    "ai": ["int4[]", "'{1,NULL,3}'", "'{}'", "'[0:1]={1,2}'", "'{{1,2},{3,4}}'"],
    "at": ["text[]", "ARRAY['a,b', 'NULL', NULL, E'q\"\\\\', '']"],
    "an": ["numeric[]", "'{1.10,NaN}'"],
    "att": ["timestamptz[]", "ARRAY['2024-01-01 00:00+00'::timestamptz]"],
    "ab": ["box[]", "'{(1,1),(0,0);(2,2),(1,1)}'"],
    "aj": ["jsonb[]", "ARRAY['{\"a\": \"b,c\"}'::jsonb, 'null']"],
    "aby": ["bytea[]", "ARRAY['\\x00'::bytea]"],
    "a8": ["int8[]", "'{1,9007199254740993}'"],
    "af": ["float8[]", "'{1.5,NaN}'"],
    "en": ["mood", "'it''s'"],
    "aen": ["mood[]", "ARRAY['ok', 'it''s']::mood[]"],
    "dom": ["price", "12.50"],
    "dd": ["dear", "99.9"],
    "ado": ["price[]", "'{1.5,2}'"],
    "co": ["pair", "ROW(1, 'a,\"b')"],
    "aco": ["pair[]", "ARRAY[ROW(1, 'x')::pair]"],
    "fr": ["floatrange", "'[1.5,2.5]'"],
}


async def test_every_type_streams_as_it_is_read(driver: PostgresDriver) -> None:
    wide = dict(WIDE)
    try:
        await driver.execute("SELECT '<a/>'::xml")
    except psycopg.errors.FeatureNotSupported:
        del wide["xm"]  # built without libxml
    await driver.execute(
        "CREATE TYPE mood AS ENUM ('ok', 'it''s')",
        "CREATE DOMAIN price AS numeric CHECK (VALUE > 0)",
        "CREATE DOMAIN dear AS price CHECK (VALUE > 10)",
        "CREATE TYPE pair AS (a int, b text)",
        "CREATE TYPE floatrange AS RANGE (subtype = float8)",
        f"CREATE TABLE wide (id int PRIMARY KEY, {', '.join(f'{name} {kind[0]}' for name, kind in wide.items())})",
    )
    count = max(map(len, wide.values()))
    tail = new_tail()
    async with tail.running(driver.following("wide")):
        await followed(tail)
        for number in range(1, count):
            values = [kind[number] if number < len(kind) else "NULL" for kind in wide.values()]
            await driver.execute(f"INSERT INTO wide VALUES ({number}, {', '.join(values)})")
        await driver.execute("UPDATE wide SET i4 = 0")
        events = await tail.count(2 * (count - 1))
    options = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
    conn = await connect(driver.url, options=options)
    async with conn:
        table = await catalog.table_by_name(conn, "public", "wide", "livetail")
        assert table is not None
        types = await catalog.types_of(conn, [column.oid for column in table.columns])
        encode = compile_row(table.columns, table.key, types)
        columns = ", ".join(column.name for column in table.columns)
        result = (await conn.execute(f"SELECT {columns} FROM wide ORDER BY id".encode())).pgresult
        assert result is not None
        rows = [
            encode([result.get_value(row, column) for column in range(result.nfields)])
            for row in range(result.ntuples)
        ]
    assert len(rows) == count - 1
    for event, (key, document, kinds) in zip(events[count - 1 :], rows, strict=True):
        assert event.key == json.loads(key)
        assert event.after == json.loads(document)
        assert event.value.get("types", {}) == (dict(kinds) if kinds else {})
        assert event.before == events[event.key["id"] - 1].after
