"""Tables of MySQL and MariaDB read into the log while they are written: what a follower ends with is the table."""

from __future__ import annotations

import asyncio
import random
from functools import partial

import pytest

from cdc.mysql.chunks import MysqlChunks
from cdc.snapshot import stream as snapshot_stream
from cdc.snapshot.snapshots import Snapshots
from integration.mysql_driver import MysqlDriver, target_of
from servers.mysql import MysqlDatabase
from support.semi_sync import committing
from support.snapshots import Gate, assert_read_whole, followed, is_read, reading
from support.tail import Tail, new_tail

MARK = 999_999_999


@pytest.fixture
def driver(each_mysql_db: MysqlDatabase) -> MysqlDriver:
    return MysqlDriver(each_mysql_db)


def snapshots(driver: MysqlDriver, *initial: str, live: tuple[str, ...] = ("items", "others")) -> Snapshots:
    return Snapshots("db", partial(MysqlChunks, target_of(driver.database, *live)), live, initial)


async def fill(driver: MysqlDriver, rows: int) -> None:
    values = ", ".join(f"({number * 10}, REPEAT('x', 150), 0)" for number in range(1, rows + 1))
    await driver.run(f"INSERT INTO items VALUES {values}")


async def write(driver: MysqlDriver, chance: random.Random, until: asyncio.Event) -> None:
    """Random statements all over the table; keys move up and down, over the place that is read."""
    number = 0
    while not until.is_set():
        low = chance.randrange(20_000)
        number += 1
        statements = [
            f"UPDATE items SET n = n + 1 WHERE id BETWEEN {low} AND {low + 500}",
            f"DELETE FROM items WHERE id BETWEEN {low} AND {low + 100}",
            f"INSERT IGNORE INTO items VALUES ({low}, 'new', 1), ({low + 1}, 'new', 1), ({low + 15}, 'new', 2)",
            f"UPDATE items SET id = id + {number} * 30001 WHERE id BETWEEN {low} AND {low + 50}",
            f"UPDATE items SET id = -id WHERE id BETWEEN {low} AND {low + 30} AND id > 30000",
        ]
        await driver.run(*chance.sample(statements, 2))


async def mark(driver: MysqlDriver, tail: Tail) -> None:
    """All that was written before is in the tail."""
    await driver.run(f"INSERT INTO others VALUES ({MARK}, '', 0)")
    await tail.key("others", {"id": MARK})


