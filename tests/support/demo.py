"""`livetail demo` as a process, its streams, and what one does on its page."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.browser import PROGRAM, Page

ROOT = Path(__file__).parents[2]
START_SECONDS = 40.0
STOP_SECONDS = 10.0
WAIT_SECONDS = 20.0

in_browser = pytest.mark.skipif(PROGRAM is None, reason="no Chromium here: apt-get install chromium")


class Demo:
    """The command in a process of its own, with `tmp` as its folder for temporary files."""

    def __init__(self, tmp: Path, *options: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._said = tmp / f"demo-{self.port}.txt"
        command = [
            sys.executable,
            "-m",
            "broadcaster.cli",
            "demo",
            "--listen",
            f"127.0.0.1:{self.port}",
            *options,
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp)}
        with self._said.open("wb") as output:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)

    @property
    def said(self) -> str:
        return self._said.read_text()

    def printed(self, name: str) -> str:
        """The address or command that it prints under this name: `Open`, `Change` or `Watch`."""
        found = re.search(rf"^  {name} +(.+)$", self.said, re.MULTILINE)
        assert found is not None, self.said
        return found[1]

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while "Ctrl-C" not in self.said:
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.02)

    def end(self, number: int) -> int:
        """Send a signal; the exit code."""
        self.process.send_signal(number)
        try:
            return self.process.wait(STOP_SECONDS)
        finally:
            self.process.kill()


@contextlib.contextmanager
def demo(tmp: Path, *options: str) -> Iterator[Demo]:
    """A demo that is ready; ended whatever happens."""
    made = Demo(tmp, *options)
    try:
        made.wait_ready()
        yield made
    finally:
        if made.process.poll() is None:
            made.end(signal.SIGTERM)


@contextlib.contextmanager
def reachable_folder() -> Iterator[Path]:
    """As root, the demo's Postgres runs as another user, who may not enter pytest's own temporary folders."""
    made = Path(tempfile.mkdtemp(prefix="livetail-test-"))
    made.chmod(0o711)
    try:
        yield made
    finally:
        shutil.rmtree(made)


class Frames:
    """The events of one stream."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.cursor = ""

    async def next(self) -> tuple[str, dict[str, Any]]:
        """The next event and its data; `progress` and `retry` are passed over."""
        event = ""
        while True:
            line = (await self._response.content.readuntil(b"\n")).decode().rstrip("\n")
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "id":
                self.cursor = value
            elif name == "data" and event != "progress":
                return event, json.loads(value)

    async def ready(self) -> dict[str, list[dict[str, Any]]]:
        """The initial rows of both subscriptions."""
        docs: dict[str, list[dict[str, Any]]] = {"open": [], "urgent": []}
        waiting = set(docs)
        async with asyncio.timeout(WAIT_SECONDS):
            while waiting:
                event, data = await self.next()
                if event == "initial":
                    docs[data["id"]] += data["docs"]
                elif event == "ready":
                    waiting.discard(data["id"])
        return docs

    async def changes(self, count: int) -> dict[str, list[tuple[str, Any]]]:
        """The next diffs of `count` subscriptions, each as (type, row's id)."""
        found: dict[str, list[tuple[str, Any]]] = {}
        async with asyncio.timeout(WAIT_SECONDS):
            while len(found) < count:
                event, data = await self.next()
                if event == "ready":  # between what is replayed and what is live
                    assert data["resumed"]
                    continue
                assert event == "diff", (event, data)
                found[data["id"]] = [(change["type"], *change["find"].values()) for change in data["changes"]]
        return found


@contextlib.asynccontextmanager
async def stream(url: str, cursor: str = "", alias: str = "sql-postgres") -> AsyncIterator[Frames]:
    """One stream of two live queries: `open` todos and `urgent` ones."""
    wheres: dict[str, Any] = {"open": {"done": False}, "urgent": {"done": False, "priority": {"$gte": 3}}}
    subscriptions = [
        {"id": name, "db": alias, "col": "todos", "where": where} for name, where in wheres.items()
    ]
    parameters = {"subscriptions": json.dumps(subscriptions)} | ({"cursor": cursor} if cursor else {})
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/v1/api/todo-app/realtime", params=parameters) as response:
            assert response.status == 200
            yield Frames(response)


async def send(url: str, method: str, path: str, body: Any = None) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session:
        async with session.request(method, f"{url}/demo/{path}", json=body) as response:
            answer: dict[str, Any] = await response.json()
            assert response.ok, answer
            return answer


def row(query: str, title: str) -> str:
    """JavaScript: the row of that title in that list, or undefined."""
    return (
        f"[...document.querySelectorAll('#{query} li:not(.leave)')]"
        f".find(li => li.querySelector('.title').value === {json.dumps(title)})"
    )


async def add(page: Page, title: str, priority: int) -> None:
    await page.evaluate(f"document.querySelector('#new-priority').value = {priority}")
    await page.evaluate("document.querySelector('#new-title').focus()")
    await page.type(title)
    await page.press("Enter")
    await page.until(row("all", title))
