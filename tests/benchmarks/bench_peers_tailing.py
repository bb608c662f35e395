"""Draining a backlog of a database's log: Livetail's tailer beside Debezium, alternating, on the same backlogs.

    make bench BENCH=peers_tailing
    make bench BENCH='peers_tailing --databases postgres --rows 300000'    (LIVETAIL_BENCH_RUNS=5)
    make bench BENCH='peers_tailing --sink kafka'

Livetail is `python -m cdc` as users run it: every event in the embedded log, durable, with its place in its
transaction. Debezium is its embedded engine, whose events are counted and dropped: it writes nothing, and
says nothing of transactions. With `--sink kafka` both write to one broker of Apache Kafka on this machine: Livetail
exactly once, in transactions, Debezium at least once, as Debezium Server does.

Both give the whole row before and after. The first third of each backlog is warm-up of either; starting, which takes
Java 1 to 3 s, does not count. Both must see every event, and no other.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from benchmarks.backlogs.case import Backlog, Case
from benchmarks.backlogs.mongo import mongo
from benchmarks.backlogs.mysql import mysql
from benchmarks.backlogs.postgres import postgres
from benchmarks.comparison import OURS, RUNS, Comparison, Measure
from benchmarks.peers.debezium import Debezium
from benchmarks.peers.registry import PeerMissing
from servers.kafka_cluster import prepare, temporary_kafka
from support.draining import EmbeddedSink, KafkaSink, Sink

MEASURES = (
    Measure("rate", "events/s", more_is_better=True),
    Measure("cpu", "CPU s a million", digits=1),
    Measure("peak_mb", "peak memory, MiB"),
)
DATABASES: dict[str, Callable[[Sink, str], AbstractContextManager[Backlog]]] = {
    "postgres": lambda sink, bootstrap: postgres(Debezium.installed(bootstrap), sink),
    "mysql": lambda sink, bootstrap: mysql("mysql", Debezium.installed(bootstrap), sink),
    "mariadb": lambda sink, bootstrap: mysql("mariadb", Debezium.installed_for_mariadb(bootstrap), sink),
    "mongo": lambda sink, bootstrap: mongo(Debezium.installed(bootstrap), sink),
}
"""By the sink of ours, and the broker of the peer's, empty for none."""


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
    parser.add_argument("--sink", default="embedded", choices=["embedded", "kafka"])
    given = parser.parse_args()
    name, title = "peers_tailing", "Draining a backlog"
    with ExitStack() as stack:
        sink: Sink = EmbeddedSink()
        bootstrap = ""
        if given.sink == "kafka":
            name, title = f"{name}_kafka", f"{title} into Apache Kafka"
            bootstrap = stack.enter_context(broker())
            sink = KafkaSink(bootstrap)
        comparison = stack.enter_context(Comparison(name, title, MEASURES))
        for database in given.databases:
            with DATABASES[database](sink, bootstrap) as backlog:
                for case in given.cases:
                    compare(comparison, backlog, CASES[case](given.rows), given.runs)


@contextmanager
def broker() -> Iterator[str]:
    """Where one listens that makes topics itself."""
    with tempfile.TemporaryDirectory() as folder:
        jars = prepare(Path(folder))
        with temporary_kafka(jars, Path(folder), 1, {"auto.create.topics.enable": "true"}) as kafka:
            yield kafka.bootstrap()


if __name__ == "__main__":
    main()
