"""The tailer's drain rate on MySQL and MariaDB: a backlog in the binlog into the embedded log, by `python -m cdc` as
users run it.

    make bench BENCH=mysql

Inserts, then updates, of a six-column table: in transactions of one row and in statements of a thousand. Beside each,
in the same run, the server's own raw rate: a reader that does nothing with what it is sent.
"""

from __future__ import annotations

import argparse
import statistics
import struct
import tempfile
import time
from pathlib import Path
from typing import Any

import pymysql

from benchmarks.backlogs.mysql import CONFIG, SETTINGS
from broadcaster.demo.mysql import EmbeddedMysql
from broadcaster.demo.mysql_installs import TITLES, Flavor, installation
from cdc.event import Position
from cdc.mysql.place import End, end_of_binlog, identify
from cdc.mysql.position import order_of
from support.draining import drain

TABLE = (
    "CREATE TABLE t1 (id VARCHAR(40) PRIMARY KEY, name VARCHAR(100), n INT, ok TINYINT(1), ts DATETIME,"
    " doc VARCHAR(400)) CHARACTER SET utf8mb4"
)
DOC = '{"a": 1, "b": "some text of a certain length, as texts are", "c": [1, 2, 3], "d": 0.14285714285714285}'
BULK = 1000
COM_BINLOG_DUMP = 18
NON_BLOCKING = 1


def write(connection: pymysql.Connection[Any], rows: int, per: int) -> None:
    """The backlog: inserts and as many updates, `per` rows in a statement and transaction."""
    with connection.cursor() as cursor:
        for first in range(0, rows, per):
            values = ",".join(
                f"('id-{i}', 'name of row {i}', {i}, {i % 2}, '2024-01-01 00:00:00', '{DOC}')"
                for i in range(first, first + per)
            )
            cursor.execute(f"INSERT INTO t1 VALUES {values}")
        for first in range(0, rows, per):
            keys = ",".join(f"'id-{i}'" for i in range(first, first + per))
            cursor.execute(f"UPDATE t1 SET n = n + 1, ok = NOT ok WHERE id IN ({keys})")


def raw_rate(connection: pymysql.Connection[Any], begin: End, count: int) -> float:
    """Rows/s that the server sends to a reader that does nothing."""
    with connection.cursor() as cursor:
        cursor.execute("SET @master_binlog_checksum = 'CRC32', @mariadb_slave_capability = 4")
    command = struct.pack("<BIHI", COM_BINLOG_DUMP, begin.offset, NON_BLOCKING, 1 << 31) + begin.file.encode()
    socket = connection._sock  # type: ignore[attr-defined]
    began = time.perf_counter()
    socket.sendall(len(command).to_bytes(4, "little") + command)
    tail = b""
    while not (tail[:3] == b"\5\0\0" and tail[4:5] == b"\xfe"):  # the packet that ends the stream
        tail = (tail + socket.recv(1 << 18))[-9:]
    return count / (time.perf_counter() - began)


def measure(server: EmbeddedMysql, rows: int, per: int, runs: int) -> None:
    """Print the medians."""
    with server.connect("bench") as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS t1")
        cursor.execute(TABLE)
        identity = identify(connection)
        begin = end_of_binlog(connection, identity)
        write(connection, rows, per)
    state = {"file": begin.file, "pos": begin.offset, "gtid": str(begin.gtids)}
    position = Position(identity.epoch, order_of(begin.file, begin.offset), state)
    results, best = [], []
    for _ in range(runs):
        results.append(drain(CONFIG.format(conn=server.url_for("bench")), 2 * rows, begin=position))
        with server.connect() as connection:
            best.append(raw_rate(connection, begin, 2 * rows))
    rates, cpu, memory = (statistics.median(column) for column in zip(*results, strict=True))
    print(
        f"  {per:>5} in a transaction: {rates:>9,.0f} rows/s, {cpu:.2f} CPU s per million, peak {memory:.0f} MB; "
        f"raw: {statistics.median(best):,.0f} rows/s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--flavors", nargs="*", default=["mysql", "mariadb"], choices=["mysql", "mariadb"])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--bulk-rows", type=int, default=150_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    flavors: list[Flavor] = given.flavors
    for flavor in flavors:
        with (
            tempfile.TemporaryDirectory() as data,
            EmbeddedMysql(Path(data), installation(flavor), settings=SETTINGS) as server,
        ):
            with server.connect() as connection, connection.cursor() as cursor:
                cursor.execute("CREATE DATABASE bench")
                cursor.execute("SELECT VERSION()")
                [version] = cursor.fetchone() or [""]
            print(f"{TITLES[flavor]} {version}, inserts and as many updates")
            measure(server, given.rows, 1, given.runs)
            measure(server, given.bulk_rows, BULK, given.runs)


if __name__ == "__main__":
    main()
