"""Backlogs in Postgres' WAL, each drain through a copy of one replication slot."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg

from benchmarks.backlogs.case import WIDE, Case
from benchmarks.peers.debezium import Debezium
from servers.postgres import temporary_postgres
from support.draining import Drained, Sink, drain
from support.tailer_process import configuration

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "shared_buffers": "512MB",
    "logical_decoding_work_mem": "256MB",
    "max_wal_size": "8GB",
    "max_replication_slots": "100",
}
_KINDS = [
    ("int", "i + {at}"),
    ("text", "'text of row ' || i || ' in {at}'"),
    ("timestamptz", "'2024-01-01Z'::timestamptz + (i + {at}) * interval '1s'"),
    ("numeric(12, 4)", "(i + {at}) / 7.0"),
    ("boolean", "i % 2 = 0"),
]
_COLUMNS: dict[str, list[tuple[str, str]]] = {
    "narrow": [("text", "'name of row ' || i")],
    "JSON": [
        ("text", "'name of row ' || i"),
        ("boolean", "i % 2 = 0"),
        ("timestamptz", "'2024-01-01Z'::timestamptz + i * interval '1s'"),
        (
            "jsonb",
            "jsonb_build_object('a', i, 'b', 'some text of a certain length ' || i, 'c', '[1, 2, 3]'::jsonb,"
            " 'd', i / 7.0)",
        ),
    ],
    "wide": [
        (kind, value.format(at=at))
        for at, (kind, value) in enumerate(_KINDS * (WIDE // len(_KINDS)), start=1)
    ],
}


@contextmanager
def postgres(debezium: Debezium, sink: Sink) -> Iterator[PostgresBacklog]:
    """On a server of its own."""
    with (
        temporary_postgres(settings=SETTINGS) as server,
        psycopg.connect(server.url, autocommit=True) as conn,
    ):
        conn.execute("CREATE PUBLICATION livetail WITH (publish_via_partition_root = true)")
        yield PostgresBacklog(server.url, f"Postgres {server.version}", conn, debezium, sink)


class PostgresBacklog:
    """See `Backlog`."""

    def __init__(
        self, url: str, title: str, conn: psycopg.Connection[Any], debezium: Debezium, sink: Sink
    ) -> None:
        self.title = title
        self.peer = f"Debezium {debezium.version}"
        self._url = url
        self._conn = conn
        self._debezium = debezium
        self._sink = sink
        self._case: Case | None = None
        self._slots = 0

    def fill(self, case: Case) -> None:
        self._execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        self._execute("DROP TABLE IF EXISTS t1")
        columns = _COLUMNS[case.shape]
        defined = ", ".join(f"c{at} {kind}" for at, (kind, _) in enumerate(columns))
        self._execute(f"CREATE TABLE t1 (id int PRIMARY KEY, n int, {defined})")
        self._execute("ALTER TABLE t1 REPLICA IDENTITY FULL")
        self._execute("ALTER PUBLICATION livetail SET TABLE t1")
        insert = (
            f"INSERT INTO t1 SELECT i, i, {', '.join(value for _, value in columns)} FROM generate_series"
        )
        if case.op == "update":
            self._execute(f"{insert}(1, {case.rows}) i")
        self._execute("SELECT pg_create_logical_replication_slot('base', 'pgoutput')")
        statement = f"{insert}(f, f + {case.per - 1}) i"
        if case.op == "update":
            statement = f"UPDATE t1 SET n = n + 1 WHERE id BETWEEN f AND f + {case.per - 1}"
        self._execute(
            f"DO $$ BEGIN FOR f IN 1..{case.rows} BY {case.per} LOOP {statement}; COMMIT; END LOOP; END $$"
        )
        self._case = case

    def drain(self) -> Drained:
        count = self._count
        config = configuration(self._url, self._slot(), "t1")
        return drain(config, count, count // 3, sink=self._sink)

    def drain_by_peer(self) -> Drained:
        count = self._count
        url = urlsplit(self._url)
        settings = {
            "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
            "database.hostname": str(url.hostname),
            "database.port": str(url.port),
            "database.user": str(url.username),
            "database.password": unquote(str(url.password)),
            "database.dbname": url.path.removeprefix("/"),
            "plugin.name": "pgoutput",
            "publication.name": "livetail",
            "publication.autocreate.mode": "disabled",
            "slot.name": self._slot(),
            "table.include.list": "public.t1",
        }
        with tempfile.TemporaryDirectory() as folder:
            return self._debezium.drain(Path(folder), settings, "t1", count, count // 3)

    @property
    def _count(self) -> int:
        assert self._case is not None, "nothing to drain before `fill`"
        return self._case.rows

    def _slot(self) -> str:
        self._slots += 1
        name = f"drain_{self._slots}"
        self._execute(f"SELECT pg_copy_logical_replication_slot('base', '{name}')")
        return name

    def _execute(self, statement: str) -> None:
        self._conn.execute(statement.encode())