async def written_meanwhile(driver: MysqlDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read a table into the log while it is written. (`test_mysql_source` has the kinds of servers for it.)"""
    monkeypatch.setattr(snapshot_stream, "CHUNK_BYTES", 20_000)
    await fill(driver, 2000)
    tail, done = new_tail(), asyncio.Event()
    async with tail.running(driver.source, snapshots(driver, "items")):
        writing = asyncio.create_task(write(driver, random.Random(1), done))
        await tail.until(is_read)
        done.set()
        await writing
        await mark(driver, tail)
    assert_read_whole(tail, await driver.documents("items"))


async def test_a_commit_that_the_binlog_shows_before_a_read_does(driver: MysqlDriver) -> None:
    """Semi-synchronous replication to nobody: the stream has what no session sees."""
    await driver.run("INSERT INTO items VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)")
    tail, wanted = new_tail(), snapshots(driver)
    async with tail.running(driver.source, wanted):
        await tail.until(lambda tail: bool(tail.positions))
        statements = (
            "BEGIN",
            "UPDATE items SET n = 1 WHERE id = 1",
            "DELETE FROM items WHERE id = 2",
            "INSERT INTO items VALUES (4, 'd', 0)",
            "COMMIT",
        )
        with committing(driver.database, *statements):
            await tail.count(3)
            wanted.begin("items")
            await tail.until(is_read)
            assert [document["id"] for document in await driver.documents("items")] == [1, 2, 3]
    assert [event.key for event in tail.events if event.op == "r"] == [{"id": 3}]
    assert sorted(followed(tail).rows) == [(1,), (3,), (4,)]
    assert followed(tail).rows[1,]["n"] == 1


KEYS = [
    (
        "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        "CONCAT(CHAR(97 + {i} % 7), '''ä\\\\', {i})",
    ),
    ("VARCHAR(20) CHARACTER SET latin1", "CONCAT('Ä', {i})"),
    ("VARBINARY(20)", "CONCAT(x'00ff27', {i})"),
    ("BINARY(4)", "{i}"),
    ("ENUM('z', 'a', 'm')", "1 + {i} % 3"),
    ("DECIMAL(10, 3)", "{i} / 7 - 3"),
    ("DOUBLE", "{i} / 7 * 1e12"),
    ("FLOAT", "{i} / 7"),
    ("BIGINT UNSIGNED", "18446744073709551615 - {i}"),
    ("BIT(40)", "{i} * 1000000"),
    ("DATETIME(6)", "TIMESTAMP('2020-01-01 00:00:00.000001') + INTERVAL {i} MICROSECOND"),
    ("TIMESTAMP", "TIMESTAMP('2020-01-01') + INTERVAL {i} HOUR"),
    ("TIME(2)", "SEC_TO_TIME({i} * -100.25)"),
    ("DATE", "DATE('1999-12-25') + INTERVAL {i} DAY"),
    ("YEAR", "1980 + {i}"),
]


async def test_keys_of_every_kind(driver: MysqlDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each as the first column of a key, read by chunks of a few rows; the values are those of the stream."""
    monkeypatch.setattr(snapshot_stream, "CHUNK_BYTES", 1)
    monkeypatch.setattr("cdc.mysql.chunks._FIRST_ROWS", 7)
    names = [f"keys{number}" for number in range(len(KEYS))]
    await driver.run(
        *(
            f"CREATE TABLE {n} (k {kind}, i INT, PRIMARY KEY (k, i))"
            for n, (kind, _) in zip(names, KEYS, strict=True)
        )
    )
    live = (*names, "others")
    tail, wanted = new_tail("i"), snapshots(driver, live=live)
    async with tail.running(driver.following(*live), wanted):
        await tail.until(lambda tail: bool(tail.positions))
        for name, (_, value) in zip(names, KEYS, strict=True):
            rows = ", ".join(f"({value.format(i=i)}, {i})" for i in range(20))
            await driver.run(f"INSERT INTO {name} VALUES {rows}")
        streamed = {(e.collection, str(e.key)): e for e in await tail.count(20 * len(KEYS))}
        assert len(streamed) == 20 * len(KEYS)
        for name in names:
            wanted.begin(name)
        await tail.until(lambda tail: all(reading(tail, name).get("done") for name in names))
    read = {(e.collection, str(e.key)): e for e in tail.events if e.op == "r"}
    assert len([event for event in tail.events if event.op == "r"]) == len(read)
    assert read.keys() == streamed.keys()
    for place, event in read.items():
        assert event.after == streamed[place].after
        assert event.value.get("types") == streamed[place].value.get("types")


async def test_one_that_is_not_there_and_other_columns(
    driver: MysqlDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_stream, "CHUNK_BYTES", 10_000)
    await fill(driver, 1000)
    live = ("missing", "items", "others")
    tail, gate = new_tail(), Gate(partial(MysqlChunks, target_of(driver.database, *live)))
    async with tail.running(driver.following(*live), Snapshots("db", gate, live, ("items", "missing"))):
        await tail.until(lambda tail: reading(tail).get("rows", 0) > 50)
        await driver.run("ALTER TABLE items ADD extra INT DEFAULT 7", "UPDATE items SET n = 1 WHERE id = 10")
        await tail.until(lambda tail: bool(tail.resets))
        gate.open.set()
        await tail.until(is_read)
        assert not reading(tail, "missing")["done"]
        await driver.run("CREATE TABLE missing (id INT PRIMARY KEY)", "INSERT INTO missing VALUES (1)")
        await tail.until(lambda tail: bool(reading(tail, "missing").get("done")))
    last = {event.key["id"]: event.after for event in tail.events if event.collection == "items"}
    assert len(last) == 1000
    assert {row["extra"] for row in last.values()} == {7}
