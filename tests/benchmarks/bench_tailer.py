"""The tailer's drain rate: a backlog on a real Postgres into the embedded log, by `python -m cdc` as users run it.

    make bench BENCH=tailer

Inserts and as many updates of a six-column table with REPLICA IDENTITY FULL, jsonb of about 125 bytes. Each run reads
the same backlog through a copy of one slot into a fresh log. Beside it, in the same run, pg_recvlogical into /dev/null:
what the server gives at best to a reader that does nothing.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg

from broadcaster.demo.installs import installations
from broadcaster.demo.postgres import EmbeddedPostgres
from support.draining import drain
from support.tailer_process import configuration

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "shared_buffers": "512MB",
    "logical_decoding_work_mem": "256MB",
    "max_wal_size": "8GB",
}
TABLE = "CREATE TABLE t1 (id text PRIMARY KEY, name text, n int, ok bool, ts timestamptz, doc jsonb)"
INSERT = """
INSERT INTO t1 SELECT 'id-' || i, 'name of row ' || i, i, i % 2 = 0, '2024-01-01Z'::timestamptz + i * interval '1s',
    jsonb_build_object('a', i, 'b', 'some text of a certain length ' || i, 'c', '[1, 2, 3]'::jsonb, 'd', i / 7.0)
  FROM generate_series({first}, {last}) i"""
UPDATE = "UPDATE t1 SET n = n + 1, ok = NOT ok WHERE id IN (SELECT 'id-' || i FROM generate_series({first}, {last}) i)"


def prepare(conn: psycopg.Connection, rows: int, per: int) -> None:
    """The backlog, behind slot `base`."""
    conn.execute(TABLE)
    conn.execute("ALTER TABLE t1 REPLICA IDENTITY FULL")
    conn.execute("CREATE PUBLICATION livetail FOR TABLE t1 WITH (publish_via_partition_root = true)")
    conn.execute("SELECT pg_create_logical_replication_slot('base', 'pgoutput')")
    for statement in (INSERT, UPDATE):
        for first in range(1, rows + 1, per):
            conn.execute(statement.format(first=first, last=min(rows, first + per - 1)).encode())


def best_rate(program: Path, url: str, slot: str, until: str, count: int) -> float:
    """Rows/s of pg_recvlogical."""
    begun = time.perf_counter()
    options = ["-o", "proto_version=1", "-o", "publication_names=livetail"]
    command = [program, "-d", url, "-S", slot, "--start", "-f", "/dev/null", "-E", until]
    subprocess.run([*command, *options], check=True, capture_output=True)
    return count / (time.perf_counter() - begun)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--major", type=int)
    parser.add_argument("--rows", type=int, default=150_000)
    parser.add_argument("--per-transaction", type=int, default=500)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    found = [each for each in installations() if given.major in (None, each.major)]
    if not found:
        raise SystemExit(f"no Postgres {given.major or ''} found")
    count = 2 * given.rows
    with tempfile.TemporaryDirectory() as data:
        server = EmbeddedPostgres(Path(data), installation=found[0], settings=SETTINGS)
        server.start()
        try:
            print(f"Postgres {server.version}, {count:,} rows in transactions of {given.per_transaction}")
            measure(server.url, given.rows, given.per_transaction, given.runs)
        finally:
            server.stop()


def measure(url: str, rows: int, per: int, runs: int) -> None:
    """Print the medians."""
    recvlogical = [each.bin / "pg_recvlogical" for each in installations()]
    reader = next((program for program in recvlogical if program.exists()), None)
    results, best = [], []
    with psycopg.connect(url, autocommit=True) as conn:
        prepare(conn, rows, per)
        [[end]] = conn.execute("SELECT pg_current_wal_lsn()::text").fetchall()
        for run in range(runs):
            for slot in (f"tailer_{run}", f"best_{run}"):
                conn.execute("SELECT pg_copy_logical_replication_slot('base', %s)", (slot,))
            results.append(drain(configuration(url, f"tailer_{run}", "t1"), 2 * rows))
            if reader is not None:
                best.append(best_rate(reader, url, f"best_{run}", end, 2 * rows))
    rates, cpu, memory = (statistics.median(column) for column in zip(*results, strict=True))
    print(
        f"tailer into the embedded log: {rates:,.0f} rows/s, {cpu:.2f} CPU s per million, peak {memory:.0f} MB"
    )
    if best:
        print(f"pg_recvlogical to /dev/null:  {statistics.median(best):,.0f} rows/s")


if __name__ == "__main__":
    main()
