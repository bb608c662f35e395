"""SIGKILL at each part, on each database: one small script each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import Open
from database import Database
from plain_http import PlainStream, get
from processes import Process, running, write_config
from statements import Delete, Insert, Script, Statement, Update

from servers.mongo import LEAKS

pytestmark = LEAKS
FEW = {"n": {"$lt": 5}}


class Site:
    """A database, its tailer and its broadcaster. Writes to `items`."""

    def __init__(self, database: Database, tailer: Process, broadcaster: Process) -> None:
        self.broadcaster = broadcaster
        self.is_crash_safe = "server_crashed" not in database.resets("items")
        self._database = database
        self._items = database.tables["items"]
        self.key = self._items.key[0]
        self._processes = {"tailer": tailer, "broadcaster": broadcaster}
        self._marks: list[str] = []
        self._writer = database.writer([], self._marks)

    def get(self, cursor: str | None = None) -> Any:
        """A live query of those whose `n` is below 5."""
        return get(self.broadcaster.url, FEW, cursor, f"{self._database.alias}/items")

    def insert(self, *numbers: int, n: int) -> Insert:
        """New rows."""
        nothing = dict.fromkeys(("s", "price", "flag", "at", "j", "body"))
        return Insert(self._items, tuple({self.key: number, "n": n, **nothing} for number in numbers))

    def set(self, number: int, n: int) -> Update:
        """Change a row."""
        return Update(self._items, {self.key: number}, {"n": n})

    def delete(self, number: int) -> Delete:
        """Delete a row."""
        return Delete(self._items, {self.key: number})

    async def commit(self, *statements: Statement) -> str:
        """One transaction; returns its id. Tries until the database, which may just have been killed, has it."""
        acknowledged = len(self._marks)
        while len(self._marks) == acknowledged:
            await self._writer.write(Script(statements))
        return (await self._database.committed())[-1].tx

    async def rows(self, stream: PlainStream, before: dict[str, Any] | None = None) -> dict[str, Any]:
        """The client's map, which is the database's own answer."""
        rows = stream.rows(before, key=self.key)
        assert rows == {
            str(row[self.key]): row for row in await self._database.rows(self._items) if row["n"] < 5
        }
        return rows

    async def kill(self, victim: str) -> Callable[[], None]:
        """SIGKILL; returns what starts it again."""
        if victim == "database":
            await asyncio.to_thread(self._database.kill)
            return self._database.start
        self._processes[victim].kill()
        return self._processes[victim].start

    async def close(self) -> None:
        await self._writer.close()


@pytest.fixture
async def site(open_database: Open, tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        database = stack.enter_context(open_database())
        await database.prepare()
        config = write_config(
            tmp_path / "livetail.yaml", database.url, ["items"], {"heartbeat": "1s"}, database.alias
        )
        log_dir = tmp_path / "log"
        tailer, broadcaster = Process("cdc", config, log_dir), Process("broadcaster", config, log_dir)
        await stack.enter_async_context(running(tailer, broadcaster))
        made = Site(database, tailer, broadcaster)
        stack.push_async_callback(made.close)
        yield made


async def started(stream: PlainStream, rows: int) -> None:
    """The initial result has come, and is whole."""
    await stream.until(lambda: stream.named("ready"))
    assert stream.names == ["initial", "ready"]
    assert stream.named("ready")[0].data["count"] == rows


async def started_over(site: Site, stream: PlainStream, before: dict[str, Any] | None = None) -> None:
    """The database's tables may not be what its log says: what they are has come."""
    await site.commit(site.insert(77, n=2))
    await stream.until(lambda: stream.named("reset") and "77" in stream.rows(before, key=site.key))
    await site.rows(stream, before)
    assert {event.data["reason"] for event in stream.named("reset")} == {"server_crashed"}


@pytest.mark.parametrize("victim", ["tailer", "broadcaster", "database"])
async def test_a_cursor_resumes_after_a_sigkill(site: Site, victim: str) -> None:
    await site.commit(site.insert(1, 2, n=0), site.insert(3, n=9))
    async with site.get() as before:
        await started(before, 2)
        seen = await site.commit(site.set(1, n=1))
        await before.until(lambda: before.transactions == [seen])
        rows = await site.rows(before)
    missed = [
        await site.commit(site.insert(4, n=4), site.delete(2)),
        await site.commit(site.set(1, n=8), site.set(3, n=3)),
    ]
    start = await site.kill(victim)
    if victim != "database":
        missed.append(await site.commit(site.set(4, n=2)))
    await asyncio.to_thread(start)
    await site.broadcaster.ready()
    missed.append(await site.commit(site.insert(5, n=0)))
    async with site.get(before.cursor) as after:
        if victim == "database" and not site.is_crash_safe:
            await started_over(site, after, rows)
            return
        await after.until(lambda: after.transactions[-1:] == missed[-1:] and after.named("ready"))
        last = await site.commit(site.delete(5))
        await after.until(lambda: last in after.transactions)
        assert after.transactions == [*missed, last]
        assert set(after.names) == {"diff", "ready"}
        assert after.named("ready")[0].data["resumed"] is True
        await site.rows(after, rows)


@pytest.mark.parametrize("victim", ["tailer", "database"])
async def test_an_open_stream_goes_on_after_a_sigkill(site: Site, victim: str) -> None:
    async with site.get() as stream:
        await started(stream, 0)
        written = []
        for number in range(6):
            written.append(await site.commit(site.insert(number, n=number % 5)))
            if number % 2:
                await asyncio.to_thread(await site.kill(victim))
        if victim == "database" and not site.is_crash_safe:
            await started_over(site, stream)
            return
        await stream.until(lambda: stream.transactions[-1:] == written[-1:])
        assert stream.transactions == written
        assert set(stream.names) == {"initial", "ready", "diff"}
        await site.rows(stream)
