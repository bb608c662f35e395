"""Tables read into the log while they are written: what a follower ends with is the table."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from broadcaster.demo.postgres import EmbeddedPostgres
from cdc.errors import SourceUnavailable
from cdc.event import Reset
from cdc.log.embedded import EmbeddedLog
from cdc.postgres.chunks import PostgresChunks
from cdc.snapshot import stream as snapshot_stream
from cdc.snapshot.snapshots import Snapshots
from integration.conformance import Delete, Update, one
from integration.test_postgres_source import PostgresDriver
from servers.postgres import Database
from support.snapshots import Gate, assert_read_whole, followed, is_read, read_anew, reading
from support.tail import Tail, eventually, new_tail
from support.tailer_process import TailerProcess

MARK = 999_999_999


@pytest.fixture
async def driver(postgres_db: Database) -> PostgresDriver:
    found = PostgresDriver(postgres_db.url, postgres_db.name)
    await found.prepare()
    return found


def snapshots(
    driver: PostgresDriver, *initial: str, live: tuple[str, ...] = ("items", "others")
) -> Snapshots:
    return Snapshots("db", partial(PostgresChunks, driver.target(*live)), live, initial)


async def fill(driver: PostgresDriver, rows: int) -> None:
    await driver.execute(
        f"INSERT INTO items SELECT i * 10, repeat('x', 500), 0 FROM generate_series(1, {rows}) i"
    )


async def write(driver: PostgresDriver, chance: random.Random, until: asyncio.Event) -> None:
    """Random statements all over the table, of all kinds; keys move up and down, over the place that is read."""
    free = "AND NOT EXISTS (SELECT FROM items other WHERE other.id = items.id"
    while not until.is_set():
        low = chance.randrange(20_000)
        statements = [
            f"UPDATE items SET n = n + 1 WHERE id BETWEEN {low} AND {low + 500}",
            f"DELETE FROM items WHERE id BETWEEN {low} AND {low + 100}",
            f"INSERT INTO items SELECT {low} + i, 'new', 1 FROM generate_series(0, 60) i ON CONFLICT DO NOTHING",
            f"UPDATE items SET id = id + 30001 WHERE id BETWEEN {low} AND {low + 50} {free} + 30001)",
            f"UPDATE items SET id = id - 30001 WHERE id BETWEEN 30001 AND 30001 + {low // 40} {free} - 30001)",
        ]
        await driver.execute(*chance.sample(statements, 2))


async def mark(driver: PostgresDriver, tail: Tail) -> None:
    """All that was written before is in the tail."""
    await driver.execute(f"INSERT INTO others VALUES ({MARK})")
    await tail.key("others", {"id": MARK})


async def test_a_table_that_is_written_meanwhile(
    driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_stream, "CHUNK_BYTES", 60_000)
    await fill(driver, 2000)
    tail, done = new_tail(), asyncio.Event()
    async with tail.running(driver.source, snapshots(driver, "items")):
        writing = asyncio.create_task(write(driver, random.Random(1), done))
        await tail.until(is_read)
        done.set()
        await writing
        await mark(driver, tail)
    assert_read_whole(tail, await driver.documents("items"))


async def test_a_killed_tailer_goes_on_with_the_next_chunk(driver: PostgresDriver, tmp_path: Path) -> None:
    await fill(driver, 14_000)
    config = f"""
id: todo-app
modules:
  crud:
    db:
      type: postgres
      conn: {driver.url}
      slot: {driver.target().slot}
      collections:
        items: {{isRealtimeEnabled: true, snapshot: initial}}
        others: {{isRealtimeEnabled: true}}
