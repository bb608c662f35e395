"""One change to many connections: Livetail's broadcaster beside nchan, Node's http and Starlette, in turn.

    make bench BENCH=peers_fanout
    make bench BENCH='peers_fanout --connections 1000 10000 --together 1 10'    (LIVETAIL_BENCH_RUNS=5)

One process of each, one client for all: sockets whose frames are counted. A change is published when every connection
has the one before; `together`: so many changes reach the server at once. Frames have 300 bytes. The CPU is the server
process' own, user and kernel, and so says what a core could do; the rate is also bound by the client beside it.
Livetail's frames carry a cursor to resume from, of a log on this disk; nchan keeps its newest messages in memory, the
other two nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import product

from benchmarks.comparison import RUNS, Comparison, Measure
from benchmarks.fanout.http_peers import node, starlette
from benchmarks.fanout.livetail import livetail
from benchmarks.fanout.nchan import nchan
from benchmarks.fanout.server import Server, Use, allow_many_connections
from benchmarks.fanout.sink import Sink
from benchmarks.peers.registry import PeerMissing

MEASURES = (
    Measure("cpu_us", "server's CPU µs a frame", digits=1),
    Measure("rate", "frames/s", more_is_better=True),
    Measure("each_kb", "memory of a connection, KiB", digits=1),
)
SERVERS: dict[str, Callable[[], AbstractContextManager[Server]]] = {
    "livetail": livetail,
    "nchan": nchan,
    "node": node,
    "starlette": starlette,
}


def measure(
    server: Server, connections: int, togethers: Sequence[int], frames: int
) -> Iterator[tuple[int, dict[str, float]]]:
    """For each of `togethers`, what about so many frames took; over the same connections."""
    before = Use.of(server.pid)
    with Sink(server.address, server.request, server.ready, connections) as sink:
        each_kb = (Use.of(server.pid).resident_kb - before.resident_kb) / connections
        for together in togethers:
            rounds = max(2, frames // (connections * together))
            _publish(server, sink, connections, together, rounds // 4 + 1)  # warm-up
            begun, before = time.perf_counter(), Use.of(server.pid)
            _publish(server, sink, connections, together, rounds)
            seconds, used = time.perf_counter() - begun, Use.of(server.pid).cpu - before.cpu
            sent = rounds * connections * together
            yield together, {"cpu_us": used / sent * 1e6, "rate": sent / seconds, "each_kb": each_kb}


def _publish(server: Server, sink: Sink, connections: int, together: int, rounds: int) -> None:
    for _ in range(rounds):
        server.publish(together)
        sink.take(connections * together)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--servers", nargs="*", default=list(SERVERS), choices=list(SERVERS))
    parser.add_argument("--connections", nargs="*", type=int, default=[1_000, 5_000, 10_000])
    parser.add_argument("--together", nargs="*", type=int, default=[1, 10])
    parser.add_argument("--frames", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=RUNS)
    given = parser.parse_args()
    allow_many_connections()
    with Comparison("peers_fanout", "A change to many connections", MEASURES) as comparison:
        for connections, _, name in product(given.connections, range(given.runs), given.servers):
            try:
                with SERVERS[name]() as server:
                    for together, values in measure(server, connections, given.together, given.frames):
                        what = "one change" if together == 1 else f"{together} changes at once"
                        comparison.add(f"{connections:,} connections, {what}", server.who, values)
            except PeerMissing as error:
                comparison.note(f"No {name} here: {error}")


if __name__ == "__main__":
    main()
