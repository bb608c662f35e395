"""Where the MySQL and MariaDB source goes on, on real servers: after restarts of either, rotation, purges, failover."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import pymysql
import pytest
from prometheus_client import CollectorRegistry

from broadcaster.demo.mysql import EmbeddedMysql
from cdc.errors import PositionLost, SourceUnavailable
from cdc.event import Position, Reset
from cdc.health import State
from cdc.metrics import Metrics
from cdc.mysql import dump, stream
from cdc.mysql.chunks import MysqlChunks
from cdc.mysql.following import Following
from cdc.mysql.place import identify
from cdc.mysql.source import MysqlSource
from cdc.snapshot.snapshots import Snapshots
from integration.conformance import settled, started
from integration.mysql_driver import MysqlDriver, source_of, target_of
from servers.mysql import MysqlDatabase, MysqlServers
from servers.proxy import Proxy
from support.snapshots import read_anew
from support.tail import Tail, eventually, new_tail


@pytest.fixture
def driver(each_mysql_db: MysqlDatabase) -> Iterator[MysqlDriver]:
    driver = MysqlDriver(each_mysql_db)
    yield driver
    for *_, name in driver.execute("XA RECOVER"):  # of a test that failed: nothing could be dropped
        driver.execute(f"XA ROLLBACK '{name}'")


async def outcome(driver: MysqlDriver, statement: str) -> None:
    """Commit or roll back an XA transaction whose session may not be quite gone."""

    async def is_done() -> bool:
        try:
            await driver.run(statement)
        except pymysql.MySQLError as error:
            if error.args[0] != pymysql.constants.ER.XAER_NOTA:
                raise
            return False
        return True

    await eventually(is_done)


def fresh(server: EmbeddedMysql) -> MysqlDatabase:
    """A database on a server that is this test's alone, and may be killed."""
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE app")
    return MysqlDatabase(server, "app")


@asynccontextmanager
async def opened(driver: MysqlDriver, after: Position | None) -> AsyncIterator[Following]:
    following = await source_of(target_of(driver.database)).open(after)
    try:
        yield following
    finally:
        async with asyncio.timeout(1):
            await following.close()


async def read_until(following: Following, order: int) -> tuple[list[tuple[str, bytes, int]], list[Position]]:
    """(collection, key, commit) of all records up to this order, and the positions on the way."""
    found, positions = [], []
    while not positions or positions[-1].order < order:
        batch = await following.take()
        found += [(name, key, len(value or b"")) for name, key, value in batch.records]
        if batch.position is not None:
            positions.append(batch.position)
    return found, positions


async def read_on(source: MysqlSource, after: Position | None) -> None:
    """Open there and take whatever comes."""
    following = await source.open(after)
    try:
        while True:
            await following.take()
    finally:
        await following.close()


async def lost_at(source: MysqlSource, after: Position | None) -> str:
    """What opening there, or reading on, says of the lost position."""
    with pytest.raises(PositionLost) as caught:
        await asyncio.wait_for(read_on(source, after), 20)
    assert "--reset-position" in str(caught.value)
    return str(caught.value)


async def test_resuming_at_every_position_repeats_and_loses_nothing(driver: MysqlDriver) -> None:
    async with opened(driver, None) as following:
        first = (await following.take()).position
        assert first is not None
        after_each = [(0, first)]
        whole: list[tuple[str, bytes, int]] = []
        for number in range(12):
            await driver.run(
                *(
                    [
                        "BEGIN",
                        f"INSERT INTO items VALUES ({number}, 'a', 0)",
                        "UPDATE others SET n = n + 1",
                        "COMMIT",
                    ]
                    if number % 3
                    else [
                        f"INSERT INTO others VALUES ({number}, 'b', 1)",
                        "INSERT INTO elsewhere VALUES (0, 'c', 0)",
                    ]
                    if number == 0
                    else ["TRUNCATE items", "FLUSH BINARY LOGS"]
                )
            )
            found, positions = [], []
            while not found:
                batch = await following.take()
                found += [(name, key, len(value or b"")) for name, key, value in batch.records]
                positions += [batch.position] if batch.position is not None else []
            whole += found
            after_each.append((len(whole), positions[-1]))
    last = after_each[-1][1].order
    for count, position in after_each[:-1]:
        async with opened(driver, position) as following:
            rest, _ = await read_until(following, last)
        assert rest == whole[count:]


