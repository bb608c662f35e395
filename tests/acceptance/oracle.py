"""The oracle: a real database, tailers and broadcasters, random writers, random clients, and SIGKILL.

At every quiet point each client's frames are held to what the database itself says that happened (`databases/`).
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aggregates import AggregateFollower, AggregateView, totals
from database import Database, Writer
from follower import BrokenPromiseError, Follower
from history import Bounds, History, Moment, View
from players import Subscriber, Tamper
from processes import Line, Process, running, write_config
from statements import Script
from tables import Key
from windows import WindowFollower, WindowView, first, has_order
from workload import (
    WRITERS,
    Action,
    Cut,
    Drop,
    Kill,
    Leave,
    ReadOn,
    Return,
    Round,
    Stall,
    Subscribe,
    Workload,
)

from broadcaster.client import Client
from broadcaster.client_stream import LiveQuery
from support.reference_evaluator import matches

QUIET_SECONDS = 40.0
_STORM = 240
_UNSENT_BYTES = 1 << 16


class World:
    """One database with all that runs on it. Make it with `world`, or on Kafka with `production.production`.

    processes, lines: by the names that `Kill` and `Cut` have for them; the clients connect to the line `client`.
    """

    def __init__(self, database: Database, processes: dict[str, Process], lines: dict[str, Line]) -> None:
        self.story: list[str] = []
        self.frames = 0
        self.history = History()
        self._database = database
        self._processes = processes
        self._lines = lines
        self._begun: list[str] = []
        self._acknowledged: list[str] = []
        self._writers = [database.writer(self._begun, self._acknowledged) for _ in range(WRITERS)]
        self._stack = AsyncExitStack()
        self._client = _client(lines["client"])
        self._subscribers: dict[int, Subscriber] = {}
        self._views: dict[str, View] = {}
        self._written = 0
        self._started = time.monotonic()
        self.tamper: Tamper | None = None

    def tell(self, what: str) -> None:
        """A line of the story."""
        self.story.append(
            f"{time.monotonic() - self._started:7.2f} s  {self._written:5} transactions  {what}"
        )

    async def close(self) -> None:
        for subscriber in self._subscribers.values():
            await subscriber.leave()
        for writer in self._writers:
            await writer.close()
        await self._client.close()
        await self._stack.aclose()

    # -- what happens -----------------------------------------------------------------------------------------

    async def play(self, round_: Round) -> None:
        """One round: the writers write, the actions befall, then all is quiet and checked."""
        await self._run(round_, 0.0, asyncio.Event())
        for subscriber in self._subscribers.values():
            subscriber.read_on()
        await self.check()

    async def storm(self, workload: Workload, pause: float, calm: asyncio.Event) -> None:
        """One round after the other until `calm` is set. pause: of each writer after a transaction, in seconds."""
        while not calm.is_set():
            await self._run(workload.round(_STORM, ()), pause, calm)

    async def _run(self, round_: Round, pause: float, calm: asyncio.Event) -> None:
        """A round that `calm` ends early: then nobody writes any more, and what is left of the actions befalls."""
        start = self._written
        async with asyncio.TaskGroup() as group:
            for writer, scripts in zip(self._writers, round_.scripts, strict=True):
                group.create_task(self._write(writer, scripts, pause, calm))
            for place, action in round_.actions:
                while self._written < start + place and not calm.is_set():
                    await asyncio.sleep(0.001)
                await self.act(action)

    async def _write(
        self, writer: Writer, scripts: Iterable[Script], pause: float, calm: asyncio.Event
    ) -> None:
        for script in scripts:
            if calm.is_set():
                return
            await writer.write(script)
            self._written += 1
            await asyncio.sleep(pause)

    async def act(self, action: Action) -> None:
        """Let it befall."""
        self.tell(_in_short(action))
        match action:
            case Subscribe(client, queries, coalesces):
                followers = {query.id: self._follower(client, query, coalesces) for query in queries}
                to_server, way = await self._narrow_way() if coalesces else (self._client, None)
                self._subscribers[client] = Subscriber(f"client {client}", followers, to_server, way)
                self._subscribers[client].come(self._moment, self.tamper)
            case Leave(client):
                await self._subscribers[client].leave()
            case Return(client):
                self._subscribers[client].come(self._moment, self.tamper)
            case Drop(client):
                stream = self._subscribers[client].stream
                assert stream is not None
                stream.reconnect()
            case Stall(client):
                way = self._subscribers[client].way
                assert way is not None
                way.stall()
            case ReadOn(client, breaks_after):
                self._subscribers[client].read_on(breaks_after)
            case Kill("database"):
                await asyncio.to_thread(self._database.kill)
                await asyncio.to_thread(self._database.start)
            case Kill(victim):
                self._processes[victim].kill()
                self._processes[victim].start()
            case Cut(where):
                self._lines[where].cut()
                if where == "client":
                    for subscriber in self._subscribers.values():
                        if subscriber.way is not None:
                            subscriber.way.cut()

    async def _narrow_way(self) -> tuple[Client, Line]:
        """A client that gets to the broadcaster by a line of its own."""
        line = Line("127.0.0.1", self._processes["broadcaster"].port, narrow=True)
        await self._stack.enter_async_context(line.running())
        client = await self._stack.enter_async_context(_client(line))
        return client, line

    def _follower(self, client: int, query: LiveQuery, coalesces: bool) -> Follower:
        allowed = self._database.resets(query.collection)
        view, name = self._view(query), f"client {client}, {query.id}"
        kind = Follower
        if isinstance(view, WindowView):
            kind = WindowFollower
        elif isinstance(view, AggregateView):
            kind = AggregateFollower
        return kind(name, query, view, allowed, coalesces=coalesces)

    def _view(self, query: LiveQuery) -> View:
        """Equal queries share one."""
        key = repr((query.collection, query.where, query.sort, query.limit, query.aggregate, query.group_by))
        if key not in self._views:
            kind = AggregateView if query.aggregate is not None else WindowView if has_order(query) else View
            self._views[key] = kind(query, self._database.tables[query.collection], self.history)
        return self._views[key]

    def _moment(self) -> Moment:
        return Moment(len(self._acknowledged), len(self._begun))

    # -- what must be -----------------------------------------------------------------------------------------

    async def check(self) -> None:
        """A quiet point: wait until every client has all that it must get; raises BrokenPromiseError with the story."""
        await self._read_history()
        bounds = Bounds(self.history, self._acknowledged, self._begun)
        deadline = time.monotonic() + QUIET_SECONDS
        while waiting := self._check_once(bounds):
            if time.monotonic() > deadline:
                self._fail("clients wait in vain:\n" + "\n".join(waiting))
            await asyncio.sleep(0.01)
        await self._compare()
        merged = ", ".join(f"{count} {kind}" for kind, count in self.merged.items())
        self.tell(
            f"quiet: {len(self._subscribers)} clients, {self.frames} frames so far, merged: {merged or 'none'}"
        )

    @property
    def merged(self) -> Counter[str]:
        """How many frames told of several transactions, by the kind of what they are about."""
        counts = Counter[str]()
        for subscriber in self._subscribers.values():
            for follower in subscriber.followers.values():
                counts[follower.view.kind] += follower.merged
        return +counts

    def _check_once(self, bounds: Bounds) -> list[str]:
        waiting = []
        for name, process in self._processes.items():
            if not process.alive:
                self._fail(f"the {name} ended by itself")
        for client, subscriber in self._subscribers.items():
            try:
                for follower in subscriber.followers.values():
                    follower.check(bounds)
            except BrokenPromiseError as error:
                self._fail(str(error))
            behind = subscriber.behind()
            if behind is not None:
                waiting.append(f"client {client}: {behind}")
        self.frames = sum(
            one.frames_seen for client in self._subscribers.values() for one in client.followers.values()
        )
        return waiting

    async def _read_history(self) -> None:
        self.history.extend(await self._database.committed())
        for view in self._views.values():
            view.catch_up()

    async def _compare(self) -> None:
        """Hold every client's map to what a query of the database gives now."""
        tables = self._database.tables
        rows = {name: await self._database.rows(table) for name, table in tables.items()}
        for subscriber in self._subscribers.values():
            if subscriber.stream is None:
                continue
            for follower in subscriber.followers.values():
                query = follower.query
                table = tables[query.collection]
                found = [row for row in rows[table.name] if matches(dict(query.where), row, table.types)]
                if has_order(query):
                    found = first(found, query, table)
                answer: dict[Key, Any] = {table.find(row): row["version"] for row in found}
                if query.aggregate is not None:
                    answer = totals(found, query, table)
                try:
                    follower.compare(answer)
                except BrokenPromiseError as error:
                    self._fail(str(error))

    def _fail(self, what: str) -> None:
        told = "\n".join(f"-- {name} --\n{process.told()}" for name, process in self._processes.items())
        story = "\n".join(self.story[-60:])
        raise BrokenPromiseError(f"{what}\n\nWhat happened:\n{story}\n\n{told}")


