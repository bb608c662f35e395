"""`livetail demo --db …` on other databases than Postgres: a server of the demo's own, and the page in a browser."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from servers.mysql import MysqlServers
from tests.support.browser import open_page
from tests.support.demo import WAIT_SECONDS, Demo, add, demo, in_browser, reachable_folder, row, send, stream


@dataclass(frozen=True, slots=True)
class Kind:
    """db: the command's option; alias: in the configuration; gone: a key that no row has;
    raise_priorities, delete_all: what one types after the command."""

    db: str
    alias: str
    gone: str
    raise_priorities: str
    delete_all: str


KINDS = (
    Kind(
        "mongo",
        "mongo",
        "0" * 24,
        'todos.update_many({"done": False}, {"$set": {"priority": 4}})\n',
        "todos.delete_many({})\n",
    ),
    *(
        Kind(
            flavor,
            "sql-mysql",
            "999999999",
            "UPDATE todos SET priority = 4 WHERE NOT done;\n",
            "TRUNCATE todos;\n",
        )
        for flavor in ("mysql", "mariadb")
    ),
)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.db)
def kind(request: pytest.FixtureRequest, mysql_servers: MysqlServers) -> Kind:
    made: Kind = request.param
    if made.db == "mysql" or made.db == "mariadb":
        mysql_servers.installation(made.db)  # skips where there is none
    return made


@pytest.fixture(scope="module")
def running(kind: Kind) -> Iterator[Demo]:
    """One demo for all tests that only use it."""
    with reachable_folder() as made, demo(made, "--db", kind.db) as started:
        yield started


def type_in(command: str, text: str) -> None:
    """Type it where the printed command leads to."""
    done = subprocess.run(shlex.split(command), input=text, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr


async def test_what_the_page_writes_comes_back_as_frames(kind: Kind, running: Demo) -> None:
    async with stream(running.url, alias=kind.alias) as frames:
        assert (await frames.ready())["open"]
        todo = (await send(running.url, "POST", "todos", {"title": "Feed the cat", "priority": 2}))["id"]
        assert await frames.changes(1) == {"open": [("insert", todo)]}
        await send(running.url, "PATCH", f"todos/{todo}", {"priority": 4})
        assert await frames.changes(2) == {"open": [("update", todo)], "urgent": [("insert", todo)]}
        await send(
            running.url, "PATCH", f"todos/{todo}", {"priority": 4}
        )  # as it is already: no change, no error
        await send(running.url, "DELETE", f"todos/{todo}")
        assert await frames.changes(2) == {"open": [("delete", todo)], "urgent": [("delete", todo)]}
    async with aiohttp.ClientSession() as session:
        async with session.delete(f"{running.url}/demo/todos/{kind.gone}") as response:
            assert response.status == 404


async def test_the_writer_writes_and_the_printed_command_works(kind: Kind, running: Demo) -> None:
    async with stream(running.url, alias=kind.alias) as frames:
        await frames.ready()
        await send(running.url, "POST", "writer", {"on": True})
        for _ in range(5):
            await frames.changes(1)
        await send(running.url, "POST", "writer", {"on": False})
    command = running.printed("Change")
    await asyncio.to_thread(type_in, command, kind.raise_priorities)
    async with stream(running.url, alias=kind.alias) as frames:
        docs = await frames.ready()
        assert docs["open"] == docs["urgent"] != []
        assert all(doc["priority"] == 4 for doc in docs["open"])


async def test_a_killed_demo_goes_on_where_it_was_and_leaves_no_server(kind: Kind) -> None:
    with reachable_folder() as folder:
        options = ("--db", kind.db, "--data-dir", str(folder / "data"))
        with demo(folder, *options) as made:
            async with stream(made.url, alias=kind.alias) as frames:
                await frames.ready()
                todo = (await send(made.url, "POST", "todos", {"title": "Survive", "priority": 3}))["id"]
                await frames.changes(2)
                cursor = frames.cursor
            port = database_port(made)
            made.process.kill()
            made.process.wait()
        await refused(port)
        with demo(folder, *options) as made:
            await send(made.url, "PATCH", f"todos/{todo}", {"done": True})
            async with stream(made.url, cursor, kind.alias) as frames:
                assert await frames.changes(2) == {"open": [("delete", todo)], "urgent": [("delete", todo)]}
            port = database_port(made)
            assert await asyncio.to_thread(made.end, signal.SIGINT) == 0
            assert made.said.rstrip().endswith("Stopped.")
            assert "Traceback" not in made.said
        await refused(port)


def database_port(made: Demo) -> int:
    line = next(line for line in made.said.splitlines() if " runs on port " in line)
    return int(line.partition(" runs on port ")[2].split()[0])


async def refused(port: int) -> None:
    """Wait until nobody listens there."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            assert time.monotonic() < deadline, f"a server still listens on port {port}"
            await asyncio.sleep(0.05)
            continue
        return


@in_browser
async def test_rows_enter_change_and_leave_before_ones_eyes(
    kind: Kind, running: Demo, tmp_path: Path
) -> None:
    async with open_page(running.url, tmp_path) as page:
        await page.until("document.querySelector('#state')?.dataset.state === 'live'")
        await add(page, "Buy milk", 2)
        titles = "[...document.querySelectorAll('#all .title')].map(title => title.value)"
        assert (await page.evaluate(titles))[0] == "Buy milk", "the newest row comes first"
        command = running.printed("Change")
        assert await page.evaluate("document.querySelector('#change').textContent") == command
        await asyncio.to_thread(type_in, command, kind.raise_priorities)
        await page.until(row("urgent", "Buy milk"))
        await page.evaluate(f"{row('urgent', 'Buy milk')}.querySelector('.done').click()")
        await page.until(f"!{row('urgent', 'Buy milk')}")
        if "LIVETAIL_SCREENSHOTS" in os.environ:
            Path(os.environ["LIVETAIL_SCREENSHOTS"], f"{kind.db}.png").write_bytes(await page.screenshot())
        await asyncio.to_thread(type_in, command, kind.delete_all)
        await page.until("[...document.querySelectorAll('.count')].every(count => count.value === '0')")
        await add(page, "A new start", 1)
        assert not page.complaints
