"""Several broadcaster processes on one address, over the embedded log."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jwt
import pytest
import yaml
from plain_http import PlainStream, get
from processes import Process, running, write_config

from servers.postgres import Database

PATIENCE = 20.0
SECRET = "of the workers' tests, 32 bytes and more"


class Workers:
    """`python -m broadcaster --workers 2` and its database with a table `todos`. second: another there."""

    def __init__(self, database: Database, broadcaster: Process, second: Callable[[], Process]) -> None:
        self.database = database
        self.broadcaster = broadcaster
        self.second = second

    @property
    def url(self) -> str:
        return self.broadcaster.url

    def pids(self) -> dict[int, int]:
        """The process of each worker's newest life."""
        told = re.findall(r"worker (\d+) is process (\d+)", self.broadcaster.output.read_text())
        return {int(index): int(pid) for index, pid in told}

    def write(self, number: int) -> None:
        self.database.execute(f"INSERT INTO todos VALUES ({number})")

    async def connections(self) -> list[float]:
        """How many streams each worker has; those that answer."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/metrics") as response:
            text = await response.text()
        return [float(value) for value in re.findall(r'broadcaster_connections\{worker="\d+"\} (\S+)', text)]

    async def report(self) -> tuple[int, dict[str, Any]]:
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/readyz") as response:
            return response.status, await response.json()


@pytest.fixture
async def workers(postgres_db: Database, tmp_path: Path) -> AsyncIterator[Workers]:
    postgres_db.execute("CREATE TABLE todos (id int PRIMARY KEY)")
    config = write_config(tmp_path / "livetail.yaml", postgres_db.url, ["todos"], {"heartbeat": "1s"})
    tailer = Process("cdc", config, tmp_path / "log")

    def make(port: int | None = None) -> Process:
        return Process("broadcaster", config, tmp_path / "log", "--workers", "2", port=port)

    broadcaster = make()
    async with running(tailer, broadcaster):
        yield Workers(postgres_db, broadcaster, lambda: make(broadcaster.port))


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await check():
            await asyncio.sleep(0.02)


@asynccontextmanager
async def streams(workers: Workers) -> AsyncIterator[list[PlainStream]]:
    """Live queries until each worker has one: the kernel decides whose a connection is."""
    async with AsyncExitStack() as stack:
        opened: list[PlainStream] = []
        while not opened or min(await workers.connections()) == 0:
            assert len(opened) < 60
            stream = await stack.enter_async_context(get(workers.url))
            await stream.until(lambda stream=stream: stream.named("ready"))
            opened.append(stream)
        yield opened


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_a_killed_workers_clients_go_on_at_the_others(workers: Workers) -> None:
    async with streams(workers) as opened:
        workers.write(1)
        for stream in opened:
            await stream.until(lambda stream=stream: stream.named("diff"))
        assert sum(await workers.connections()) == len(opened)
        victim = workers.pids()[1]
        os.kill(victim, signal.SIGKILL)
        workers.write(2)
        lost = 0
        for stream in opened:
            try:
                await stream.until(lambda stream=stream: len(stream.named("diff")) == 2)
            except (aiohttp.ClientError, AssertionError):
                lost += 1
                async with get(workers.url, cursor=stream.cursor) as resumed:
                    await resumed.until(
                        lambda resumed=resumed: resumed.named("ready") and resumed.named("diff")
                    )
                    assert sorted(resumed.names) == ["diff", "ready"]
                    assert set(resumed.rows(stream.rows())) == {"1", "2"}
            else:
                assert set(stream.rows()) == {"1", "2"}
        assert 0 < lost < len(opened)

    async def is_ready() -> bool:
        return workers.pids()[1] != victim and (await workers.report())[0] == 200

    await eventually(is_ready)
    status, report = await workers.report()
    assert (status, [one["ready"] for one in report["workers"]]) == (200, [True, True])


async def test_a_worker_that_does_not_answer_is_told(workers: Workers) -> None:
    """A stopped one, which the kernel still gives clients: the others say so."""
    victim = workers.pids()[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        told = None
        async with asyncio.timeout(PATIENCE):
            while told is None:
                try:
                    async with asyncio.timeout(3):
                        told = await workers.report()
                except TimeoutError:
                    continue
        status, report = told
        assert (status, [one["ready"] for one in report["workers"]]) == (503, [False, True])
    finally:
        os.kill(victim, signal.SIGCONT)


async def test_sigterm_ends_all_and_so_does_the_death_of_the_supervisor(workers: Workers) -> None:
    first = workers.pids()
    assert await asyncio.to_thread(workers.broadcaster.stop) == 0
    assert all(is_gone(pid) for pid in first.values())

    workers.broadcaster.start()
    await workers.broadcaster.ready()
    second = workers.pids()
    assert set(first.values()).isdisjoint(second.values())
    rival = workers.second()
    rival.start()
    assert await asyncio.to_thread(rival.ended) == 2
    said = f"livetail broadcaster: 127.0.0.1:{rival.port} is in use by another process; choose another with --listen"
    assert rival.told().count(said) == 1
    await asyncio.to_thread(workers.broadcaster.kill)

    async def are_gone() -> bool:
        return all(is_gone(pid) for pid in second.values())

    await eventually(are_gone)


async def test_what_no_worker_can_use_ends_all(tmp_path: Path) -> None:
    config = write_config(tmp_path / "livetail.yaml", "postgresql://u@127.0.0.1:1/d", ["todos"])
    content = yaml.safe_load(config.read_text()) | {"auth": {"publicKey": "none"}}
    config.write_text(json.dumps(content))
    broadcaster = Process("broadcaster", config, tmp_path / "log", "--workers", "2")
    broadcaster.start()
    assert await asyncio.to_thread(broadcaster.ended) == 2
    assert "auth.publicKey: is no public key" in broadcaster.told()
    assert "started again" not in broadcaster.told()


async def test_a_ticket_is_good_once_at_any_worker(postgres_db: Database, tmp_path: Path) -> None:
    postgres_db.execute("CREATE TABLE todos (id int PRIMARY KEY)")
    config = write_config(tmp_path / "livetail.yaml", postgres_db.url, ["todos"])
    content = yaml.safe_load(config.read_text()) | {"secret": SECRET}
    config.write_text(json.dumps(content))
    tailer = Process("cdc", config, tmp_path / "log")
    broadcaster = Process("broadcaster", config, tmp_path / "log", "--workers", "2")
    base = f"{broadcaster.url}/v1/api/todo-app/realtime"
    bearer = {"Authorization": f"Bearer {jwt.encode({'sub': 'ann', 'exp': time.time() + 600}, SECRET)}"}

    async def status(ticket: str) -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{base}/sql-postgres/todos", params={"ticket": ticket}) as response,
        ):
            return response.status

    async with running(tailer, broadcaster):
        for _ in range(6):
            async with (
                aiohttp.ClientSession(headers=bearer) as session,
                session.post(f"{base}/ticket") as given,
            ):
                ticket = (await given.json())["ticket"]
            assert [await status(ticket) for _ in range(4)] == [200, 401, 401, 401]
