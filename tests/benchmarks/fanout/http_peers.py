"""Servers as one would write them by hand: Node's http, and Starlette."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fanout.server import HOST, Publisher, free_port, wait_for
from benchmarks.peers import registry

PEERS = Path(registry.__file__).parent
STARLETTE = ("starlette==1.10.0", "uvicorn==0.54.0", "uvloop", "httptools")


@contextmanager
def node() -> Iterator[HandWritten]:
    """Raises PeerMissing."""
    port = free_port()
    command = [registry.program("node"), PEERS / "sse_node.js", str(port)]
    with _running("Node http", command, port, {}) as server:
        yield server


@contextmanager
def starlette() -> Iterator[HandWritten]:
    """Raises PeerMissing."""
    packages = registry.pip("starlette", *STARLETTE)
    port = free_port()
    options = ["--host", HOST, "--port", str(port), "--backlog", "4096", "--log-level", "error"]
    command = [sys.executable, "-m", "uvicorn", "sse_starlette:app", "--app-dir", PEERS, *options]
    with _running("Starlette", command, port, {"PYTHONPATH": str(packages)}) as server:
        yield server


@contextmanager
def _running(
    who: str, command: Sequence[str | Path], port: int, environment: Mapping[str, str]
) -> Iterator[HandWritten]:
    process = subprocess.Popen(command, env={**os.environ, **environment})
    try:
        address = HOST, port
        wait_for(address)
        publisher = Publisher(address, "/publish")
        yield HandWritten(who, process.pid, address, publisher)
        publisher.close()
    finally:
        process.kill()
        process.wait()


@dataclass
class HandWritten:
    """See `Server`."""

    who: str
    pid: int
    address: tuple[str, int]
    _publisher: Publisher
    request: bytes = f"GET /listen HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    ready: bytes = b"retry:"

    def publish(self, changes: int) -> None:
        """See `Server.publish`."""
        self._publisher.publish(changes)