def _client(line: Line) -> Client:
    return Client("todo-app", f"http://127.0.0.1:{line.port}", max_delay=0.2)


def _in_short(action: Action) -> str:
    if isinstance(action, Subscribe):
        how = " and coalesces" if action.coalesces else ""
        return f"client {action.client} subscribes{how}: " + "; ".join(
            f"{query.id} {query.collection} {query.where}"
            + (f" sort {query.sort} limit {query.limit}" if has_order(query) else "")
            for query in action.queries
        )
    return str(action)


@asynccontextmanager
async def world(database: Database, folder: Path) -> AsyncIterator[World]:
    """The database made ready, with tailer and broadcaster running."""
    await database.prepare()
    names = list(database.tables)
    realtime = {"heartbeat": "1s", "limits": {"unsentBytes": _UNSENT_BYTES}}
    log_dir = folder / "log"
    async with AsyncExitStack() as stack:
        to_database = await stack.enter_async_context(Line("127.0.0.1", database.port).running())
        cuttable = database.url_through(to_database.port)
        tailer, broadcaster = (
            Process(module, write_config(folder / f"{module}.yaml", url, names, realtime, alias), log_dir)
            for alias in [database.alias]
            for module, url in (("cdc", cuttable), ("broadcaster", database.url))
        )
        await stack.enter_async_context(running(tailer, broadcaster))
        to_broadcaster = await stack.enter_async_context(Line("127.0.0.1", broadcaster.port).running())
        processes = {"tailer": tailer, "broadcaster": broadcaster}
        made = World(database, processes, {"client": to_broadcaster, "tailer": to_database})
        stack.push_async_callback(made.close)
        yield made
