"""Tailers, a broker of Apache Kafka, and broadcasters, as one runs them in production."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import psycopg
import pytest
from plain_http import PATIENCE, PlainStream, get
from processes import Process, running, write_config

from servers.kafka_cluster import Kafka
from servers.postgres import connect

SENDER_TIMEOUT = "2s"
"""After which Postgres gives up a tailer that says nothing more."""


class Site:
    """A Postgres with the table `todos`, and what is made of it by processes over one Kafka."""

    def __init__(
        self, folder: Path, kafka: Kafka, url: str, connection: psycopg.AsyncConnection[Any]
    ) -> None:
        self.alias = f"pg-{uuid4().hex[:8]}"
        self.connection = connection
        self.topic = f"todo-app.{self.alias}.todos"
        self.config = write_config(
            folder / "livetail.yaml",
            url,
            ["todos"],
            {
                "kafka": {"brokers": kafka.bootstrap().split(","), "takeover": "2s", "timeout": "3s"},
                "heartbeat": "1s",
            },
            self.alias,
        )

    def process(self, module: str) -> Process:
        """A deployable, not started yet."""
        return Process(module, self.config, None)

    def get(self, broadcaster: Process, cursor: str | None = None) -> Any:
        """A live query of what is not done."""
        return get(broadcaster.url, {"done": False}, cursor, f"{self.alias}/todos")

    async def commit(self, *statements: str) -> str:
        """One transaction; returns its id."""
        async with self.connection.transaction():
            for statement in statements:
                await self.connection.execute(statement)
            cursor = await self.connection.execute("SELECT pg_current_xact_id()::text")
            (tx,) = await cursor.fetchone() or ("",)
        return str(tx)

    async def rows(self) -> dict[str, Any]:
        """The database's own answer."""
        cursor = await self.connection.execute("SELECT id, title, done FROM todos WHERE NOT done")
        return {
            str(row[0]): {"id": row[0], "title": row[1], "done": row[2]} for row in await cursor.fetchall()
        }


@pytest.fixture
async def site(kafka: Kafka, throwaway_postgres: Callable[..., Any], tmp_path: Path) -> AsyncIterator[Site]:
    server = throwaway_postgres(wal_sender_timeout=SENDER_TIMEOUT)
    async with await connect(server.url) as connection:
        await connection.execute("CREATE TABLE todos (id int PRIMARY KEY, title text, done bool NOT NULL)")
        yield Site(tmp_path, kafka, server.url, connection)


async def reports(process: Process, wanted: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """What /readyz says, once it says that."""
    deadline = time.monotonic() + PATIENCE
    report: dict[str, Any] = {}
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < deadline:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{process.url}/readyz") as response:
                    report = json.loads(await response.text())
                if wanted(report):
                    return report
            await asyncio.sleep(0.05)
    raise AssertionError(f"{report}\n{process.told()}")


async def seen(stream: PlainStream, transaction: str) -> None:
    await stream.until(lambda: stream.transactions[-1:] == [transaction])


async def test_a_client_moves_from_one_broadcaster_to_another(site: Site) -> None:
    tailer, one, other = site.process("cdc"), site.process("broadcaster"), site.process("broadcaster")
    async with running(tailer, one, other):
        await site.commit("INSERT INTO todos SELECT n, 'first', n > 5 FROM generate_series(1, 8) n")
        async with site.get(one) as before:
            await before.until(lambda: before.named("ready"))
            first = await site.commit("UPDATE todos SET title = 'second' WHERE id = 1")
            await seen(before, first)
            rows = before.rows()
        one.kill()
        missed = [
            await site.commit("DELETE FROM todos WHERE id = 2", "INSERT INTO todos VALUES (9, 'new', false)"),
            await site.commit("UPDATE todos SET done = NOT done"),
        ]
        async with site.get(other, before.cursor) as after:
            await seen(after, missed[-1])
            await after.until(lambda: after.named("ready"))
            assert after.transactions == missed
            assert set(after.names) == {"diff", "ready"}
            last = await site.commit("DELETE FROM todos WHERE id = 7")
            await seen(after, last)
            assert after.rows(rows) == await site.rows()


async def test_a_standby_takes_over(site: Site) -> None:
    """From a leader that is killed, then from one that stops in order."""
    tailers = [site.process("cdc"), site.process("cdc")]
    broadcaster = site.process("broadcaster")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(tailers[0], broadcaster))
        async with site.get(broadcaster) as stream:
            await stream.until(lambda: stream.named("ready"))
            written = [await site.commit("INSERT INTO todos VALUES (1, 'a', false)")]
            tailers[1].start()
            stack.callback(tailers[1].kill)
            report = await reports(tailers[1], lambda report: "stands by" in json.dumps(report))
            assert not report["ready"]
            assert (await reports(tailers[0], lambda report: True))["ready"]
            tailers[0].kill()
            written.append(await site.commit("INSERT INTO todos VALUES (2, 'b', false)"))
            await seen(stream, written[-1])
            tailers[0].start()
            await reports(tailers[0], lambda report: "stands by" in json.dumps(report))
            written.append(await site.commit("INSERT INTO todos VALUES (3, 'c', false)"))
            assert tailers[1].stop() == 0
            written.append(await site.commit("INSERT INTO todos VALUES (4, 'd', false)"))
            await seen(stream, written[-1])
            assert stream.transactions == written
            assert set(stream.names) == {"initial", "ready", "diff"}
            tailers[1].start()  # for what ends it


