"""Plays cells of the crash matrix on their site, under random transactions that never pause."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from conftest import opened
from database import Database
from matrix import DISK_FULL, Cell, Pace
from matrix_table import Result
from production import Production, production

from servers.disk import Disk, disk_below
from servers.kafka import KafkaServers
from servers.kafka_cluster import Kafka
from servers.mysql import MysqlServers

_WRITERS_PAUSE: Final = 0.05


@dataclass(frozen=True, slots=True)
class Servers:
    """Where databases and brokers come from."""

    kafka: KafkaServers
    mysql: MysqlServers


async def lay_siege(
    cells: Sequence[Cell],
    servers: Servers,
    folder: Path,
    pace: Pace,
    seed: int,
    record: Callable[[Result], None],
) -> None:
    """All these cells, which share a site; those after one that broke the promise on a new one."""
    left = list(cells)
    while left:
        (life := folder / f"{len(left)}-to-go").mkdir(parents=True)
        async with _besieged(left, servers, life, pace, seed) as site:
            held = True
            while left and held:
                result = await _outcome(site, left.pop(0), pace)
                held = result.broken is None
                record(result)


@asynccontextmanager
async def _besieged(
    cells: Sequence[Cell], servers: Servers, folder: Path, pace: Pace, seed: int
) -> AsyncIterator[Production]:
    """The site with all that runs on it; database and brokers on disks of their own if one is to be filled."""
    on_disks = any(cell.fault == DISK_FULL for cell in cells)
    with ExitStack() as stack:
        kafka, disks = stack.enter_context(_brokers(servers.kafka, cells[0].brokers, on_disks=on_disks))
        database = stack.enter_context(opened(cells[0].database, servers.mysql))
        if on_disks:
            disks[database.data] = stack.enter_context(_moved(database))
        async with production(database, kafka, disks, folder, pace.takeover, seed) as site:
            yield site


@contextmanager
def _brokers(
    servers: KafkaServers, number: int, *, on_disks: bool
) -> Iterator[tuple[Kafka, dict[Path, Disk]]]:
    with ExitStack() as stack:
        kafka = stack.enter_context(servers.temporary(number, {}))
        disks: dict[Path, Disk] = {}
        if on_disks:
            kafka.kill()
            for broker in kafka.brokers:
                disks[broker.data] = stack.enter_context(disk_below(broker.data))
            stack.callback(kafka.kill)
            kafka.start()
        yield kafka, disks


@contextmanager
def _moved(database: Database) -> Iterator[Disk]:
    database.stop()
    with disk_below(database.data) as disk:
        database.start()
        try:
            yield disk
        finally:
            database.stop()


async def _outcome(site: Production, cell: Cell, pace: Pace) -> Result:
    """Plays one cell; prints the story where it breaks the promise."""
    try:
        return await _endure(site, cell, pace)
    except Exception as error:
        first = _first(error)
        print(f"{cell}\n{first}", flush=True)
        return Result(cell, broken=f"{type(first).__name__}: {first}".partition("\n")[0])


def _first(error: BaseException) -> BaseException:
    """The first error of a group, which is why the others were stopped."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _endure(site: Production, cell: Cell, pace: Pace) -> Result:
    await site.line_up()
    site.world.tell(f"-- {cell} --")
    calm = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(site.world.storm(site.workload, _WRITERS_PAUSE, calm))
        try:
            hit, mended = await _befall(site, cell, pace)
            told, caught_up = await site.watch.all_saw(hit), await site.watch.all_saw(mended)
        finally:
            calm.set()
    await site.world.check()
    events = await site.topics.check(site.world.history)
    site.watch.forget()
    return Result(cell, told - hit, caught_up - mended, events)


async def _befall(site: Production, cell: Cell, pace: Pace) -> tuple[float, float]:
    """The fault, from when all is well until it is mended; returns when it was there, and when it was over (Unix s)."""
    await site.watch.all_saw(time.time())
    victim = site.victim(cell.victim)
    try:
        await victim.hit(cell.fault)
        hit = time.time()
        site.world.tell("it is hit")
        await asyncio.sleep(pace.lasts(cell))
    finally:
        await victim.mend(cell.fault)
    mended = time.time()
    site.world.tell("it is mended")
    return hit, mended
