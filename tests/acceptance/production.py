"""The oracle's world on Kafka: a tailer and one that stands by, two broadcasters between which clients move, and each
of them, the brokers and the database where they can be hit.

The tailer that is hit has ways of its own to the brokers and to the database, so that it can be cut off alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from database import Database
from oracle import World
from processes import Line, Process, running, write_config
from topics import Topics
from victims import Victim
from watch import Watch
from workload import Drop, Workload

from servers.disk import Disk
from servers.kafka_cluster import Kafka
from servers.proxy import HOST, Proxy

_PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Production:
    """A world that runs, watched. topics: to be held to its history; victim: finds the one of a name."""

    world: World
    workload: Workload
    watch: Watch
    topics: Topics
    victim: Callable[[str], Victim]
    _tailers: tuple[Process, Process]
    _broadcasters: Sequence[Process]

    async def line_up(self) -> None:
        """Have the first tailer lead and the second one stand by, and the watchers at both broadcasters alike. Nothing
        else happens meanwhile."""
        await self._put_in_lead()
        for broadcaster in self._broadcasters:
            await broadcaster.ready()
        for subscription in self.watch.subscriptions:
            await self.world.act(Drop(subscription.client))

    async def _put_in_lead(self) -> None:
        tailer, standby = self._tailers
        deadline = time.monotonic() + _PATIENCE
        while True:
            leads, _ = await tailer.says()
            leads_too, report = await standby.says()
            if leads and "stands by" in report:
                return
            if leads_too:  # or only seems to, until it writes
                await asyncio.to_thread(standby.stop)
                standby.start()
            if time.monotonic() > deadline:
                raise AssertionError(f"no leader and standby:\n{tailer.told()}\n\n{standby.told()}")
            await asyncio.sleep(0.1)


@asynccontextmanager
async def production(
    database: Database, kafka: Kafka, disks: Mapping[Path, Disk], folder: Path, takeover: int, seed: int
) -> AsyncIterator[Production]:
    """The database made ready, with all that belongs to it running. disks: by the folder that they are mounted on;
    takeover: seconds; seed: of the workload."""
    await database.prepare()
    async with AsyncExitStack() as stack:

        async def proxy(target: tuple[str, int], port: int = 0) -> Proxy:
            return await stack.enter_async_context(Proxy(target, port))

        to_database = [await proxy((HOST, database.port)) for _ in range(2)]
        to_brokers = {
            (broker.number, listener): await proxy(broker.target(listener), port)
            for broker in kafka.brokers
            for listener, port in broker.ports.proxied.items()
        }
        configs = []
        for number, listener in enumerate(kafka.brokers[0].ports.proxied):
            brokers = kafka.bootstrap(listener).split(",")
            realtime = {"kafka": {"brokers": brokers, "takeover": f"{takeover}s"}, "heartbeat": "1s"}
            url = database.url_through(to_database[number].port)
            file = folder / f"livetail-{number}.yaml"
            configs.append(write_config(file, url, list(database.tables), realtime, database.alias))
        tailer, standby = (Process("cdc", config, None) for config in configs)
        broadcasters = [Process("broadcaster", configs[1], None) for _ in range(2)]
        await stack.enter_async_context(running(tailer, *broadcasters))
        standby.start()
        stack.callback(standby.kill)
        to_broadcasters = [await proxy((HOST, broadcaster.port)) for broadcaster in broadcasters]
        front = Line(HOST, *(each.port for each in to_broadcasters))
        processes = {"tailer": tailer, "standby": standby} | {
            f"broadcaster {number}": each for number, each in enumerate(broadcasters, 1)
        }
        world = World(database, processes, {"client": await stack.enter_async_context(front.running())})
        stack.push_async_callback(world.close)
        prefix = f"todo-app.{database.alias}"
        tables = list(database.tables.values())
        topics = Topics(kafka.bootstrap(), f"{prefix}.", tables)

        def process(of: Process, *proxies: Proxy) -> Victim:
            return Victim(of.kill, of.start, lambda: [of.pid], proxies, None, of.output)

        def broker(number: int) -> Victim:
            of = kafka.brokers[number - 1]
            ways = [way for (node, _), way in to_brokers.items() if node == number]
            pids = lambda: [] if of.pid is None else [of.pid]  # noqa: E731
            return Victim(of.kill, of.start, pids, ways, disks.get(of.data), of.log_file)

        def victim(name: str) -> Victim:
            match name:
                case "tailer":
                    own = [way for (_, listener), way in to_brokers.items() if listener == "PROXIED"]
                    return process(tailer, to_database[0], *own)
                case "broadcaster":
                    return process(broadcasters[0], to_broadcasters[0])
                case "broker":
                    return broker(1)
                case "leader":
                    return broker(topics.leader_of(f"{prefix}-position"))
            assert name == "database"
            disk = disks.get(database.data)
            return Victim(database.kill, database.start, database.pids, to_database, disk, database.log_file)

        watch = Watch(database.alias, list(database.tables))
        world.tamper = watch.note
        for subscription in watch.subscriptions:
            await world.act(subscription)
        workload = Workload(seed, database.alias, tables, database.can, lines=("client",))
        yield Production(world, workload, watch, topics, victim, (tailer, standby), broadcasters)
