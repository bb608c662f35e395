"""Parse Server and its LiveQuery server in one process, on a mongod of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fanout.server import HOST, free_port, wait_for
from benchmarks.latency.websocket import text_frame, until, upgrade
from benchmarks.peers import registry
from servers.mongo import temporary_mongod

VERSION = "9.10.0"
SERVER = Path(registry.__file__).with_name("parse_server.js")


@contextmanager
def parse() -> Iterator[Parse]:
    """Raises PeerMissing."""
    packages = registry.npm(f"parse-server-{VERSION}", f"parse-server@{VERSION}")
    with temporary_mongod() as mongod:
        port = free_port()
        command = [registry.program("node"), SERVER, f"mongodb://{mongod.address}/parse", str(port)]
        environment = {**os.environ, "NODE_PATH": str(packages / "node_modules"), "NODE_ENV": "production"}
        process = subprocess.Popen(command, cwd=packages, env=environment, stdout=subprocess.DEVNULL)
        try:
            wait_for((HOST, port))
            yield Parse([process.pid], (HOST, port))
        finally:
            process.kill()
            process.wait()


@dataclass
class Parse:
    """See `System`."""

    pids: Sequence[int]
    address: tuple[str, int]
    who: str = f"Parse Server {VERSION} (MongoDB)"
    ready: bytes = b'"op":"subscribed"'

    def subscribe(self, connection: socket.socket, number: int) -> None:
        """See `System.subscribe`."""
        self.subscribe_all(connection, [number])

    def subscribe_all(self, connection: socket.socket, numbers: Sequence[int]) -> None:
        """Ask for the rows of all these lists, each by a live query of its own."""
        upgrade(connection, HOST, "/")
        connection.sendall(text_frame(b'{"op":"connect","applicationId":"bench"}'))
        until(connection, b'"op":"connected"')
        for at, number in enumerate(numbers, 1):
            query = b'{"className":"todos","where":{"list":%d}}' % number
            connection.sendall(text_frame(b'{"op":"subscribe","requestId":%d,"query":%b}' % (at, query)))

    def ready_of(self, count: int) -> bytes:
        """What is in the stream once so many are answered."""
        return b'"requestId":%d}' % count

    def writer(self, rate: int, seconds: float, lists: int) -> Sequence[str | Path]:
        """See `System.writer`."""
        program = Path(__file__).with_name("write_parse.py")
        return [sys.executable, program, str(self.address[1]), str(rate), str(seconds), str(lists)]