async def test_rotation_while_tailing(driver: MysqlDriver) -> None:
    tail = new_tail()
    async with tail.running(driver.source):
        await started(driver, tail)
        for number in range(5):
            await driver.run(f"INSERT INTO items VALUES ({number}, 'a', 0)", "FLUSH BINARY LOGS")
        events = await settled(driver, tail)
    assert [event.key["id"] for event in events] == [0, 1, 2, 3, 4]
    assert len({event.value["source"]["file"] for event in events}) == 5


async def test_checksums_switched_off_and_on(driver: MysqlDriver) -> None:
    tail = new_tail()
    try:
        async with tail.running(driver.source):
            await started(driver, tail)
            for number, kind in enumerate(["NONE", "CRC32", "NONE"]):
                await driver.run(
                    f"INSERT INTO items VALUES ({number}, 'a', 0)", f"SET GLOBAL binlog_checksum = {kind}"
                )
            assert len(await settled(driver, tail)) == 3
        await driver.run("INSERT INTO items VALUES (4, 'a', 0)", "SET GLOBAL binlog_checksum = CRC32")
        async with tail.running(driver.source):
            await driver.run("INSERT INTO items VALUES (5, 'a', 0)")
            await tail.count(6)
    finally:
        await driver.run("SET GLOBAL binlog_checksum = CRC32")


async def test_a_purged_binlog_is_a_lost_position(driver: MysqlDriver) -> None:
    async with opened(driver, None) as following:
        position = (await following.take()).position
        assert position is not None
    await driver.run("INSERT INTO items VALUES (1, 'a', 0)", "FLUSH BINARY LOGS")
    *_, (file, *_) = await driver.run("SHOW BINARY LOGS")

    async def is_purged() -> bool:  # not while the server still sends it
        await driver.run("DELETE FROM items", f"PURGE BINARY LOGS TO '{file}'")
        return position.state["file"] not in [row[0] for row in await driver.run("SHOW BINARY LOGS")]

    await eventually(is_purged)
    assert "was purged" in await lost_at(source_of(target_of(driver.database)), position)

    await driver.run("INSERT INTO items VALUES (2, 'b', 0)")
    tail = new_tail()
    writer = await tail.log.writer()
    await writer.start_over(position)
    await writer.close()
    initial = Snapshots(
        "db", partial(MysqlChunks, target_of(driver.database)), ("items", "others"), ("items",)
    )
    async with tail.running(driver.source, initial, begins_anew=True) as task:
        again = await read_anew(tail, task)
    assert [(event.op, event.after["id"]) for event in again.events] == [("r", 2)]


async def test_a_binlog_begun_anew_is_a_lost_position(
    driver: MysqlDriver, throwaway_mysql: Callable[..., EmbeddedMysql]
) -> None:
    await begun_anew(driver)
    if driver.database.flavor == "mysql":
        await begun_anew(MysqlDriver(fresh(throwaway_mysql("mysql", gtid_mode="OFF"))))


async def begun_anew(driver: MysqlDriver) -> None:
    async with opened(driver, None) as following:
        await driver.run("INSERT INTO items VALUES (1, 'a', 0)")
        batch = await following.take()
        while not batch.records:
            batch = await following.take()
    reset = "RESET BINARY LOGS AND GTIDS" if driver.database.flavor == "mysql" else "RESET MASTER"
    await asyncio.sleep(1.1)  # a binlog is known by the second it was begun in
    await driver.run(reset, *(f"INSERT INTO items VALUES ({i}, 'a', 0)" for i in range(2, 100)))
    await lost_at(source_of(target_of(driver.database)), batch.position)


async def test_another_server_is_not_taken_for_ours(
    driver: MysqlDriver, throwaway_mysql: Callable[..., EmbeddedMysql]
) -> None:
    async with opened(driver, None) as following:
        await driver.run("INSERT INTO items VALUES (1, 'a', 0)")
        batch = await following.take()
        while not batch.records:
            batch = await following.take()
    assert batch.position is not None
    database = fresh(throwaway_mysql(driver.database.flavor, server_id="77"))
    MysqlDriver(database)
    await lost_at(source_of(target_of(database)), batch.position)


