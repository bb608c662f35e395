"""Commit to socket: how long after its commit a change is at a client, on an otherwise idle machine.

`livetail dev` (tailer, log and broadcaster in one process) on a real Postgres; the client is this process.
Reference in the same run: a bare `LISTEN`/`NOTIFY` of the same commit to a psycopg connection.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import aiohttp
import psycopg

from benchmarks.dev import dev
from broadcaster.demo.postgres import EmbeddedPostgres

CHANGES = 300
PAUSE = 0.01
CONFIG = """
id: bench
modules:
  crud:
    sql-postgres:
      conn: {url}
      collections:
        todos: {{isRealtimeEnabled: true, rules: {{read: {{rule: allow}}}}}}
"""


async def measure(url: str, base: str) -> tuple[list[float], list[float]]:
    """(ours, NOTIFY's): seconds from just before the commit is asked for to the arrival, one for each change."""
    ours: list[float] = []
    notify: list[float] = []
    sent: dict[int, float] = {}
    arrived: dict[int, float] = {}
    listener = await psycopg.AsyncConnection.connect(url, autocommit=True)
    await listener.execute("LISTEN bench")

    async def listen() -> None:
        async for message in listener.notifies():
            notify.append(time.perf_counter() - sent[int(message.payload)])
            if len(notify) == CHANGES:
                return

    listening = asyncio.create_task(listen())
    where = quote('{"done":false}')
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{base}/v1/api/bench/realtime/sql-postgres/todos?where={where}") as stream,
    ):
        ready = asyncio.Event()

        async def read() -> None:
            async for line in stream.content:
                if line.startswith(b"event: ready"):
                    ready.set()
                if line.startswith(b"data: ") and b'"changes"' in line:
                    now = time.perf_counter()
                    for change in json.loads(line[6:])["changes"]:
                        arrived[change["find"]["id"]] = now
                    if len(arrived) == CHANGES:
                        return

        reading = asyncio.create_task(read())
        await ready.wait()
        writer = await psycopg.AsyncConnection.connect(url, autocommit=True)
        for number in range(CHANGES):
            sent[number] = time.perf_counter()
            await writer.execute(
                "WITH row AS (INSERT INTO todos VALUES (%s, 'a title', false)) SELECT pg_notify('bench', %s)",
                (number, str(number)),
            )
            await asyncio.sleep(PAUSE)
        await reading
        await listening
        await writer.close()
    await listener.close()
    ours = [arrived[number] - sent[number] for number in range(CHANGES)]
    return ours, notify


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="livetail-bench-"))
    folder.chmod(0o755)
    with EmbeddedPostgres(folder / "postgres") as server:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE todos (id int PRIMARY KEY, title text, done boolean)")
        (folder / "bench.yaml").write_text(CONFIG.format(url=server.url))
        address = "127.0.0.1:4933"
        with dev(folder / "bench.yaml", address):
            ours, notify = asyncio.run(measure(server.url, f"http://{address}"))
    for name, values in (("livetail", ours), ("NOTIFY", notify)):
        cuts = statistics.quantiles(values, n=100)
        print(
            f"{name:10} p50 {cuts[49] * 1e3:6.2f} ms   p99 {cuts[98] * 1e3:6.2f} ms   ({len(values)} commits)"
        )
    print(f"ratio of medians: {statistics.median(ours) / statistics.median(notify):.2f}")


if __name__ == "__main__":
    main()
