"""After a SIGKILL: how long until a client is told of something new; and how fast a client catches up.

    make bench BENCH=recovery    (LIVETAIL_BENCH_RUNS=5)

Tailer and broadcaster are processes of their own on an embedded log, the database a Postgres, the client Livetail's
Python client, which reconnects by itself. What was killed is started again at once, as a supervisor would. Meanwhile a
row is inserted every 5 ms, wherever that is possible; the time is from the kill to the first diff at the client that
tells of a row inserted after it. Catching up: the part is away while rows are inserted, in transactions of 500; the
time is from its start to the last row at the client.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from acceptance.processes import Process, running, write_config
from benchmarks.comparison import OURS, RUNS, Comparison, Measure
from broadcaster.client import Client, LiveQuery, Stream
from broadcaster.client_frames import Diff
from broadcaster.demo.postgres import EmbeddedPostgres
from servers.postgres import temporary_postgres

DATABASE = "sql-postgres"
PATIENCE_S = 60
PAUSE_S = 0.005
PER_TRANSACTION = 500
LIMITS = {"limits": {"replayBytes": 1 << 30}}
"""Who was away for more than that gets a fresh result."""
KILL_MEASURES = (Measure("ms", "until the first news at the client, ms"),)
CATCH_MEASURES = (
    Measure("rate", "rows/s at the client", more_is_better=True),
    Measure("seconds", "seconds", digits=1),
)


@dataclass
class World:
    """Everything that runs. `newest` is the largest `sent` that the client was told of."""

    postgres: EmbeddedPostgres
    tailer: Process
    broadcaster: Process
    newest: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def follow(self, stream: Stream) -> None:
        """Take in what the client is told."""
        async for frame in stream:
            if isinstance(frame, Diff):
                self.newest = max(
                    self.newest, *(int(change.doc["sent"]) for change in frame.changes if change.doc)
                )
                self.changed.set()

    async def told_of(self, sent: int) -> None:
        """Wait until the client was told of a row that was inserted then or later."""
        async with asyncio.timeout(PATIENCE_S):
            while self.newest < sent:
                self.changed.clear()
                await self.changed.wait()

    async def write(self) -> None:
        """Insert one row after the other, until cancelled."""
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                async with await psycopg.AsyncConnection.connect(self.postgres.url, autocommit=True) as conn:
                    while True:
                        await conn.execute("INSERT INTO todos (sent) VALUES (%s)", (time.monotonic_ns(),))
                        await asyncio.sleep(PAUSE_S)
            await asyncio.sleep(PAUSE_S)

    def fill(self, rows: int) -> int:
        """Insert so many; the last one's `sent`."""
        insert = "INSERT INTO todos (sent) SELECT %s::bigint FROM generate_series(1, %s)"
        sent = 0
        with psycopg.connect(self.postgres.url, autocommit=True) as conn:
            for _ in range(rows // PER_TRANSACTION):
                sent = time.monotonic_ns()
                conn.execute(insert, (sent, PER_TRANSACTION))
        return sent


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    """One client, live."""
    with temporary_postgres() as postgres, tempfile.TemporaryDirectory() as name:
        with psycopg.connect(postgres.url, autocommit=True) as conn:
            conn.execute("CREATE TABLE todos (id bigserial PRIMARY KEY, sent bigint)")
        config = write_config(Path(name) / "todo-app.yaml", postgres.url, ["todos"], LIMITS)
        tailer, broadcaster = (
            Process(module, config, Path(name) / "log") for module in ("cdc", "broadcaster")
        )
        async with running(tailer, broadcaster), Client("todo-app", broadcaster.url, max_delay=0.1) as client:
            made = World(postgres, tailer, broadcaster)
            stream = client.stream([LiveQuery("q", DATABASE, "todos", {}, skip_initial=True)])
            following = asyncio.create_task(made.follow(stream))
            yield made
            following.cancel()
            await asyncio.wait([following])


async def kill_tailer(one: World) -> None:
    one.tailer.kill()
    one.tailer.start()


async def kill_broadcaster(one: World) -> None:
    one.broadcaster.kill()
    one.broadcaster.start()


async def kill_postgres(one: World) -> None:
    await asyncio.to_thread(one.postgres.kill)
    await asyncio.to_thread(one.postgres.start)


async def recovery(one: World, kill: Callable[[World], Awaitable[None]]) -> float:
    """Seconds from the kill to the first news."""
    writing = asyncio.create_task(one.write())
    try:
        await one.told_of(time.monotonic_ns())
        killed = time.monotonic_ns()
        await kill(one)
        await one.told_of(killed)
        return (time.monotonic_ns() - killed) / 1e9
    finally:
        writing.cancel()
        await asyncio.wait([writing])


async def catching_up(one: World, part: Process, rows: int) -> float:
    """Seconds from the start of a part that was away to the last row at the client."""
    part.kill()
    last = await asyncio.to_thread(one.fill, rows)
    begun = time.monotonic()
    part.start()
    await one.told_of(last)
    return time.monotonic() - begun


async def measure(kills: Comparison, catches: Comparison, rows: int) -> None:
    """One run."""
    async with world() as one:
        for title, kill in (
            ("the tailer", kill_tailer),
            ("the broadcaster", kill_broadcaster),
            ("Postgres, all its processes", kill_postgres),
        ):
            kills.add(f"SIGKILL of {title}", OURS, {"ms": await recovery(one, kill) * 1e3})
        for title, part in (("the tailer", one.tailer), ("the broadcaster", one.broadcaster)):
            seconds = await catching_up(one, part, rows)
            catches.add(
                f"{title} was away for {rows:,} rows", OURS, {"rate": rows / seconds, "seconds": seconds}
            )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args()
    with (
        Comparison("recovery", "After a SIGKILL", KILL_MEASURES) as kills,
        Comparison("catching_up", "Catching up", CATCH_MEASURES) as catches,
    ):
        for _ in range(given.runs):
            asyncio.run(measure(kills, catches, given.rows))


if __name__ == "__main__":
    main()