async def test_failover_to_a_server_with_the_same_transactions(mysql_servers: MysqlServers) -> None:
    with mysql_servers.temporary("mysql") as one, mysql_servers.temporary("mysql") as other:
        database = fresh(one)
        driver = MysqlDriver(database)
        tail = new_tail()
        async with tail.running(driver.source):
            await started(driver, tail)
            await driver.run("INSERT INTO items VALUES (1, 'a', 0)", "INSERT INTO items VALUES (2, 'a', 0)")
            await tail.count(2)
        await driver.run("INSERT INTO items VALUES (3, 'a', 0)")
        one.stop()
        other.stop()
        shutil.rmtree(other.cluster)
        shutil.copytree(one.cluster, other.cluster)
        (other.cluster / "auto.cnf").unlink()
        other.start()
        promoted = MysqlDatabase(other, database.name)
        target = target_of(promoted)
        before = tail.positions[-1].epoch
        async with tail.running(lambda _: source_of(target)):
            await tail.count(3)
        assert [event.key["id"] for event in tail.events] == [1, 2, 3]
        assert tail.positions[-1].epoch != before


async def test_a_server_comes_back(throwaway_mysql: Callable[..., EmbeddedMysql]) -> None:
    """One that was stopped is as it was; one that was killed is so only if it is crash-safe."""
    for flavor, resets in (
        ("mysql", []),
        ("mariadb", [Reset(name, "server_crashed") for name in ("items", "others")]),
    ):
        server = throwaway_mysql(flavor)
        database = fresh(server)
        driver = MysqlDriver(database)
        tail = new_tail()

        async def is_retrying(tail: Tail = tail) -> bool:
            return tail.health.state is State.RETRYING

        async with tail.running(driver.source):
            await started(driver, tail)
            await driver.run("INSERT INTO items VALUES (0, 'a', 0)", "FLUSH BINARY LOGS")
            await tail.count(1)
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        async with tail.running(driver.source):
            await driver.run("INSERT INTO items VALUES (1, 'a', 0)")
            await tail.count(2)
            assert tail.resets == []
            for number in range(2, 5):
                await driver.run(f"INSERT INTO items VALUES ({number}, 'a', 0)")
            await asyncio.to_thread(server.kill)
            await eventually(is_retrying)
            await asyncio.to_thread(server.start)
            events = await settled(driver, tail)
        assert [event.key["id"] for event in events] == list(range(5))
        assert tail.resets == resets


def test_a_server_that_does_not_flush_is_not_crash_safe(mysql_db: MysqlDatabase) -> None:
    with mysql_db.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT @@sync_binlog")
        assert cursor.fetchone() == (0,)
        assert not identify(connection).crash_safe


async def test_how_much_binlog_is_yet_to_be_read_is_told(driver: MysqlDriver) -> None:
    async with opened(driver, None) as following:
        batch = await following.take()
    assert batch.position is not None
    await driver.run("FLUSH BINARY LOGS", *(f"INSERT INTO items VALUES ({i}, 'a', 0)" for i in range(10)))
    metrics = Metrics(CollectorRegistry()).database("db")
    source = MysqlSource(target_of(driver.database), metrics)

    async def is_told() -> bool:
        return metrics.source_lag._value.get() > 1_000

    following = await source.open(batch.position)
    await eventually(is_told)
    await following.close()


async def test_a_silent_server_is_given_up(driver: MysqlDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "SILENCE_S", 2.5)
    async with Proxy(("127.0.0.1", driver.database.server.port)) as proxy:
        target = replace(target_of(driver.database), port=proxy.port)
        reading = asyncio.create_task(read_on(source_of(target), None))
        while not proxy.connections:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        proxy.stall()
        with pytest.raises(SourceUnavailable, match="nothing heard"):
            await asyncio.wait_for(reading, 20)