"""
    tailer = TailerProcess.start(tmp_path, config)
    log, done = EmbeddedLog(tmp_path / "log", "db"), asyncio.Event()
    tail = Tail(log)
    writing = asyncio.create_task(write(driver, random.Random(3), done))
    try:
        for chunks in (1, 3):
            await tail.until(lambda tail, most=chunks: reading(tail).get("rows", 0) > most * 1000)
            assert not is_read(tail)
            await asyncio.to_thread(tailer.kill)
            tailer = TailerProcess.start(tmp_path, config)
        await tail.until(is_read)
        done.set()
        await writing
        await mark(driver, tail)
    finally:
        done.set()
        await asyncio.to_thread(tailer.kill)
        await log.close()
    follower = followed(tail)
    assert list(map(follower.rows.get, sorted(follower.rows))) == await driver.documents("items")
    keys = [event.key["id"] for event in tail.events if event.op == "r"]
    assert len(keys) == len(set(keys))


async def test_what_is_read_is_what_the_stream_says(driver: PostgresDriver) -> None:
    await driver.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'ok')",
        'CREATE TABLE kinds (a text COLLATE "C", "B c" numeric(10, 3), d timestamptz, f float8, j jsonb, m mood[], '
        'big bigint, raw bytea, PRIMARY KEY ("B c", a))',
    )
    live = ("kinds", "others")
    tail, wanted = new_tail(), snapshots(driver, live=live)
    async with tail.running(driver.following(*live), wanted):
        await tail.until(lambda tail: bool(tail.positions))
        await driver.execute(
            "INSERT INTO kinds SELECT chr(100 + i % 7) || '''\\', i / 3.0, now(), "
            "CASE i WHEN 5 THEN 'NaN'::float8 ELSE i END, "
            "'{\"a\": [1, null]}', '{sad,NULL}', 9007199254740993 + i, '\\x00ff' FROM generate_series(1, 50) i"
        )
        streamed = {str(event.key): event for event in await tail.count(50)}
        assert wanted.begin("kinds").rows == 0
        await tail.until(lambda tail: bool(reading(tail, "kinds").get("done")))
    read = tail.events[50:]
    assert [event.op for event in read] == ["r"] * 50
    for event in read:
        first = streamed[str(event.key)]
        assert (event.after, event.value["types"]) == (first.after, first.value["types"])
        assert event.value["source"].keys() >= {
            "version",
            "connector",
            "name",
            "ts_ms",
            "db",
            "schema",
            "table",
            "lsn",
        }
    assert [event.value["source"]["snapshot"] for event in read] == ["true"] * 49 + ["last"]


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_commit_that_the_log_shows_before_a_read_does(
    throwaway_postgres: Callable[..., EmbeddedPostgres], restarted: bool
) -> None:
    """Synchronous replication with no standby: nobody sees what the stream has already, maybe since an earlier run."""
    driver = PostgresDriver(throwaway_postgres().url, "own")
    await driver.prepare()
    await driver.execute("INSERT INTO items VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0)")
    tail, wanted = new_tail(), snapshots(driver)
    async with AsyncExitStack() as first:
        await first.enter_async_context(tail.running(driver.source, wanted))
        await tail.until(lambda tail: bool(tail.positions))
        await driver.execute(
            "ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()"
        )
        await eventually(
            lambda: driver.finds("SELECT WHERE current_setting('synchronous_standby_names') = 'nobody'")
        )
        hidden = asyncio.create_task(
            driver.transaction(Update("items", {"n": 1}, id=1), Delete("items", 2), one("items", 4))
        )
        try:
            await tail.count(3)
            if restarted:
                await first.aclose()
            async with tail.running(driver.source, wanted) if restarted else nullcontext():
                await eventually(partial(begun, wanted))
                await tail.until(is_read)
                assert not hidden.done()
                assert [document["id"] for document in await driver.documents("items")] == [1, 2, 3]
        finally:
            hidden.cancel()
    assert [event.key for event in tail.events if event.op == "r"] == [{"id": 3}]
    assert sorted(followed(tail).rows) == [(1,), (3,), (4,)]
    assert followed(tail).rows[1,]["n"] == 1


async def begun(wanted: Snapshots) -> bool:
    """Whether a stream is there to be asked; it is asked then."""
    try:
        wanted.begin("items")
    except SourceUnavailable:
        return False
    return True


async def test_an_empty_table_and_one_that_is_not_there(driver: PostgresDriver) -> None:
    live = ("missing", "items", "others")
    tail = new_tail()
    async with tail.running(driver.following(*live), snapshots(driver, "missing", "items", live=live)):
        await tail.until(is_read)
        assert not reading(tail, "missing")["done"]
        await driver.execute("CREATE TABLE missing (id int PRIMARY KEY)", "INSERT INTO missing VALUES (1)")
        await tail.until(lambda tail: bool(reading(tail, "missing").get("done")))
    assert [(event.collection, event.op, event.key) for event in tail.events if event.op == "r"] == [
        ("missing", "r", {"id": 1})
    ]


async def test_other_columns_begin_the_reading_anew(
    driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_stream, "CHUNK_BYTES", 20_000)
    await fill(driver, 1000)
    tail, gate = new_tail(), Gate(partial(PostgresChunks, driver.target()))
    async with tail.running(driver.source, Snapshots("db", gate, ("items", "others"), ("items",))):
        await driver.execute("UPDATE items SET n = 0 WHERE id = 10")
        await tail.until(lambda tail: reading(tail).get("rows", 0) > 50)
        await driver.execute("ALTER TABLE items ADD extra int DEFAULT 7")
        await tail.until(lambda tail: bool(tail.resets))
        gate.open.set()
        await tail.until(is_read)
    assert Reset("items", "columns_changed") in tail.resets
    assert all(row["extra"] == 7 for row in followed_since_reset(tail).values())
    assert len(followed_since_reset(tail)) == 1000


def followed_since_reset(tail: Tail) -> dict[Any, Any]:
    """The rows read last of each key."""
    return {event.key["id"]: event.after for event in tail.events if event.op == "r"}


async def test_truncated_in_the_midst(driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_stream, "CHUNK_BYTES", 20_000)
    await fill(driver, 1000)
    tail, gate = new_tail(), Gate(partial(PostgresChunks, driver.target()))
    async with tail.running(driver.source, Snapshots("db", gate, ("items", "others"), ("items",))):
        await tail.until(lambda tail: reading(tail).get("rows", 0) > 50)
        await driver.execute("TRUNCATE items", "INSERT INTO items VALUES (5, 'low', 0), (99999, 'high', 0)")
        gate.open.set()
        await tail.until(is_read)
        await mark(driver, tail)
    assert sorted(followed(tail).rows) == [(5,), (99999,)]


async def test_a_lost_slot_is_answered_with_a_new_log_and_snapshot(driver: PostgresDriver) -> None:
    await fill(driver, 300)
    tail, wanted = new_tail(), snapshots(driver, "items")
    async with tail.running(driver.source, wanted, begins_anew=True):
        await tail.until(is_read)
    await driver.execute(
        f"SELECT pg_drop_replication_slot('{driver.target().slot}')", "DELETE FROM items WHERE id > 1000"
    )
    async with tail.running(driver.source, wanted, begins_anew=True) as task:
        again = await read_anew(tail, task)
    assert len(followed(again).rows) == 100
