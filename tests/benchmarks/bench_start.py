"""How long it takes to start: the command line, and `livetail dev` until a client has the first row.

    make bench BENCH=start    (LIVETAIL_BENCH_RUNS=5)

`livetail dev` on a Postgres that was set up before and has one row: from the start of the process to the `initial`
event at a client that tries every 10 ms. `livetail --help` beside a Python that does nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from benchmarks.comparison import OURS, RUNS, Comparison, Measure
from benchmarks.fanout.server import HOST, free_port
from benchmarks.latency.livetail import CONFIG
from servers.postgres import temporary_postgres
from support.tailer_process import ROOT

PATIENCE_S = 30
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def seconds_of(*arguments: str) -> float:
    """Of a Python with these arguments, to its end."""
    begun = time.perf_counter()
    command = [sys.executable, *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    return time.perf_counter() - begun


def first_row(file: Path) -> float:
    """Seconds from the start of `livetail dev` to the first row at a client."""
    port = free_port()
    command = [sys.executable, "-m", "broadcaster.cli", "dev", "-c", str(file), "--listen", f"{HOST}:{port}"]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    try:
        while time.perf_counter() < begun + PATIENCE_S:
            connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE_S)
            with contextlib.closing(connection), contextlib.suppress(ConnectionRefusedError):
                connection.request("GET", "/v1/api/bench/realtime/db/todos")
                response = connection.getresponse()
                while line := response.readline():
                    if b'"docs":[{' in line:
                        return time.perf_counter() - begun
            time.sleep(0.01)
    finally:
        process.terminate()
        process.wait()
    raise SystemExit(f"no row after {PATIENCE_S} s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args()
    with (
        Comparison("start", "Starting", [Measure("ms", "ms")]) as comparison,
        tempfile.TemporaryDirectory() as name,
        temporary_postgres() as postgres,
    ):
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE todos (id bigserial PRIMARY KEY, list int, sent text)")
            connection.execute("INSERT INTO todos (list) VALUES (1)")
        file = Path(name) / "bench.yaml"
        file.write_text(CONFIG.format(url=postgres.url))
        first_row(file)  # sets Postgres up
        for _ in range(given.runs):
            seconds = {
                "`livetail dev` to the first row at a client": first_row(file),
                "`livetail --help`": seconds_of("-m", "broadcaster.cli", "--help"),
                "`python -c pass`": seconds_of("-c", "pass"),
            }
            for case, took in seconds.items():
                comparison.add(case, OURS if "livetail" in case else "Python", {"ms": took * 1e3})


if __name__ == "__main__":
    main()