async def test_two_replicas_with_one_number(driver: MysqlDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """MySQL tells us apart all the same; MariaDB ends the older stream, which then comes back with another number."""
    monkeypatch.setattr(dump, "_server_id", lambda: 4_000_000_000)
    tail = new_tail()
    async with tail.running(driver.source):
        await started(driver, tail)
        async with opened(driver, None):
            monkeypatch.undo()
            await driver.run("INSERT INTO items VALUES (1, 'a', 0)")
            assert len(await settled(driver, tail)) == 1


XA_PREPARE = (
    "XA START 'x'",
    "INSERT INTO items VALUES (1, 'a', 0)",
    "UPDATE items SET n = 2 WHERE id = 1",
    "XA END 'x'",
)


async def test_xa_transactions_are_told_by_their_outcome(driver: MysqlDriver) -> None:
    tail = new_tail()
    async with tail.running(driver.source):
        await started(driver, tail)
        await driver.run(*XA_PREPARE, "XA PREPARE 'x'")
        await driver.run("INSERT INTO items VALUES (2, 'b', 0)")
        await outcome(driver, "XA COMMIT 'x'")
        await driver.run(
            "XA START 'y'", "DELETE FROM items", "XA END 'y'", "XA PREPARE 'y'", "XA ROLLBACK 'y'"
        )
        await driver.run(
            "XA START 'z'", "DELETE FROM items WHERE id = 2", "XA END 'z'", "XA COMMIT 'z' ONE PHASE"
        )
        events = await settled(driver, tail)
    assert [(event.op, event.key["id"]) for event in events] == [("c", 2), ("c", 1), ("u", 1), ("d", 2)]
    assert [event.transaction["total_order"] for event in events] == [1, 1, 2, 1]
    assert tail.resets == []


async def test_xa_transactions_outlive_tailer_and_server(
    throwaway_mysql: Callable[..., EmbeddedMysql],
) -> None:
    for flavor in ("mysql", "mariadb"):
        server = throwaway_mysql(flavor)
        database = fresh(server)
        driver = MysqlDriver(database)
        tail = new_tail()
        async with tail.running(driver.source):
            await started(driver, tail)
            await driver.run(*XA_PREPARE, "XA PREPARE 'x'")
            await driver.run("INSERT INTO items VALUES (2, 'b', 0)")
            await tail.count(1)
        assert tail.positions[-1].state["xa"]
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        async with tail.running(driver.source):
            await driver.run("INSERT INTO items VALUES (3, 'b', 0)")
            await tail.count(2)
        await outcome(driver, "XA COMMIT 'x'")
        async with tail.running(driver.source):
            events = await settled(driver, tail)
        assert [(event.op, event.key["id"]) for event in events] == [
            ("c", 2),
            ("c", 3),
            ("c", 1),
            ("u", 1),
        ]
        assert {reset.reason for reset in tail.resets} == (set() if flavor == "mysql" else {"server_crashed"})
        assert "xa" not in tail.positions[-1].state


async def test_an_xa_transaction_prepared_before_the_beginning(driver: MysqlDriver) -> None:
    await driver.run(*XA_PREPARE, "XA PREPARE 'x'")
    tail = new_tail()
    async with tail.running(driver.source):
        await started(driver, tail)
        await outcome(driver, "XA COMMIT 'x'")
        assert await settled(driver, tail) == []
    assert {(reset.collection, reset.reason) for reset in tail.resets} == {
        ("items", "rows_unknown"),
        ("others", "rows_unknown"),
    }


async def test_memory_is_bounded_whatever_the_transaction(driver: MysqlDriver) -> None:
    count = 200_000
    await driver.run("INSERT INTO others VALUES (0, REPEAT('x', 100), 0)")
    for _ in range(18):
        await driver.run("INSERT INTO others SELECT id + (SELECT COUNT(*) FROM others), name, n FROM others")
    async with opened(driver, None) as following:
        await driver.run(f"INSERT INTO items SELECT * FROM others LIMIT {count}")
        records, largest = 0, 0
        while records < count:
            batch = await following.take()
            records += len(batch.records)
            largest = max(largest, sum(len(value or b"") for _, _, value in batch.records))
    assert largest < 4 << 20
