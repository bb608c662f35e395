"""The snapshot reader on real servers: whatever names there are, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from broadcaster.demo.mysql import EmbeddedMysql
from broadcaster.errors import RequestError
from broadcaster.evaluate import compile_predicate
from broadcaster.livequery import LiveQuery
from broadcaster.order import Order, SortField
from broadcaster.query import parse_where
from broadcaster.snapshot.mysql import MysqlReader
from broadcaster.snapshot.reader import Snapshot
from cdc.mysql.position import order_of
from servers.mysql import MysqlDatabase, temporary_database
from servers.proxy import Proxy
from support.mysql_target import target_of
from support.reference_order import ordered
from support.semi_sync import ask, committing, end_of_binlog
from support.tail import eventually

ANY_ROWS, ANY_BYTES = 1000, 1 << 20


@asynccontextmanager
async def reader_of(url: str, *collections: str) -> AsyncIterator[MysqlReader]:
    target = target_of(url)
    reader = MysqlReader(replace(target, tables={(target.database, name): name for name in collections}))
    try:
        yield reader
    finally:
        await reader.close()


def query(collection: str, where: object, order: Order | None = None) -> LiveQuery:
    node = parse_where(where)
    test = compile_predicate(node)
    return LiveQuery(collection, "sql-mysql", collection, node, test, 1 << 20, None, order)


async def read(reader: MysqlReader, collection: str, where: object) -> Snapshot:
    return await reader.read(query(collection, where), ANY_ROWS, ANY_BYTES)


async def rows(reader: MysqlReader, collection: str, where: object) -> list[Any]:
    return [json.loads(doc) for doc in (await read(reader, collection, where)).rows.values()]


async def test_names_that_sql_could_stumble_over(each_mysql_db: MysqlDatabase) -> None:
    each_mysql_db.execute(
        "CREATE TABLE `A``b%s` (`Id%` int PRIMARY KEY, `100%%` int, `%s``\n-` varchar(9))",
        "INSERT INTO `A``b%s` VALUES (1, 10, 'x'), (2, 20, 'y')",
    )
    row = {"Id%": 2, "100%%": 20, "%s`\n-": "y"}
    async with reader_of(each_mysql_db.url, "A`b%s") as reader:
        for where in ({"Id%": 2}, {"100%%": {"$gt": 10}}, {"%s`\n-": "y"}, {"Id%": {"$in": [2, 3]}}):
            assert await rows(reader, "A`b%s", where) == [row]
        snapshot = await read(reader, "A`b%s", {})
        assert (list(snapshot.rows), list(snapshot.key)) == ([b'{"Id%":1}', b'{"Id%":2}'], ["Id%"])


@pytest.mark.parametrize(
    ("there", "width", "named"), [(ANY_ROWS + 1, 1, "initialRows"), (50, 30_000, "initialBytes")]
)
async def test_a_result_has_two_bounds(
    each_mysql_db: MysqlDatabase, there: int, width: int, named: str
) -> None:
    each_mysql_db.execute(
        "CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, x text)",
        f"INSERT INTO t (x) SELECT repeat('x', {width}) FROM information_schema.collations a, "
        f"information_schema.collations b LIMIT {there}",
    )
    async with reader_of(each_mysql_db.url, "t") as reader:
        with pytest.raises(RequestError, match=named) as refused:
            await rows(reader, "t", {})
        assert (refused.value.code, refused.value.retryable) == ("result_too_large", False)
        assert len(await rows(reader, "t", {"id": {"$lte": 20}})) == 20


async def test_a_table_that_is_not_there_is_waited_for(each_mysql_db: MysqlDatabase) -> None:
    async with reader_of(each_mysql_db.url, "t") as reader:
        with pytest.raises(RequestError, match=r"no table test_\w+\.t now") as refused:
            await rows(reader, "t", {})
        assert refused.value.retryable
        each_mysql_db.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1)")
        assert await rows(reader, "t", {}) == [{"id": 1}]


async def test_a_user_that_may_do_little(each_mysql_db: MysqlDatabase) -> None:
    """And clients are not told what the database said; the operator is: in the cause, which /readyz shows."""
    user = f"reading_{each_mysql_db.name[-8:]}"
    each_mysql_db.execute(
        "CREATE TABLE t (id int PRIMARY KEY, j json)",
        "INSERT INTO t VALUES (1, '{}')",
        f"CREATE USER {user} IDENTIFIED BY 'secret'",
        f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}",
    )
    try:
        async with reader_of(each_mysql_db.url_as(user, "secret"), "t") as reader:
            with pytest.raises(RequestError) as refused:
                await rows(reader, "t", {})
            assert refused.value.code == "database_unavailable"
            assert "denied" not in refused.value.message and "127.0.0.1" not in refused.value.message
            assert f"as user {user}" in str(refused.value.__cause__)
            assert f"GRANT SELECT ON `{each_mysql_db.name}`.`t`" in str(refused.value.__cause__)
            assert "secret" not in str(refused.value.__cause__)
            each_mysql_db.execute(f"GRANT SELECT ON {each_mysql_db.name}.t TO {user}")
            assert await rows(reader, "t", {}) == [{"id": 1, "j": {}}]
            await reader.shows()
            await reader.nudge()
    finally:
        each_mysql_db.execute(f"DROP USER {user}")


async def test_a_read_is_cancelled(each_mysql_db: MysqlDatabase) -> None:
    """Whatever the server does meanwhile: here it waits for a lock."""
    each_mysql_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    async with reader_of(each_mysql_db.url, "t") as reader:
        await rows(reader, "t", {})
        with each_mysql_db.connect() as locking, locking.cursor() as cursor:
            cursor.execute("LOCK TABLES t WRITE")
            reading = asyncio.create_task(rows(reader, "t", {}))

            async def is_waiting() -> bool:
                return any(
                    "metadata lock" in str(row[6]) for row in each_mysql_db.execute("SHOW PROCESSLIST")
                )

            await eventually(is_waiting)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        assert await rows(reader, "t", {}) == []


async def test_connections_that_broke_are_replaced(
    each_mysql_db: MysqlDatabase,
) -> None:
    each_mysql_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    async with Proxy(("127.0.0.1", each_mysql_db.server.port)) as proxy:
        url = each_mysql_db.url.replace(f":{each_mysql_db.server.port}/", f":{proxy.port}/")
        async with reader_of(url, "t") as reader:
            await rows(reader, "t", {})
            await proxy.cut()
            assert await rows(reader, "t", {}) == []


async def test_what_a_read_shows(each_mysql_db: MysqlDatabase) -> None:
    each_mysql_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    async with reader_of(each_mysql_db.url, "t") as reader:
        before = next_transaction(each_mysql_db.server)
        assert not (await reader.shows())(before)
        each_mysql_db.execute("INSERT INTO t VALUES (1)")
        await shown(reader, before)
        snapshot = await read(reader, "t", {})
        assert snapshot.shows(before)
        assert not snapshot.shows(next_transaction(each_mysql_db.server))
        file, offset = end_of_binlog(each_mysql_db.server)
        assert snapshot.order == order_of(file, offset)


async def shown(reader: MysqlReader, transaction: str) -> None:
    """At once; but on MariaDB after a second where there was ever an XA COMMIT, as in another test."""

    async def is_shown() -> bool:
        return (await reader.shows())(transaction)

    await eventually(is_shown)


async def test_after_xa_on_mariadb_a_second_must_have_passed(mariadb_db: MysqlDatabase) -> None:
    """Its XA COMMIT is in the binlog, and in what a consistent snapshot says of it, before it is in the engine: of
    6,000 views a stress test caught 3."""
    mariadb_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    async with reader_of(mariadb_db.url, "t") as reader:
        mariadb_db.execute("XA START 'x'", "INSERT INTO t VALUES (1)", "XA END 'x'", "XA PREPARE 'x'")
        committed = next_transaction(mariadb_db.server)
        mariadb_db.execute("XA COMMIT 'x'")
        snapshot = await read(reader, "t", {})
        assert list(snapshot.rows) == [b'{"id":1}']
        assert not snapshot.shows(committed)
        await shown(reader, committed)


async def test_the_binlog_is_ahead_of_what_a_read_sees(each_mysql_db: MysqlDatabase) -> None:
    """In the gap between binlog and engine commit the read lacks the row, and says so."""
    each_mysql_db.execute("CREATE TABLE t (id int PRIMARY KEY)")
    async with reader_of(each_mysql_db.url, "t") as reader:
        stalled = next_transaction(each_mysql_db.server)
        with committing(each_mysql_db, "INSERT INTO t VALUES (1)"):
            snapshot = await read(reader, "t", {})
            assert snapshot.rows == {}
            assert not snapshot.shows(stalled)
            assert not (await reader.shows())(stalled)
        snapshot = await read(reader, "t", {})
        assert list(snapshot.rows) == [b'{"id":1}']
        await shown(reader, stalled)


async def test_without_gtids_a_second_must_have_passed(
    throwaway_mysql: Callable[..., EmbeddedMysql],
) -> None:
    server = throwaway_mysql("mysql", gtid_mode="OFF", enforce_gtid_consistency="OFF")
    with temporary_database(server) as database:
        database.execute("CREATE TABLE t (id int PRIMARY KEY)")
        async with reader_of(database.url, "t") as reader:
            file, offset = end_of_binlog(server)
            database.execute("INSERT INTO t VALUES (1)")
            snapshot = await read(reader, "t", {})
            assert list(snapshot.rows) == [b'{"id":1}']
            assert not snapshot.shows(f"{file}:{offset}")

            await shown(reader, f"{file}:{offset}")
            assert (await read(reader, "t", {})).shows(f"{file}:{offset}")


async def test_ddl_and_reads_in_turn(each_mysql_db: MysqlDatabase) -> None:
    """A read never mixes two shapes of a table, nor fails for one that changes."""
    each_mysql_db.execute("CREATE TABLE t (id int PRIMARY KEY)", "INSERT INTO t VALUES (1), (2)")
    stop = threading.Event()

    def alter() -> None:
        while not stop.is_set():
            each_mysql_db.execute(
                "ALTER TABLE t ADD COLUMN x int NOT NULL DEFAULT 5, ALGORITHM=COPY",
                "ALTER TABLE t DROP COLUMN x",
            )

    altering = asyncio.create_task(asyncio.to_thread(alter))
    try:
        async with reader_of(each_mysql_db.url, "t") as reader:
            for _ in range(30):
                found = await rows(reader, "t", {})
                assert found in ([{"id": 1}, {"id": 2}], [{"id": 1, "x": 5}, {"id": 2, "x": 5}])
    finally:
        stop.set()
        await altering


def next_transaction(server: EmbeddedMysql) -> str:
    """The `txId` of the next transaction, where nothing else is written."""
    if server.installation.flavor == "mysql":
        [[uuid, executed]] = ask(server, "SELECT @@server_uuid, @@global.gtid_executed")
        return f"{uuid}:{int(executed.rpartition('-')[2].rpartition(':')[2]) + 1}"
    file, offset = end_of_binlog(server)
    return f"{file}:{offset}"


WHERES: list[dict[str, Any]] = [{}, {"s": {"$regex": "[a-m]"}}, {"n": None}, {"id": {"$lte": 9}}]
SORTS = [[], ["n"], ["-n"], ["-at", "n"], ["at", "-id"], ["j", "-n"], ["-s", "j", "n"]]


async def test_the_first_rows(each_mysql_db: MysqlDatabase) -> None:
    """Whatever of the order is pushed down, and whatever of the condition."""
    each_mysql_db.execute(
        "CREATE TABLE t (id int PRIMARY KEY AUTO_INCREMENT, n int, at datetime(3), s varchar(9), j json)",
        "INSERT INTO t (n) SELECT 1 FROM information_schema.collations a, information_schema.collations b LIMIT 2000",
        "UPDATE t SET n = nullif(id * 7919 % 50, 0), at = timestamp'2026-01-01 00:00:00' + INTERVAL id % 97 HOUR, "
        "s = char(97 + id % 26 USING utf8mb4), j = cast(id % 3 AS char)",
    )
    async with reader_of(each_mysql_db.url, "t") as reader:
        for where in WHERES:
            read = (await reader.read(query("t", where), 10_000, ANY_BYTES)).rows.values()
            everything = [json.loads(doc) for doc in read]
            for sort in SORTS:
                fields = tuple(SortField(field.removeprefix("-"), field.startswith("-")) for field in sort)
                expected = ordered(everything, sort, ["id"], {"at": "timestamp"})
                for limit in (1, 10, 60):
                    found = await reader.read(query("t", where, Order(fields, limit)), 1, ANY_BYTES)
                    got = [json.loads(doc) for doc in found.rows.values()]
                    assert got == expected[: len(got)]
                    assert (found.bound is None) == (len(got) == len(everything))
                    assert found.bound is None or len(got) > limit
