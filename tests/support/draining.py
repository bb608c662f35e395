"""How fast a tailer gets a backlog into the embedded log."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import NamedTuple

from cdc.log.embedded import EmbeddedLog
from support.tailer_process import TailerProcess


class Drained(NamedTuple):
    """What it took: events/s, CPU s per million events, the peak resident set in MiB."""

    rate: float
    cpu: float
    peak_mb: float


async def drain(folder: Path, config: str, count: int, skip: int = 0) -> Drained:
    """From the first event in the log of `folder` after `skip` of warm-up to the last of `count`; no more must come."""
    log = EmbeddedLog(folder / "log", "db")
    tailer = TailerProcess.start(folder, config)
    try:
        begun = used = 0.0
        newest = first = 0
        while newest < count:
            await asyncio.sleep(0.02)  # looking costs CPU that the tailer wants
            if tailer.process.poll() is not None:
                raise SystemExit(tailer.output())
            state = await log.state()
            newest = state.newest if state is not None else 0
            if newest > skip and not begun:
                begun, used, first = time.perf_counter(), tailer.cpu_seconds(), newest
        seconds, used = time.perf_counter() - begun, tailer.cpu_seconds() - used
        if newest > count:
            raise SystemExit(f"{newest} events in the log of {count} changes")
        measured = newest - first
        if not measured:
            raise SystemExit(f"{count} events are too few: all came between two looks at the log")
        return Drained(measured / seconds, used / measured * 1e6, tailer.peak_memory_mb())
    finally:
        tailer.kill()
        await log.close()


async def begin(folder: Path, config: str) -> None:
    """A log in `folder` whose position is now."""
    log = EmbeddedLog(folder / "log", "db")
    tailer = TailerProcess.start(folder, config)
    try:
        while (state := await log.state()) is None or state.position is None:
            if tailer.process.poll() is not None:
                raise SystemExit(tailer.output())
            await asyncio.sleep(0.02)
        tailer.stop()
    finally:
        tailer.kill()
        await log.close()
