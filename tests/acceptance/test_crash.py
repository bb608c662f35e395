"""Cursors from before, and the races that a snapshot must win: one small script each. (SIGKILL: `test_sigkill.py`.)"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psycopg
import pytest
from plain_http import PlainStream, get, post
from processes import Process, running, write_config

from broadcaster.demo.postgres import EmbeddedPostgres
from servers.postgres import Database, connect

OPEN = {"done": False}
TODOS = "CREATE TABLE todos (id int PRIMARY KEY, title text, done bool NOT NULL DEFAULT false)"

Server = Callable[..., EmbeddedPostgres]


@dataclass
class Site:
    """A database with a table `todos`, its tailer and its broadcaster."""

    url: str
    tailer: Process
    broadcaster: Process
    log_dir: Path

    @property
    def api(self) -> str:
        return self.broadcaster.url

    async def commit(self, *statements: str) -> str:
        """One transaction; returns its id."""
        async with await connect(self.url) as connection:
            return await transact(connection, *statements)

    async def todos(self) -> dict[str, Any]:
        """The database's own answer: the open ones."""
        async with await connect(self.url) as connection:
            cursor = await connection.execute("SELECT id, title, done FROM todos WHERE NOT done")
            return {
                str(id_): {"id": id_, "title": title, "done": done}
                for id_, title, done in await cursor.fetchall()
            }


async def transact(connection: psycopg.AsyncConnection[Any], *statements: str) -> str:
    async with connection.transaction():
        ((tx,),) = await (await connection.execute("SELECT pg_current_xact_id()::text")).fetchall()
        for statement in statements:
            await connection.execute(statement.encode())
    return str(tx)


@asynccontextmanager
async def site(url: str, folder: Path, limits: dict[str, Any] | None = None) -> AsyncIterator[Site]:
    async with await connect(url) as connection:
        await connection.execute(TODOS)
    realtime = {"heartbeat": "1s", **({} if limits is None else {"limits": limits})}
    config = write_config(folder / "livetail.yaml", url, ["todos"], realtime)
    log_dir = folder / "log"
    tailer, broadcaster = Process("cdc", config, log_dir), Process("broadcaster", config, log_dir)
    async with running(tailer, broadcaster):
        yield Site(url, tailer, broadcaster, log_dir)


@pytest.fixture
async def shared(postgres_db: Database, tmp_path: Path) -> AsyncIterator[Site]:
    """On the shared server: not to be killed."""
    async with site(postgres_db.url, tmp_path) as made:
        yield made


@pytest.fixture
async def own(throwaway_postgres: Server, tmp_path: Path) -> AsyncIterator[Site]:
    """On a server of its own."""
    async with site(throwaway_postgres().url, tmp_path) as made:
        yield made


async def started(stream: PlainStream, rows: int) -> None:
    """The initial result has come, and is whole."""
    await stream.until(lambda: stream.named("ready"))
    assert stream.names == ["initial", "ready"]
    assert stream.named("ready")[0].data["count"] == rows == len(stream.rows())


async def test_a_cursor_in_the_midst_of_what_was_missed(shared: Site) -> None:
    """Every frame's cursor resumes right after it."""
    async with get(shared.api) as first:
        await started(first, 0)
        written = [await shared.commit(f"INSERT INTO todos VALUES ({number})") for number in range(8)]
        await first.until(lambda: first.transactions == written)
    for number, shown in enumerate(first.named("diff"), 1):
        async with get(shared.api, cursor=shown.id) as again:
            await again.until(lambda again=again: again.named("ready"))
            assert again.transactions == written[number:]


