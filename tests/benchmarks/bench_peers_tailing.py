"""Draining a backlog of a database's log: Livetail's tailer beside Debezium, alternating, on the same backlogs.

    make bench BENCH=peers_tailing
    make bench BENCH='peers_tailing --databases postgres --rows 300000'    (LIVETAIL_BENCH_RUNS=5)

Livetail is `python -m cdc` as users run it: every event in the embedded log, durable, with its place in its
transaction. Debezium is its embedded engine, whose events are counted and dropped: it writes nothing, and
says nothing of transactions. Both give the whole row before and after. The first third of each backlog is warm-up of
either; starting, which takes Java 1 to 3 s, does not count. Both must see every event, and no other.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager

from benchmarks.backlogs.case import Backlog, Case
from benchmarks.backlogs.mongo import mongo
from benchmarks.backlogs.mysql import mysql
from benchmarks.backlogs.postgres import postgres
from benchmarks.comparison import OURS, RUNS, Comparison, Measure
from benchmarks.peers.debezium import Debezium
from benchmarks.peers.registry import PeerMissing

MEASURES = (
    Measure("rate", "events/s", more_is_better=True),
    Measure("cpu", "CPU s a million", digits=1),
    Measure("peak_mb", "peak memory, MiB"),
)
DATABASES: dict[str, Callable[[], AbstractContextManager[Backlog]]] = {
    "postgres": lambda: postgres(Debezium.installed()),
    "mysql": lambda: mysql("mysql", Debezium.installed()),
    "mariadb": lambda: mysql("mariadb", Debezium.installed_for_mariadb()),
    "mongo": lambda: mongo(Debezium.installed()),
}


CASES = {
    "json-inserts": lambda rows: Case("JSON", "insert", 1000, rows),
    "json-updates": lambda rows: Case("JSON", "update", 1000, rows),
    "narrow-inserts": lambda rows: Case("narrow", "insert", 1, rows),
    "wide-inserts": lambda rows: Case(
        "wide", "insert", 1000, rows // 3000 * 1000
    ),  # ten times as long as others
}


def compare(comparison: Comparison, backlog: Backlog, case: Case, runs: int) -> None:
    """Alternating runs over one backlog."""
    backlog.fill(case)
    title = f"{backlog.title}: {case.title}"
    for _ in range(runs):
        comparison.add(title, OURS, backlog.drain()._asdict())
        try:
            comparison.add(title, backlog.peer, backlog.drain_by_peer()._asdict())
        except PeerMissing as error:
            comparison.note(f"{title}: no {backlog.peer}: {error}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--databases", nargs="*", default=list(DATABASES), choices=list(DATABASES))
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args()
    with Comparison("peers_tailing", "Draining a backlog", MEASURES) as comparison:
        for name in given.databases:
            with DATABASES[name]() as backlog:
                for case in given.cases:
                    compare(comparison, backlog, CASES[case](given.rows), given.runs)


if __name__ == "__main__":
    main()
