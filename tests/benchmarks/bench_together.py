"""Many clients at once: how long until all of them have their result, and what that costs the database.

`livetail dev` on a real Postgres; the clients are this process. Equal live queries share a snapshot; the reference in
the same run are as many different ones, each of which is read. Equal aggregates are added up once, then read no more.
"""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import aiohttp
import psycopg

from benchmarks.dev import dev
from broadcaster.demo.postgres import EmbeddedPostgres

CLIENTS = 1_000
ROWS = 500
ADDRESS = "127.0.0.1:4934"
CONFIG = """
id: bench
modules:
  crud:
    sql-postgres:
      conn: {url}
      collections:
        todos: {{isRealtimeEnabled: true, rules: {{read: {{rule: allow}}}}}}
"""
AGGREGATE = {"aggregate": json.dumps({"n": {"count": True}, "total": {"sum": "id"}}), "groupBy": "done"}


async def come(
    session: aiohttp.ClientSession, params: dict[str, str], ready: list[float], end: asyncio.Event
) -> None:
    """Tell when this one's result was there, and stay to the end."""
    url = f"http://{ADDRESS}/v1/api/bench/realtime/sql-postgres/todos"
    async with session.get(url, params=params) as stream:
        async for line in stream.content:
            if line.startswith(b"event: ready"):
                ready.append(time.perf_counter())
                if len(ready) == CLIENTS:
                    end.set()
                await end.wait()
                return
    raise AssertionError("the stream ended")


async def measure(params: Callable[[int], dict[str, str]]) -> tuple[float, float]:
    """Seconds from the first request to the median client's result, and to the last one's."""
    ready: list[float] = []
    end = asyncio.Event()
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        asyncio.TaskGroup() as group,
    ):
        begun = time.perf_counter()
        for number in range(CLIENTS):
            group.create_task(come(session, params(number), ready, end))
    return ready[CLIENTS // 2] - begun, ready[-1] - begun


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="livetail-bench-"))
    folder.chmod(0o755)
    with EmbeddedPostgres(folder / "postgres") as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE todos (id int PRIMARY KEY, title text, done boolean)")
            connection.execute(
                f"INSERT INTO todos SELECT i, 'a title', i % 3 = 0 FROM generate_series(1, {ROWS}) i"
            )
        (folder / "bench.yaml").write_text(CONFIG.format(url=server.url))
        with dev(folder / "bench.yaml", ADDRESS):
            print(f"{CLIENTS:,} clients at once, {ROWS} rows each")
            for name, params in (
                ("different", lambda number: {"where": json.dumps({"id": {"$gt": -number}})}),
                ("equal", lambda number: {"where": json.dumps({"id": {"$gte": 0}})}),
                ("equal aggregates", lambda number: AGGREGATE),
            ):
                before = reads()
                middle, last = asyncio.run(measure(params))
                print(
                    f"{name:17} half after {middle:5.2f} s, all after {last:5.2f} s, {reads() - before:5} reads"
                )


def reads() -> int:
    """Snapshots that the server has read so far."""
    with urllib.request.urlopen(f"http://{ADDRESS}/metrics") as response:
        found = re.search(rb"^broadcaster_snapshot_seconds_count (\d+)", response.read(), re.MULTILINE)
    assert found is not None
    return int(found[1])


if __name__ == "__main__":
    main()
