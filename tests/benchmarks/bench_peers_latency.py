"""From the commit to the client: how long until a change is at the one client of many that it concerns.

    make bench BENCH=peers_latency
    make bench BENCH='peers_latency --rates 1000 --connections 1000 --seconds 10'    (LIVETAIL_BENCH_RUNS=5)

So many rows a second are inserted, one transaction each, on behalf of as many lists as there are clients; each client
has a live query for one list. The time is from just before the writer asks for the commit to the client's `recv`, so
that it contains the commit. Database, server, writer and clients share the machine.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import product

from benchmarks.comparison import RUNS, Comparison, Measure
from benchmarks.fanout.server import Use, allow_many_connections
from benchmarks.latency.clients import Clients
from benchmarks.latency.livetail import livetail
from benchmarks.latency.parse import parse
from benchmarks.latency.system import System
from benchmarks.latency.zero import zero
from benchmarks.peers.registry import PeerMissing

MEASURES = (
    Measure("p50_ms", "p50, ms", digits=1),
    Measure("p99_ms", "p99, ms", digits=1),
    Measure("rate", "changes/s told", more_is_better=True),
    Measure("cpu_us", "server's CPU µs a change"),
)
SYSTEMS: dict[str, Callable[[], AbstractContextManager[System]]] = {
    "livetail": livetail,
    "parse": parse,
    "zero": zero,
}
MOST = {"parse": (1_000, 1_000), "zero": (1_000, 1_000)}
"""Changes/s and clients that peers are not asked to go beyond: they cannot, or it would take too long."""
WARM_UP_S = 1.0


def measure(system: System, rate: int, connections: int, seconds: float) -> dict[str, float]:
    """One run."""
    with Clients(system, connections) as clients:
        clients.times(system.writer(rate, WARM_UP_S, connections))
        used = sum(Use.of(pid).cpu for pid in system.pids)
        times, took = clients.times(system.writer(rate, seconds, connections))
        used = sum(Use.of(pid).cpu for pid in system.pids) - used
    cuts = statistics.quantiles(times, n=100)
    return {
        "p50_ms": cuts[49] * 1e3,
        "p99_ms": cuts[98] * 1e3,
        "rate": len(times) / took,
        "cpu_us": used / len(times) * 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--systems", nargs="*", default=list(SYSTEMS), choices=list(SYSTEMS))
    parser.add_argument("--rates", nargs="*", type=int, default=[100, 1_000, 5_000])
    parser.add_argument("--connections", nargs="*", type=int, default=[1, 1_000, 5_000])
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args()
    allow_many_connections()
    with Comparison("peers_latency", "Commit to client", MEASURES) as comparison:
        for connections, _, name in product(given.connections, range(given.runs), given.systems):
            most_rate, most_connections = MOST.get(name, (max(given.rates), connections))
            if connections > most_connections:
                continue
            try:
                with SYSTEMS[name]() as system:
                    for rate in [rate for rate in given.rates if rate <= most_rate]:
                        values = measure(system, rate, connections, given.seconds)
                        comparison.add(f"{rate:,} changes/s, {connections:,} clients", system.who, values)
            except PeerMissing as error:
                comparison.note(f"No {name} here: {error}")


if __name__ == "__main__":
    main()
