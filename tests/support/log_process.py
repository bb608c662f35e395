"""Writers and readers of an embedded log for tests that need them in a process of their own.

    python log_process.py write DIRECTORY      appends forever; prints the order of each append that returned
    python log_process.py stage DIRECTORY MB   appends one staged transaction of so many MB; prints the peak RSS in MB
    python log_process.py fill DIRECTORY MB    appends until files may have no more than so many MB, then on
    python log_process.py echo DIRECTORY       appends a record, for each line on standard input

What `write` appends follows from the order alone (see `batches_of`), so that a reader can check every byte.
"""

from __future__ import annotations

import asyncio
import random
import re
import resource
import sys
from pathlib import Path

from cdc.errors import LogError
from cdc.event import Batch, Position, Record
from cdc.log.embedded import EmbeddedLog


def batches_of(order: int) -> list[Batch]:
    """One transaction, as it is appended in one or several batches: 0 to some 2,000 records, up to 1.5 MB."""
    rng = random.Random(order)
    records: list[Record] = [
        (f"c{rng.randrange(3)}", b"%d/%d" % (order, index), rng.randbytes(rng.choice((0, 10, 700))))
        for index in range(rng.choice((0, 1, 2, 50, 2000)))
    ]
    parts = rng.choice((1, 1, 3))
    step = len(records) // parts + 1
    batches = [Batch(records[at : at + step], None, order) for at in range(0, len(records), step)]
    return [*batches, Batch([], Position("p", order), order)]


async def write(directory: str) -> None:
    log = EmbeddedLog(directory, "db")
    writer = await log.writer()
    order = writer.position.order if writer.position is not None else 0
    print(order, flush=True)
    while True:
        order += 1
        for batch in batches_of(order):
            await writer.append(batch)
        print(order, flush=True)


async def stage(directory: str, megabytes: int) -> None:
    log = EmbeddedLog(directory, "db")
    writer = await log.writer()
    for part in range(megabytes):
        records: list[Record] = [
            ("c", b"%d/%d" % (part, index), random.randbytes(1000)) for index in range(1000)
        ]
        await writer.append(Batch(records, None, 1))
    await writer.append(Batch([], Position("p", 1), 1))
    # Not ru_maxrss, which a process inherits from the one that started it.
    status = Path("/proc/self/status").read_text()
    print(int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) // 1024, flush=True)
    await log.close()


async def fill(directory: str, megabytes: int) -> None:
    log = EmbeddedLog(directory, "db")
    writer = await log.writer()
    resource.setrlimit(resource.RLIMIT_FSIZE, (megabytes << 20, resource.RLIM_INFINITY))
    order = 0
    try:
        while True:
            order += 1
            await writer.append(
                Batch([("c", b"%d" % order, random.randbytes(100_000))], Position("p", order), 1)
            )
    except LogError as error:
        print(error, flush=True)
    assert writer.position == Position("p", order - 1), writer.position
    for _ in range(3):
        try:
            await writer.append(
                Batch([("c", b"still full", random.randbytes(megabytes << 20))], Position("p", order), 1)
            )
        except LogError:
            continue
        raise AssertionError("a full disk took it")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await writer.append(Batch([("c", b"%d" % order, b"")], Position("p", order), 1))
    print(order, flush=True)
    await log.close()


async def echo(directory: str) -> None:
    log = EmbeddedLog(directory, "db")
    writer = await log.writer()
    print("ready", flush=True)
    order = 0
    while line := await asyncio.to_thread(sys.stdin.readline):
        order += 1
        await writer.append(Batch([("c", b"{}", line.strip().encode())], Position("p", order), 1))
    await log.close()


if __name__ == "__main__":
    _, what, where, *rest = sys.argv
    commands = {"write": write, "stage": stage, "fill": fill, "echo": echo}
    asyncio.run(commands[what](where, *map(int, rest)))  # type: ignore[operator]
