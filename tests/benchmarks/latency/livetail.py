"""`livetail dev` on a Postgres of its own."""

from __future__ import annotations

import json
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg

from benchmarks.dev import dev
from benchmarks.fanout.server import HOST, free_port
from broadcaster.demo.postgres import EmbeddedPostgres
from servers.postgres import temporary_postgres

CONFIG = """\
id: bench
modules:
  crud:
    db:
      type: postgres
      conn: {url}
      collections:
        todos: {{isRealtimeEnabled: true, rules: {{read: {{rule: allow}}}}}}
"""


@contextmanager
def todos() -> Iterator[EmbeddedPostgres]:
    """A Postgres with the table that is written to; it does not wait for the disk."""
    with temporary_postgres(settings={"fsync": "off"}) as postgres:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE todos (id bigserial PRIMARY KEY, list int, sent text)")
            connection.execute("CREATE INDEX ON todos (list)")
        yield postgres


def write_postgres(url: str, rate: int, seconds: float, lists: int) -> Sequence[str | Path]:
    """See `System.writer`."""
    program = Path(__file__).with_name("write_postgres.py")
    return [sys.executable, program, url, str(rate), str(seconds), str(lists)]


@contextmanager
def livetail() -> Iterator[Dev]:
    """Tailer, event log and broadcaster in one process."""
    with tempfile.TemporaryDirectory() as name, todos() as postgres:
        file = Path(name) / "bench.yaml"
        file.write_text(CONFIG.format(url=postgres.url))
        address = HOST, free_port()
        with dev(file, f"{HOST}:{address[1]}") as process:
            yield Dev([process.pid], address, postgres.url)


@dataclass
class Dev:
    """See `System`."""

    pids: Sequence[int]
    address: tuple[str, int]
    _url: str
    who: str = "Livetail (Postgres)"
    ready: bytes = b"event: ready"

    def subscribe(self, connection: socket.socket, number: int) -> None:
        """See `System.subscribe`; the rows that are there already are left out."""
        where = quote(f'{{"list":{number}}}')
        path = f"/v1/api/bench/realtime/db/todos?where={where}&skipInitial=true"
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())

    def subscribe_all(self, connection: socket.socket, numbers: Sequence[int]) -> None:
        """Ask for the rows of all these lists, each by a live query of its own."""
        asked = [
            {
                "id": str(at),
                "db": "db",
                "col": "todos",
                "where": {"list": number},
                "options": {"skipInitial": True},
            }
            for at, number in enumerate(numbers, 1)
        ]
        body = json.dumps({"subscriptions": asked}).encode()
        head = f"POST /v1/api/bench/realtime HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def ready_of(self, count: int) -> bytes:
        """What is in the stream once so many are answered."""
        return b'{"id":"%d","skippedInitial"' % count

    def writer(self, rate: int, seconds: float, lists: int) -> Sequence[str | Path]:
        """See `System.writer`."""
        return write_postgres(self._url, rate, seconds, lists)
