"""Short words for tests of the embedded log, and its processes (see `log_process`)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from cdc.event import Batch, Chunk, Position
from cdc.log import LogReader
from support import log_process

ROOT = Path(__file__).parents[2]


def batch(order: int, value: bytes = b"{}", *, staged: bool = False) -> Batch:
    return Batch([("c", b"%d" % order, value)], None if staged else Position("p", order), order)


def keys(chunks: list[Chunk]) -> list[bytes]:
    return [entry[2] for chunk in chunks for entry in chunk.entries]


async def read_keys(reader: LogReader, until: int) -> list[bytes]:
    """The keys of all records up to the position of this order."""
    chunks: list[Chunk] = []
    while not chunks or chunks[-1].position is None or chunks[-1].position.order < until:
        chunks += await reader.read()
    return keys(chunks)


def start(*arguments: object, program: tuple[str, ...] = (log_process.__file__,)) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


async def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = await asyncio.to_thread(process.stdout.readline)
    assert line, "the process ended"
    return line.strip()


def end(process: subprocess.Popen[str]) -> str:
    """Kill it and return what it had printed and nobody read."""
    process.kill()
    return process.communicate()[0]
