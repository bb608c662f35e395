"""From a row to a live query's client: everything in one process, on real servers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pymysql

from broadcaster.demo.mysql import EmbeddedMysql
from servers.mysql import MysqlDatabase
from support.live import PATIENCE_S, dev, until
from support.semi_sync import committing
from support.tail import eventually

TODOS = "CREATE TABLE todos (id int PRIMARY KEY, title varchar(40), done boolean, n int)"


async def test_rows_enter_change_and_leave(each_mysql_db: MysqlDatabase, tmp_path: Path) -> None:
    db = each_mysql_db
    db.execute(TODOS, "INSERT INTO todos VALUES (1, 'a', false, 1)")
    async with dev("db", db.url, tmp_path, "todos") as client:
        live = client.live_query("db", "todos", {"done": False})
        initial = await anext(live)
        first = {"id": 1, "title": "a", "done": False, "n": 1}
        assert (initial.type, initial.docs) == ("initial", [first])
        db.execute(
            "INSERT INTO todos VALUES (2, 'own', false, 1)", "INSERT INTO todos VALUES (3, 'c', true, 1)"
        )
        db.execute("UPDATE todos SET done = false WHERE id = 3", "UPDATE todos SET title = 'b' WHERE id = 2")
        db.execute("UPDATE todos SET done = true WHERE id = 1", "DELETE FROM todos WHERE id = 3")
        db.execute("UPDATE todos SET id = 20 WHERE id = 2")
        changes = [await anext(live) for _ in range(7)]
        assert [(change.type, change.find["id"]) for change in changes] == [
            ("insert", 2),
            ("insert", 3),
            ("update", 2),
            ("delete", 1),
            ("delete", 3),
            ("delete", 2),
            ("insert", 20),
        ]
        by_id = client.live_query("db", "todos", {"id": 1})
        assert (await anext(by_id)).docs == [first | {"done": True}]


async def test_a_transaction_is_one_frame(each_mysql_db: MysqlDatabase, tmp_path: Path) -> None:
    each_mysql_db.execute(TODOS)
    async with dev("db", each_mysql_db.url, tmp_path, "todos") as client:
        live = client.live_query("db", "todos")
        await anext(live)
        each_mysql_db.execute(
            "BEGIN", "INSERT INTO todos (id) VALUES (1), (2), (3)", "UPDATE todos SET n = 1", "COMMIT"
        )
        changes = [await anext(live) for _ in range(6)]
        assert [len(change.docs) for change in changes] == [3] * 6


async def test_truncate_and_ddl(each_mysql_db: MysqlDatabase, tmp_path: Path) -> None:
    """Live queries are emptied or start over."""
    db = each_mysql_db
    db.execute("CREATE TABLE todos (id int PRIMARY KEY)", "INSERT INTO todos VALUES (1)")
    async with dev("db", db.url, tmp_path, "todos") as client:
        live = client.live_query("db", "todos")
        assert (await anext(live)).docs == [{"id": 1}]
        db.execute("TRUNCATE TABLE todos")
        await until(live, lambda docs: docs == [])
        db.execute("INSERT INTO todos VALUES (2)")
        await until(live, lambda docs: docs == [{"id": 2}])
        db.execute("ALTER TABLE todos ADD COLUMN n int NOT NULL DEFAULT 7")
        assert "reset" in await until(live, lambda docs: docs == [{"id": 2, "n": 7}])
        db.execute("INSERT INTO todos VALUES (3, 8)")
        await until(live, lambda docs: docs == [{"id": 2, "n": 7}, {"id": 3, "n": 8}])
        db.execute("DROP TABLE todos", TODOS, "INSERT INTO todos (id) VALUES (4)")
        new = {"id": 4, "title": None, "done": None, "n": None}
        assert "reset" in await until(live, lambda docs: docs == [new])


async def test_many_readers_join_while_it_is_written_to(each_mysql_db: MysqlDatabase, tmp_path: Path) -> None:
    """Snapshots and the stream meet, whatever is written meanwhile: each result ends as the database is."""
    db = each_mysql_db
    db.execute(TODOS)

    def write(seed: int) -> None:
        chance = random.Random(seed)
        with db.connect() as connection, connection.cursor() as cursor:
            for number in range(300):
                id_ = 100 * seed + chance.randint(0, 30)
                if chance.random() < 0.3:
                    cursor.execute(f"DELETE FROM todos WHERE id = {id_}")
                else:
                    cursor.execute(f"REPLACE INTO todos (id, n, done) VALUES ({id_}, {number}, {number % 2})")

    async with dev("db", db.url, tmp_path, "todos") as client:
        writing = asyncio.gather(*(asyncio.to_thread(write, seed) for seed in (1, 2, 3)))
        lives = []
        while not writing.done():
            lives.append(client.live_query("db", "todos", {"done": True}))
            await anext(lives[-1])
        await writing
        db.execute("INSERT INTO todos (id, done) VALUES (-1, true)")
        rows = db.execute("SELECT id, n FROM todos WHERE done = 1")
        expected = sorted((id_, n) for id_, n in rows)
        for live in lives:
            await until(live, lambda docs: any(doc["id"] == -1 for doc in docs))
            assert sorted((doc["id"], doc["n"]) for doc in live.docs) == expected


async def test_the_overlay_closes_the_gap_between_binlog_and_engine(
    each_mysql_db: MysqlDatabase, tmp_path: Path
) -> None:
    """The stream has an insert, an update and a delete that no session sees yet, nor does a new live query's snapshot;
    its initial result has them all the same, since everyone before was told of them."""
    db = each_mysql_db
    db.execute(TODOS, "INSERT INTO todos (id, n) VALUES (1, 1), (2, 1)")
    changes = [
        "BEGIN", "UPDATE todos SET n = 2 WHERE id = 1", "DELETE FROM todos WHERE id = 2",
        "INSERT INTO todos (id, n) VALUES (3, 2)", "COMMIT",
    ]  # fmt: skip
    after = [(1, 2), (3, 2)]
    async with dev("db", db.url, tmp_path, "todos") as client:
        old = client.live_query("db", "todos")
        await anext(old)
        with committing(db, *changes):
            await until(old, lambda docs: sorted((doc["id"], doc["n"]) for doc in docs) == after)
            assert db.execute("SELECT id, n FROM todos") == [(1, 1), (2, 1)]
            new = client.live_query("db", "todos")
            assert sorted((doc["id"], doc["n"]) for doc in (await anext(new)).docs) == after
        db.execute("INSERT INTO todos (id, n) VALUES (4, 4)")
        change = await anext(new)
        assert (change.type, change.find) == ("insert", {"id": 4})


async def test_sigkill_of_the_database(
    mysql_server: EmbeddedMysql, throwaway_mysql: Callable[..., EmbeddedMysql], tmp_path: Path
) -> None:
    server = throwaway_mysql(
        mysql_server.installation.flavor, sync_binlog="1", innodb_flush_log_at_trx_commit="1"
    )
    with server.connect() as admin, admin.cursor() as cursor:
        cursor.execute("CREATE DATABASE app")
    db = MysqlDatabase(server, "app")
    db.execute(TODOS, "INSERT INTO todos (id, n) VALUES (1, 0)")
    async with dev("db", db.url, tmp_path, "todos") as client:
        live = client.live_query("db", "todos")
        await until(live, lambda docs: [doc["n"] for doc in docs] == [0])
        for round_ in range(1, 3):
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)

            async def write(n: int = round_) -> bool:
                try:
                    await asyncio.to_thread(db.execute, f"UPDATE todos SET n = {n}")
                except pymysql.MySQLError:
                    return False
                return True

            await eventually(write)
            seen = await until(live, lambda docs, n=round_: [doc["n"] for doc in docs] == [n])  # type: ignore[misc]
            if server.installation.flavor == "mysql":
                assert seen == ["update"]
            else:  # not crash-safe; what differs is told behind the reset, and may be left from the round before
                assert set(seen) in ({"reset"}, {"reset", "update"})


async def test_a_new_live_query_on_an_idle_server(each_mysql_db: MysqlDatabase, tmp_path: Path) -> None:
    """Nothing need be written for the stream to reach where a read stands, not even after the binlog was rotated."""
    each_mysql_db.execute(TODOS)
    async with dev("db", each_mysql_db.url, tmp_path, "todos") as client:
        assert (await anext(client.live_query("db", "todos"))).docs == []
        each_mysql_db.execute("FLUSH BINARY LOGS")
        async with asyncio.timeout(PATIENCE_S):
            assert (await anext(client.live_query("db", "todos", {"n": 1}))).docs == []


async def test_a_result_read_after_a_reset_has_what_the_reset_is_about(
    each_mysql_db: MysqlDatabase, tmp_path: Path
) -> None:
    """The stream tells of rows that it cannot give while no session sees the change yet: who starts over then waits."""
    db = each_mysql_db
    db.execute(TODOS, "INSERT INTO todos (id, n) VALUES (1, 1), (2, 1)")
    changes = ["SET SESSION binlog_row_image = MINIMAL", "DELETE FROM todos WHERE id = 2"]
    async with dev("db", db.url, tmp_path, "todos") as client:
        old = client.live_query("db", "todos")
        await anext(old)
        with committing(db, *changes):
            await asyncio.sleep(1)  # enough to be told, and to read what is there still
        await until(old, lambda docs: [doc["id"] for doc in docs] == [1])


async def test_without_gtids_a_reset_ends_what_is_laid_over_a_result(
    throwaway_mysql: Callable[..., EmbeddedMysql], tmp_path: Path
) -> None:
    """What a read shows is not known there to the second; what the log has from before a reset counts no more."""
    server = throwaway_mysql("mysql", gtid_mode="OFF")
    with server.connect() as admin, admin.cursor() as cursor:
        cursor.execute("CREATE DATABASE app")
    db = MysqlDatabase(server, "app")
    db.execute(TODOS)
    async with dev("db", db.url, tmp_path, "todos") as client:
        old = client.live_query("db", "todos")
        await anext(old)
        db.execute(
            "INSERT INTO todos (id, n) VALUES (1, 1), (2, 1)",
            "ALTER TABLE todos ADD COLUMN m int NOT NULL DEFAULT 7",
            "SET SESSION binlog_row_image = MINIMAL",
            "DELETE FROM todos WHERE id = 2",
        )
        await until(old, lambda docs: [(doc["id"], doc.get("m")) for doc in docs] == [(1, 7)])
        new = client.live_query("db", "todos", {"n": 1})
        assert [(doc["id"], doc.get("m")) for doc in (await anext(new)).docs] == [(1, 7)]
