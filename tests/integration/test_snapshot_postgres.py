"""The snapshot reader on a real server: whatever names there are, whatever the role is set to."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from broadcaster.errors import RequestError
from broadcaster.evaluate import compile_predicate
from broadcaster.livequery import LiveQuery
from broadcaster.order import Order, SortField
from broadcaster.query import parse_where
from broadcaster.snapshot.postgres import PostgresReader
from servers.postgres import Database, connect
from support.reference_order import ordered
from support.tail import eventually

ANY_ROWS, ANY_BYTES = 1000, 1 << 20


@asynccontextmanager
async def reader_of(url: str, **tables: tuple[str, str]) -> AsyncIterator[PostgresReader]:
    reader = PostgresReader("pg", url, "no_publication", tables)
    try:
        yield reader
    finally:
        await reader.close()


def query(collection: str, where: object, order: Order | None = None) -> LiveQuery:
    node = parse_where(where)
    test = compile_predicate(node)
    return LiveQuery(collection, "pg", collection, node, test, 1 << 20, None, order)


async def rows(reader: PostgresReader, collection: str, where: object) -> list[Any]:
    snapshot = await reader.read(query(collection, where), ANY_ROWS, ANY_BYTES)
    return [json.loads(doc) for doc in snapshot.rows.values()]


async def test_names_that_sql_and_placeholders_could_stumble_over(postgres_db: Database) -> None:
    postgres_db.execute(
        'CREATE SCHEMA "S%s"; CREATE TABLE "S%s"."A""b%" ("Id%" int PRIMARY KEY, "100%%" int, "%s""\n😀" text);'
        'INSERT INTO "S%s"."A""b%" VALUES (1, 10, $$x$$), (2, 20, $$y$$)'
    )
    row = {"Id%": 2, "100%%": 20, '%s"\n😀': "y"}
    async with reader_of(postgres_db.url, odd=("S%s", 'A"b%')) as reader:
        for where in ({"Id%": 2}, {"100%%": {"$gt": 10}}, {'%s"\n😀': "y"}, {"Id%": {"$in": [2, 3]}}):
            assert await rows(reader, "odd", where) == [row]
        assert len(await rows(reader, "odd", {})) == 2


async def test_a_policy_hides_no_rows_in_silence(postgres_db: Database) -> None:
    role = f"ruled_{postgres_db.name}"
    postgres_db.execute(
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2);"
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY one ON t USING (id = 1);"
        f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT ON t TO {role}"
    )
    try:
        url = psycopg.conninfo.make_conninfo(postgres_db.url, user=role, password="x")
        async with reader_of(url, t=("public", "t")) as reader:
            with pytest.raises(RequestError) as refused:
                await rows(reader, "t", {})
            assert "row-level security" in str(refused.value.__cause__)
    finally:
        postgres_db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_connection_may_be_idle_for_long(postgres_db: Database) -> None:
    postgres_db.execute(f"ALTER DATABASE {postgres_db.name} SET idle_session_timeout = '10ms'")
    async with reader_of(postgres_db.url) as reader:
        await reader.shows()
        async with (
            await connect(postgres_db.url) as other,
            await connect(postgres_db.server.url) as unhurried,
        ):

            async def has_timed_out() -> bool:
                cursor = await unhurried.execute(
                    "SELECT 1 FROM pg_stat_activity WHERE pid = %s", (other.info.backend_pid,)
                )
                return await cursor.fetchone() is None

            await eventually(has_timed_out)
            await reader.shows()


@pytest.mark.parametrize("port", [1, None])
async def test_clients_are_not_told_where_the_database_is(
    postgres_db: Database, port: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    """The operator is: in the cause, which /readyz and the log show."""
    role = f"poor_{postgres_db.name}"
    postgres_db.execute(f"CREATE TABLE t (id int PRIMARY KEY); CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    try:
        port = port or postgres_db.server.port
        url = psycopg.conninfo.make_conninfo(postgres_db.url, user=role, password="secret", port=port)
        async with reader_of(url, t=("public", "t")) as reader:
            with pytest.raises(RequestError) as refused:
                await rows(reader, "t", {})
        assert refused.value.code == "database_unavailable"
        assert "127.0.0.1" not in refused.value.message
        assert "permission" not in refused.value.message
        assert f"127.0.0.1:{port}/{postgres_db.name} as user {role}: " in str(refused.value.__cause__)
        assert "secret" not in str(refused.value.__cause__) + caplog.text
    finally:
        postgres_db.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize(
    ("rows_there", "width", "named"), [(ANY_ROWS + 1, 1, "initialRows"), (50, 30_000, "initialBytes")]
)
async def test_a_result_has_two_bounds(
    postgres_db: Database, rows_there: int, width: int, named: str
) -> None:
    postgres_db.execute(
        "CREATE TABLE t (id int PRIMARY KEY, x text);"
        f"INSERT INTO t SELECT i, repeat('x', {width}) FROM generate_series(1, {rows_there}) i"
    )
    async with reader_of(postgres_db.url, t=("public", "t")) as reader:
        with pytest.raises(RequestError, match=named) as refused:
            await rows(reader, "t", {})
        assert (refused.value.code, refused.value.retryable) == ("result_too_large", False)
        assert len(await rows(reader, "t", {"id": {"$lte": 20}})) == 20


async def test_a_table_that_is_not_there_is_waited_for(postgres_db: Database) -> None:
    async with reader_of(postgres_db.url, t=("public", "t")) as reader:
        with pytest.raises(RequestError, match=r"no table public\.t now") as refused:
            await rows(reader, "t", {})
        assert refused.value.retryable
        postgres_db.execute("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
        assert await rows(reader, "t", {}) == [{"id": 1}]


async def test_a_role_that_may_do_nothing_but_read(each_postgres_db: Database) -> None:
    role = f"reading_{each_postgres_db.name}"
    each_postgres_db.execute(
        "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1);"
        f"CREATE ROLE {role} LOGIN PASSWORD 'x'; GRANT SELECT ON t TO {role}"
    )
    try:
        url = psycopg.conninfo.make_conninfo(each_postgres_db.url, user=role, password="x")
        async with reader_of(url, t=("public", "t")) as reader:
            assert await rows(reader, "t", {}) == [{"id": 1}]
            await reader.shows()
            await reader.nudge()
    finally:
        each_postgres_db.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


ORDERED = """
CREATE TABLE t (id int PRIMARY KEY, n int, at timestamptz, s text, j jsonb);
INSERT INTO t SELECT i, nullif(i * 7919 % 50, 0), timestamptz '2026-01-01' + i % 97 * interval '1 hour',
    chr(97 + i % 26), to_jsonb(i % 3) FROM generate_series(1, 3000) i;
