"""How fast a tailer gets a backlog into an event log."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

from cdc.config import Collection, KafkaConfig
from cdc.event import Position
from cdc.log import EventLog
from cdc.log.embedded import EmbeddedLog
from cdc.log.kafka.log import KafkaLog
from support.tailer_process import TailerProcess

_MODULES = "modules:\n"
_numbers = itertools.count(1)


class Drained(NamedTuple):
    """What it took: events/s, CPU s per million events, the peak resident set in MiB."""

    rate: float
    cpu: float
    peak_mb: float


class Fresh(NamedTuple):
    """A log without events, of database `db`, and what the tailer is told of it."""

    log: EventLog
    config: str
    options: list[str]


class Sink(Protocol):
    """Where events go to."""

    def fresh(self, folder: Path, config: str) -> AbstractContextManager[Fresh]:
        """A log of its own for a tailer in this folder, with this configuration."""


class EmbeddedSink:
    """The embedded log, in the tailer's folder."""

    @contextmanager
    def fresh(self, folder: Path, config: str) -> Iterator[Fresh]:
        yield Fresh(EmbeddedLog(folder / "log", "db"), config, ["--log-dir", str(folder / "log")])


class KafkaSink:
    """A broker: each log is of a project of its own, with the collection t1."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    @contextmanager
    def fresh(self, folder: Path, config: str) -> Iterator[Fresh]:
        project = f"drain-{next(_numbers)}"
        text = config.replace("id: todo-app\n", f"id: {project}\n")
        text = text.replace(_MODULES, f"{_MODULES}  realtime: {{kafka: {{brokers: ['{self.bootstrap}']}}}}\n")
        kafka = KafkaConfig((self.bootstrap,))
        yield Fresh(KafkaLog(kafka, project, "db", {"t1": Collection("t1")}), text, ["--prod"])


def drain(
    config: str, count: int, skip: int = 0, *, begin: Position | None = None, sink: Sink | None = None
) -> Drained:
    """From the first event in the log after `skip` of warm-up to the last of `count`; no more must come. begin: where
    the log says that it was left."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (sink or EmbeddedSink()).fresh(folder, config) as fresh:
            return asyncio.run(_drain(folder, fresh, count, skip, begin))


async def _drain(folder: Path, fresh: Fresh, count: int, skip: int, begin: Position | None) -> Drained:
    log = fresh.log
    if begin is not None:
        writer = await log.writer()
        await writer.start_over(begin)
        await writer.close()
        await log.close()
    tailer = TailerProcess.start(folder, fresh.config, fresh.options)
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


def begin(config: str) -> Position:
    """Where a tailer begins now."""
    with tempfile.TemporaryDirectory() as name, EmbeddedSink().fresh(Path(name), config) as fresh:
        return asyncio.run(_begin(Path(name), fresh))


async def _begin(folder: Path, fresh: Fresh) -> Position:
    tailer = TailerProcess.start(folder, fresh.config, fresh.options)
    try:
        while (state := await fresh.log.state()) is None or state.position is None:
            if tailer.process.poll() is not None:
                raise SystemExit(tailer.output())
            await asyncio.sleep(0.02)
        tailer.stop()
        return state.position
    finally:
        tailer.kill()
        await fresh.log.close()
