"""Livetail's broadcaster on an embedded log that this process writes, in a tailer's place.

The database of the log is nowhere: the live queries want no initial result, so nobody asks it. All clients subscribe to
the same live query, by equality, each over a connection of its own; every frame carries a cursor.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fanout.server import HOST, free_port, text, wait_for
from cdc.event import Batch, Position
from cdc.log import LogWriter
from cdc.log.embedded import EmbeddedLog
from support.hub_world import EPOCH, event
from support.tailer_process import ROOT

CONFIG = """\
id: bench
modules:
  crud:
    db:
      type: postgres
      conn: postgresql://bench@127.0.0.1:1/none
      collections:
        todos: {isRealtimeEnabled: true, rules: {read: {rule: allow}}}
"""
PATH = "/v1/api/bench/realtime/db/todos?where=%7B%22list%22%3A1%7D&skipInitial=true"


@contextmanager
def livetail() -> Iterator[Broadcaster]:
    """`python -m broadcaster`, as users run it."""
    with tempfile.TemporaryDirectory() as name, asyncio.Runner() as runner:
        folder = Path(name)
        (folder / "bench.yaml").write_text(CONFIG)
        log = EmbeddedLog(folder / "log", "db")
        writer = runner.run(log.writer())
        runner.run(writer.append(Batch([], Position(EPOCH, 1), 1)))
        address = HOST, free_port()
        options = ["--log-dir", folder / "log", "--listen", f"{HOST}:{address[1]}"]
        process = subprocess.Popen(
            [sys.executable, "-m", "broadcaster", "-c", folder / "bench.yaml", *options],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(address)
            yield Broadcaster(process.pid, address, runner, writer)
        finally:
            process.kill()
            process.wait()
            runner.run(writer.close())
            runner.run(log.close())


@dataclass
class Broadcaster:
    """See `Server`."""

    pid: int
    address: tuple[str, int]
    _runner: asyncio.Runner
    _writer: LogWriter
    who: str = "Livetail"
    request: bytes = f"GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    ready: bytes = b"event: ready"
    _number: int = 1

    def publish(self, changes: int) -> None:
        """See `Server.publish`."""
        records = []
        for _ in range(changes):
            self._number += 1
            row = {"id": self._number, "list": 1, "title": text(self._number)}
            records.append(event("c", self._number, 1, after=row))
        position = Position(EPOCH, 100 * self._number)
        self._runner.run(self._writer.append(Batch(records, position, 1_790_000_000_000)))