CREATE INDEX ON t (n);
CREATE INDEX ON t (at)
"""
WHERES: list[dict[str, Any]] = [{}, {"s": {"$regex": "[a-m]"}}, {"n": None}, {"id": {"$lte": 9}}]


@pytest.mark.parametrize(
    "sort", [[], ["n"], ["-n"], ["-at", "n"], ["at", "-id"], ["j", "-n"], ["-s", "j", "n"]]
)
async def test_the_first_rows(postgres_db: Database, sort: list[str]) -> None:
    """Whatever of the order is pushed down, and whatever of the condition."""
    postgres_db.execute(ORDERED)
    fields = tuple(SortField(field.removeprefix("-"), field.startswith("-")) for field in sort)
    async with reader_of(postgres_db.url, t=("public", "t")) as reader:
        for where in WHERES:
            everything = [json.loads(doc) for doc in (await all_of(reader, where)).values()]
            expected = ordered(everything, sort, ["id"], {"at": "timestamptz"})
            for limit in (1, 10, 60):
                found = await reader.read(query("t", where, Order(fields, limit)), 1, ANY_BYTES)
                got = [json.loads(doc) for doc in found.rows.values()]
                assert got == expected[: len(got)]
                if found.bound is None:
                    assert len(got) == len(everything)
                else:
                    assert len(got) > limit
                    assert found.bound == list(found.ranks.values())[-1]


async def all_of(reader: PostgresReader, where: object) -> Any:
    return (await reader.read(query("t", where), 10_000, ANY_BYTES)).rows
