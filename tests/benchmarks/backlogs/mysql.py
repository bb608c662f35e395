"""Backlogs in MySQL's and MariaDB's binlog, each drain from one place in it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql

from benchmarks.backlogs.case import WIDE, Case
from benchmarks.peers.debezium import Debezium, marked
from broadcaster.demo.mysql import HOST, USER, EmbeddedMysql
from broadcaster.demo.mysql_installs import TITLES, Flavor, installation
from cdc.event import Position
from cdc.mysql.place import end_of_binlog, identify
from cdc.mysql.position import order_of
from support.draining import Drained, Sink, drain

SETTINGS = {
    "innodb_flush_log_at_trx_commit": "0",
    "sync_binlog": "0",
    "innodb_buffer_pool_size": "512M",
    "max_allowed_packet": "64M",
}
CONFIG = """\
id: todo-app
modules:
  crud:
    db:
      type: mysql
      conn: {conn}
      collections:
        t1: {{isRealtimeEnabled: true, rules: {{read: {{rule: allow}}}}}}
"""
_KINDS = [
    ("INT", "i + {at}"),
    ("VARCHAR(100)", "CONCAT('text of row ', i, ' in {at}')"),
    ("DATETIME", "TIMESTAMPADD(SECOND, i + {at}, '2024-01-01')"),
    ("DECIMAL(12, 4)", "(i + {at}) / 7.0"),
    ("TINYINT(1)", "i % 2"),
]
_COLUMNS: dict[str, list[tuple[str, str]]] = {
    "narrow": [("VARCHAR(100)", "CONCAT('name of row ', i)")],
    "JSON": [
        ("VARCHAR(100)", "CONCAT('name of row ', i)"),
        ("TINYINT(1)", "i % 2"),
        ("DATETIME", "TIMESTAMPADD(SECOND, i, '2024-01-01')"),
        (
            "JSON",
            "JSON_OBJECT('a', i, 'b', CONCAT('some text of a certain length ', i), 'c', JSON_ARRAY(1, 2, 3),"
            " 'd', i / 7.0)",
        ),
    ],
    "wide": [
        (kind, value.format(at=at))
        for at, (kind, value) in enumerate(_KINDS * (WIDE // len(_KINDS)), start=1)
    ],
}
_FILL = """
CREATE PROCEDURE fill_t1(last_row INT, per INT)
BEGIN
  DECLARE f INT DEFAULT 1;
  WHILE f <= last_row DO
    {statement};
    SET f = f + per;
  END WHILE;
END
"""


@contextmanager
def mysql(flavor: Flavor, debezium: Debezium, sink: Sink) -> Iterator[MysqlBacklog]:
    """On a server of its own."""
    with (
        tempfile.TemporaryDirectory() as data,
        tempfile.TemporaryDirectory() as kept,
        EmbeddedMysql(Path(data), installation(flavor), settings=SETTINGS) as server,
    ):
        with server.connect() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE DATABASE bench")
        with server.connect("bench") as connection:
            yield MysqlBacklog(server, connection, debezium, Path(kept), sink)


class MysqlBacklog:
    """See `Backlog`."""

    def __init__(
        self,
        server: EmbeddedMysql,
        connection: pymysql.Connection[Any],
        debezium: Debezium,
        kept: Path,
        sink: Sink,
    ) -> None:
        self.title = f"{TITLES[server.installation.flavor]} {server.version}"
        self.peer = f"Debezium {debezium.version}"
        self._server = server
        self._connection = connection
        self._debezium = debezium
        self._sink = sink
        self._kept = kept  # where Debezium's offsets and schemas at the begin of the backlog are
        self._begin: Position | None = None
        self._count = 0

    def fill(self, case: Case) -> None:
        insert, numbers = self._make_table(case)
        if case.op == "update":
            for first in range(1, case.rows + 1, 1000):
                self._execute(insert + numbers(first, min(case.rows, first + 999)))
        statement = insert + numbers("f", f"f + {case.per - 1}")
        if case.op == "update":
            statement = f"UPDATE t1 SET n = n + 1 WHERE id BETWEEN f AND f + {case.per - 1}"
        self._execute("DROP PROCEDURE IF EXISTS fill_t1")
        self._execute(_FILL.format(statement=statement))
        marked(self._debezium, self._kept, self._peer_settings(), self._mark)
        identity = identify(self._connection)
        begin = end_of_binlog(self._connection, identity)
        state = {"file": begin.file, "pos": begin.offset, "gtid": str(begin.gtids)}
        self._begin = Position(identity.epoch, order_of(begin.file, begin.offset), state)
        self._execute(f"CALL fill_t1({case.rows}, {case.per})")
        self._count = case.rows

    def drain(self) -> Drained:
        assert self._begin is not None, "nothing to drain before `fill`"
        config = CONFIG.format(conn=self._server.url_for("bench"))
        return drain(config, self._count, self._count // 3, begin=self._begin, sink=self._sink)

    def drain_by_peer(self) -> Drained:
        with tempfile.TemporaryDirectory() as base:
            folder = Path(base) / "debezium"
            shutil.copytree(self._kept, folder)
            settings = self._peer_settings()
            return self._debezium.drain(folder, settings, "t1", self._count, self._count // 3)

    def _make_table(self, case: Case) -> tuple[str, Any]:
        self._execute("DROP TABLE IF EXISTS t1, mark")
        columns = _COLUMNS[case.shape]
        defined = ", ".join(f"c{at} {kind}" for at, (kind, _) in enumerate(columns))
        self._execute(f"CREATE TABLE t1 (id INT PRIMARY KEY, n INT, {defined}) CHARACTER SET utf8mb4")
        self._execute("CREATE TABLE mark (id INT PRIMARY KEY AUTO_INCREMENT)")
        values = ", ".join(value for _, value in columns)

        def numbers(first: object, last: object) -> str:
            return (
                f" WITH RECURSIVE s(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM s WHERE i < {last})"
                f" SELECT i, i, {values} FROM s"
            )

        return "INSERT INTO t1", numbers

    def _mark(self) -> None:
        self._execute("INSERT INTO mark VALUES ()")

    def _peer_settings(self) -> dict[str, str]:
        name = "MySql" if self._server.installation.flavor == "mysql" else "MariaDb"
        return {
            "connector.class": f"io.debezium.connector.{name.lower()}.{name}Connector",
            "database.hostname": HOST,
            "database.port": str(self._server.port),
            "database.user": USER,
            "database.password": self._server.password,
            "database.server.id": "7311",
            "database.include.list": "bench",
            "table.include.list": "bench.t1,bench.mark",
            "include.schema.changes": "false",
        }

    def _execute(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)
