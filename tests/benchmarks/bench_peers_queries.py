"""What a change costs a server among many live queries of which it touches one: the index beside asking each.

    make bench BENCH=peers_queries
    make bench BENCH='peers_queries --queries 100 10000 --seconds 5'    (LIVETAIL_BENCH_RUNS=5)

A hundred live queries a client, each for a list of its own; rows are inserted for one list after the other, one
transaction each, and each must come to the client of its list. The server's CPU is all that it does for a row: of
Livetail tailer, event log and broadcaster; of Parse Server saving it, too, which is what its figure begins at.
"""

from __future__ import annotations

import argparse
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.bench_peers_latency import MEASURES, measure
from benchmarks.comparison import RUNS, Comparison
from benchmarks.fanout.server import allow_many_connections
from benchmarks.latency.livetail import Dev, livetail
from benchmarks.latency.parse import Parse, parse
from benchmarks.peers.registry import PeerMissing

EACH = 100
SYSTEMS: dict[str, Callable[[], AbstractContextManager[Dev | Parse]]] = {"livetail": livetail, "parse": parse}
PER_SECOND = {"livetail": 200, "parse": 20}
"""Rows; more than that Parse Server only queues where there are 10,000 live queries."""


@dataclass
class Crowd:
    """A `System` whose every client has a hundred live queries."""

    _system: Dev | Parse

    def __post_init__(self) -> None:
        self.who = self._system.who
        self.pids = self._system.pids
        self.address = self._system.address
        self.ready = self._system.ready_of(EACH)

    def subscribe(self, connection: socket.socket, number: int) -> None:
        """See `System.subscribe`."""
        self._system.subscribe_all(connection, range(number * EACH, (number + 1) * EACH))

    def writer(self, rate: int, seconds: float, clients: int) -> Sequence[str | Path]:
        """See `System.writer`."""
        return self._system.writer(rate, seconds, clients * EACH)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument(
        "--queries", nargs="*", type=int, default=[100, 1_000, 10_000], help="multiples of 100"
    )
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args()
    allow_many_connections()
    cpu_first = [*MEASURES[-1:], *MEASURES[:-1]]
    with Comparison("peers_queries", "A change among many live queries", cpu_first) as comparison:
        for queries, _, name in product(given.queries, range(given.runs), given.systems):
            try:
                with SYSTEMS[name]() as system:
                    values = measure(Crowd(system), PER_SECOND[name], queries // EACH, given.seconds)
                    comparison.add(f"{queries:,} live queries", system.who, values)
            except PeerMissing as error:
                comparison.note(f"No {name} here: {error}")


if __name__ == "__main__":
    main()
