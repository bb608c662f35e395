"""Parse Server and its LiveQuery server in one process, on a mongod of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fanout.server import HOST, free_port, wait_for
from benchmarks.peers import registry
from servers.mongo import temporary_mongod

VERSION = "9.10.0"
SERVER = Path(registry.__file__).with_name("parse_server.js")
_FINAL_TEXT, _MASKED = 0x81, 0x80


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


def text_frame(message: object) -> bytes:
    """A WebSocket text frame of a client (RFC 6455 §5.2), masked with zeros."""
    payload = json.dumps(message).encode()
    size = len(payload)
    head = bytes([_MASKED | size]) if size < 126 else bytes([_MASKED | 126]) + size.to_bytes(2, "big")
    return bytes([_FINAL_TEXT]) + head + bytes(4) + payload


@dataclass
class Parse:
    """See `System`."""

    pids: Sequence[int]
    address: tuple[str, int]
    who: str = f"Parse Server {VERSION} (MongoDB)"
    ready: bytes = b'"op":"subscribed"'

    def subscribe(self, connection: socket.socket, number: int) -> None:
        """See `System.subscribe`."""
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
        connection.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n{upgrade}\r\n{key}\r\n\r\n".encode())
        _until(connection, b"\r\n\r\n")
        connection.sendall(text_frame({"op": "connect", "applicationId": "bench"}))
        _until(connection, b'"op":"connected"')
        query = {"className": "todos", "where": {"list": number}}
        connection.sendall(text_frame({"op": "subscribe", "requestId": 1, "query": query}))

    def writer(self, rate: int, seconds: float, lists: int) -> Sequence[str | Path]:
        """See `System.writer`."""
        program = Path(__file__).with_name("write_parse.py")
        return [sys.executable, program, str(self.address[1]), str(rate), str(seconds), str(lists)]


def _until(connection: socket.socket, end: bytes) -> None:
    told = b""
    while end not in told:
        part = connection.recv(1 << 16)
        if not part:
            raise SystemExit(f"Parse Server closed the connection after {told[-300:]!r}")
        told += part