async def test_one_cursor_for_all_live_queries_of_a_stream(shared: Site) -> None:
    wheres = {"open": OPEN, "all": {}, "none": {"id": -1}}
    async with post(shared.api, wheres) as stream:
        await stream.until(lambda: len(stream.named("ready")) == 3)
        tx = await shared.commit("INSERT INTO todos VALUES (1, 'a', false), (2, 'b', true)")
        await stream.until(lambda: len(stream.transactions) == 2)
        assert [shown.data["id"] for shown in stream.named("diff")] in (["open", "all"], ["all", "open"])
        assert [shown.id is None for shown in stream.named("diff")] == [True, False]
        assert sorted(shown.data["id"] for shown in stream.named("ready")) == sorted(wheres)
    missed = await shared.commit("UPDATE todos SET done = NOT done")
    async with post(shared.api, wheres, stream.cursor) as again:
        await again.until(lambda: len(again.named("ready")) == 3 and len(again.transactions) == 2)
        assert again.transactions == [missed, missed] != [tx, tx]
        assert again.rows(stream.rows(query="open"), "open") == await shared.todos()


async def test_a_table_made_anew_comes_back_on_the_same_stream(shared: Site) -> None:
    await shared.commit("INSERT INTO todos VALUES (1, 'old')")
    async with get(shared.api, OPEN) as stream:
        await started(stream, 1)
        await shared.commit("ALTER TABLE todos RENAME TO gone")
        await stream.until(lambda: stream.named("error"))
        error = stream.named("error")[0].data
        assert (error["code"], error["retryable"]) == ("database_unavailable", True)
        await shared.commit(
            "CREATE TABLE todos (LIKE gone INCLUDING ALL)", "INSERT INTO todos VALUES (2, 'new')"
        )
        await stream.until(lambda: "2" in stream.rows())
        await stream.until(lambda: stream.names[-1] in ("ready", "diff"))
        assert list(stream.rows().values()) == [{"id": 2, "title": "new", "done": False}]


async def test_a_cursor_of_another_life_starts_over(own: Site) -> None:
    await own.commit("INSERT INTO todos VALUES (1, 'a')")
    async with get(own.api, OPEN) as before:
        await started(before, 1)
    for process in (own.tailer, own.broadcaster):
        assert await asyncio.to_thread(process.stop) == 0
    shutil.rmtree(own.log_dir)
    await own.commit("UPDATE todos SET title = 'b'")
    for process in (own.tailer, own.broadcaster):
        process.start()
        await process.ready()
    for cursor, reason in ((before.cursor, "epoch_changed"), ("nonsense", "cursor_invalid")):
        async with get(own.api, OPEN, cursor) as after:
            await after.until(lambda after=after: after.named("ready"))
            assert [name for name in after.names if name != "diff"] == ["reset", "initial", "ready"]
            assert after.named("reset")[0].data == {"id": "q1", "reason": reason}
            assert after.rows() == await own.todos()


async def test_a_slow_reader_is_closed_and_resumes(postgres_db: Database, tmp_path: Path) -> None:
    limits = {"unsentBytes": "64KiB"}
    async with site(postgres_db.url, tmp_path, limits) as made:
        parts = urlsplit(made.api)
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect((parts.hostname, parts.port))
        slow.sendall(b"GET /v1/api/todo-app/realtime/sql-postgres/todos HTTP/1.0\r\n\r\n")
        slow.settimeout(20)
        head = b""
        while b"event: ready" not in head:
            head += slow.recv(4096)
        written = []
        async with get(made.api) as fast, await connect(made.url) as connection:
            await started(fast, 0)
            while await evictions(made.api) == 0:
                number = len(written)
                large = "string_agg(md5(i::text), '') FROM generate_series(1, 600) i"
                written.append(await transact(connection, f"INSERT INTO todos SELECT {number}, {large}"))
            await fast.until(lambda: fast.transactions == written)
        got = PlainStream(None)  # type: ignore[arg-type]
        got.take(head.partition(b"\r\n\r\n")[2])
        try:
            while data := slow.recv(65536):
                got.take(data)
        except ConnectionResetError:
            pass
        finally:
            slow.close()
        assert got.transactions == written[: len(got.transactions)] != written
        async with get(made.api, cursor=got.cursor) as again:
            await again.until(lambda: again.named("ready"))
            assert got.transactions + again.transactions == written


