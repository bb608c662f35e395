"""The embedded log: appends of small and large batches, alone and followed by a reader in another process.

    python tests/benchmarks/bench_log.py [DIRECTORY]    on the disk of DIRECTORY (default: the working directory)

Prints records/s (median of 5 runs) and append latency for batches of 1, 100 and 1,000 records of 700 bytes, and the
time from the call of `append` to another process having the record. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from cdc.event import Batch, Position, Record
from cdc.log import open_log

RUNS = 5
VALUE = b"x" * 700
SIZES = {1: 2000, 100: 500, 1000: 200}


async def follow(directory: str) -> None:
    """Reads to the end; prints the delay of every chunk in µs (`ts_ms` carries microseconds here), then its rate."""
    reader = await open_log(directory, "bench").reader(0)
    print("ready", flush=True)
    delays: list[int] = []
    records = 0
    while True:
        chunks = await reader.read()
        now = time.monotonic_ns() // 1000
        for chunk in chunks:
            records += len(chunk.entries)
            delays.append(now - chunk.ts_ms)
            if chunk.position is not None and chunk.position.epoch == "end":
                print(*percentiles(delays[:-1]), flush=True)
                return


def percentiles(values: list[int] | list[float]) -> tuple[float, float]:
    ordered = sorted(values)
    return ordered[len(ordered) // 2], ordered[len(ordered) * 99 // 100]


async def run(directory: str, size: int, count: int, *, pause: float = 0.0) -> tuple[float, list[float]]:
    """Records/s and the latency of each append in seconds."""
    records: list[Record] = [("public.todos", b'{"id":%d}' % index, VALUE) for index in range(size)]
    log = open_log(directory, "bench")
    writer = await log.writer()
    latencies = []
    gc.collect()
    began = time.perf_counter()
    for order in range(count):
        before = time.perf_counter()
        await writer.append(Batch(records, Position("bench", order), time.monotonic_ns() // 1000))
        latencies.append(time.perf_counter() - before)
        if pause:
            await asyncio.sleep(pause)
    seconds = time.perf_counter() - began
    await writer.append(Batch([], Position("end", 0), 0))
    await log.close()
    return size * count / seconds, latencies


def measure(parent: Path, size: int, count: int, *, followed: bool, pause: float = 0.0) -> tuple[float, ...]:
    """(records/s, append p50 µs, append p99 µs[, reader p50 µs, p99 µs])"""
    with tempfile.TemporaryDirectory(dir=parent, prefix="bench-log-") as directory:
        reader = None
        if followed:
            command = [sys.executable, __file__, "--follow", directory]
            reader = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            assert reader.stdout is not None
            reader.stdout.readline()
        rate, latencies = uvloop.run(run(directory, size, count, pause=pause))
        result = [rate, *(seconds * 1e6 for seconds in percentiles(latencies))]
        if reader is not None:
            result += map(float, reader.communicate()[0].split())
        return tuple(result)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("directory", nargs="?", type=Path, default=Path())
    parser.add_argument("--follow", metavar="DIRECTORY", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.follow:
        uvloop.run(follow(arguments.follow))
        return
    print(f"{'batch':>12} {'reader':>7} {'records/s':>10} {'append p50/p99 µs':>18} {'read p50/p99 µs':>18}")
    cases = [(size, count, followed, 0.0) for size, count in SIZES.items() for followed in (False, True)]
    for size, count, followed, pause in [*cases, (1, 300, True, 0.003)]:
        runs = [
            measure(arguments.directory, size, count, followed=followed, pause=pause) for _ in range(RUNS)
        ]
        rate, *times = (statistics.median(column) for column in zip(*runs, strict=True))
        columns = [f"{low:,.0f}/{high:,.0f}" for low, high in zip(times[::2], times[1::2], strict=True)]
        name = f"{size:,}{' idle' if pause else ''}"
        print(
            f"{name:>12} {'yes' if followed else 'no':>7} {rate:>10,.0f}"
            + "".join(f" {c:>18}" for c in columns)
        )


if __name__ == "__main__":
    main()
