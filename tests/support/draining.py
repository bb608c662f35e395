"""How fast a tailer gets a backlog into the embedded log."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from cdc.log.embedded import EmbeddedLog
from support.tailer_process import TailerProcess


async def drain(folder: Path, config: str, count: int) -> tuple[float, float, int]:
    """(events/s, CPU s per million, peak RSS in MB), from the first event in the log of `folder` to the last of
    `count`."""
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
            if newest and not begun:
                begun, used, first = time.perf_counter(), tailer.cpu_seconds(), newest
        seconds, used = time.perf_counter() - begun, tailer.cpu_seconds() - used
        return (newest - first) / seconds, used / (newest - first) * 1e6, tailer.peak_memory_mb()
    finally:
        tailer.kill()
        await log.close()