async def test_a_tailer_that_was_only_thought_dead_does_no_harm(site: Site) -> None:
    zombie, standby, broadcaster = site.process("cdc"), site.process("cdc"), site.process("broadcaster")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running(zombie, broadcaster))
        standby.start()
        stack.callback(standby.kill)
        await reports(standby, lambda report: "stands by" in json.dumps(report))
        async with site.get(broadcaster) as stream:
            await stream.until(lambda: stream.named("ready"))
            written = [await site.commit("INSERT INTO todos VALUES (1, 'a', false)")]
            await seen(stream, written[-1])
            zombie.pause()
            stack.callback(zombie.resume)
            written.append(await site.commit("INSERT INTO todos VALUES (2, 'b', false)"))
            await standby.ready()
            await seen(stream, written[-1])
            zombie.resume()
            await reports(zombie, lambda report: "stands by" in json.dumps(report))
            written.append(await site.commit("INSERT INTO todos VALUES (3, 'c', false)"))
            await seen(stream, written[-1])
            assert stream.transactions == written
            assert stream.rows() == await site.rows()


async def test_a_broker_that_hangs(site: Site, kafka: Kafka) -> None:
    """Both say so, stop when they are told to, and go on where they were."""
    tailer, broadcaster = site.process("cdc"), site.process("broadcaster")
    async with running(tailer, broadcaster):
        async with site.get(broadcaster) as before:
            await before.until(lambda: before.named("ready"))
            written = [await site.commit("INSERT INTO todos VALUES (1, 'a', false)")]
            await seen(before, written[-1])
        kafka.brokers[0].pause()
        try:
            written.append(await site.commit("INSERT INTO todos VALUES (2, 'b', false)"))
            report = await reports(tailer, lambda report: not report["ready"])
            assert "Kafka" in report["databases"][site.alias]["reason"]
            report = await reports(broadcaster, lambda report: not report["ready"])
            assert "Kafka" in report["databases"][site.alias]["reason"]
            stopping = [asyncio.to_thread(process.stop) for process in (tailer, broadcaster)]
            async with asyncio.timeout(5):
                assert await asyncio.gather(*stopping) == [0, 0]
        finally:
            kafka.brokers[0].resume()
        for process in (tailer, broadcaster):
            process.start()
        await broadcaster.ready()
        written.append(await site.commit("INSERT INTO todos VALUES (3, 'c', false)"))
        async with site.get(broadcaster, before.cursor) as after:
            await seen(after, written[-1])
            assert before.transactions + after.transactions == written
            assert after.rows(before.rows()) == await site.rows()