async def evictions(url: str) -> float:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/metrics") as response:
        text = await response.text()
    name = 'broadcaster_evictions_total{reason="slow_reader"} '
    return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))


async def test_a_commit_that_the_log_shows_before_other_sessions_see_it(own: Site) -> None:
    """Synchronous replication with no standby: the commit is in the WAL, hence in our log, and nobody sees it."""
    await own.commit("INSERT INTO todos VALUES (1, 'a'), (2, 'b'), (3, 'c')")
    async with (
        await connect(own.url) as admin,
        await connect(own.url) as waiting,
        get(own.api, OPEN) as early,
    ):
        await started(early, 3)
        cursor = early.cursor
        await admin.execute("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
        await admin.execute("SELECT pg_reload_conf()")
        while (await (await admin.execute("SHOW synchronous_standby_names")).fetchone()) != ("nobody",):
            await asyncio.sleep(0.01)
        hidden = asyncio.create_task(
            transact(
                waiting,
                "INSERT INTO todos VALUES (4, 'd')",
                "UPDATE todos SET title = 'aa' WHERE id = 1",
                "DELETE FROM todos WHERE id = 2",
                "UPDATE todos SET done = true WHERE id = 3",
            )
        )
        await early.until(lambda: early.named("diff"))
        expected = {
            "1": {"id": 1, "title": "aa", "done": False},
            "4": {"id": 4, "title": "d", "done": False},
        }
        try:
            assert not hidden.done()
            assert sorted(await own.todos()) == ["1", "2", "3"], "no other session sees it yet"
            assert early.rows() == expected
            async with get(own.api, OPEN) as late, get(own.api, OPEN, cursor) as resumed:
                await late.until(lambda: late.named("ready"))
                assert late.rows() == expected
                await resumed.until(lambda: resumed.named("ready"))
                assert resumed.transactions == early.transactions
                await admin.execute("ALTER SYSTEM RESET synchronous_standby_names")
                await admin.execute("SELECT pg_reload_conf()")
                assert early.transactions == [await hidden]
                last = await own.commit("INSERT INTO todos VALUES (5, 'e')")
                for stream in (early, late, resumed):
                    await stream.until(lambda stream=stream: last in stream.transactions)
                assert late.transactions == [last]
                assert early.transactions == resumed.transactions == [early.transactions[0], last]
        finally:
            hidden.cancel()


async def test_snapshots_among_concurrent_writes(shared: Site) -> None:
    """Twenty live queries are opened while a writer moves rows in and out of their results."""
    done = asyncio.Event()

    async def write() -> None:
        async with await connect(shared.url) as connection:
            number = 0
            while not done.is_set():
                number += 1
                await transact(
                    connection,
                    f"INSERT INTO todos VALUES ({number % 50}, 'new') "
                    f"ON CONFLICT (id) DO UPDATE SET title = 't{number}'",
                    f"UPDATE todos SET done = NOT done, title = 'u{number}' WHERE id % 7 = {number % 7}",
                    f"DELETE FROM todos WHERE id = {(number * 13) % 50}",
                )

    async with AsyncExitStack() as stack:
        writer = asyncio.create_task(write())
        streams = []
        for _ in range(20):
            stream = await stack.enter_async_context(get(shared.api, OPEN))
            await stream.until(lambda stream=stream: stream.named("ready"))
            streams.append(stream)
        done.set()
        await writer
        last = await shared.commit("INSERT INTO todos VALUES (1000, 'last')")
        answer = await shared.todos()
        for stream in streams:
            await stream.until(lambda stream=stream: last in stream.transactions)
            assert stream.rows() == answer
            assert len(set(stream.transactions)) == len(stream.transactions)
