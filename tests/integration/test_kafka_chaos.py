"""Two tailers that come, go and are cut short at any moment, and readers of anything from anywhere: one log, whole.
`LIVETAIL_SOAK=<minutes>` runs one seed after the other."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Coroutine
from random import Random, SystemRandom
from typing import Any

import pytest

from cdc.config import Collection, KafkaConfig
from cdc.errors import LogError, LogInUse
from cdc.event import Batch, Entry, Position, Record
from cdc.log.kafka.log import KafkaLog
from servers.kafka_cluster import Kafka

COLLECTIONS = {
    "many": Collection("many", partitions=3),
    "one": Collection("one"),
    "compact": Collection("compact", partitions=2, compact=True),
}


def records(order: int) -> list[Record]:
    """What the transaction of this order changed; every event is like no other."""
    random = Random(order)
    made: list[Record] = []
    for number in range(random.choice((0, 1, 2, 5, 40, 400))):
        op = random.choice((b"c", b"d"))
        value = b'{"tx":%d,"no":%d,"source":{},"op":"%s"}' % (order, number, op)
        key = b'{"id":%d}' % random.randrange(50)
        made.append((random.choice(tuple(COLLECTIONS)), key, value + b" " * random.choice((0, 10, 3000))))
    return made


def batches(order: int) -> list[Batch]:
    """The same as it is appended: at once or in parts, with the position in the last one or after it."""
    random = Random(-order)
    changed, position = records(order), Position("chaos", order)
    step = len(changed) // random.choice((1, 1, 3)) + 1
    parts = [Batch(changed[at : at + step], None, order) for at in range(0, len(changed), step)]
    if not parts or random.random() < 0.5:
        return [*parts, Batch([], position, order)]
    return [*parts[:-1], Batch(parts[-1].records, position, order)]


class Play:
    """seen: what a reader that follows the log has got; goal: the order at which all is over."""

    def __init__(self, kafka: Kafka, seed: int, goal: int) -> None:
        self._random = Random(seed)
        self._config = KafkaConfig(tuple(kafka.bootstrap().split(",")))
        self._project = f"chaos-{seed}-{time.time_ns():x}"
        self._goal = goal
        self.seen: list[Entry] = []
        self.samples = 0
        self._over = asyncio.Event()

    def _log(self) -> KafkaLog:
        return KafkaLog(self._config, self._project, "db", COLLECTIONS)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for work in (self._tail(), self._tail(), self._follow(), self._sample()):
                group.create_task(work)
        expected = [record for order in range(1, self._goal + 1) for record in records(order)]
        assert self.seen == [(offset, *record) for offset, record in enumerate(expected, 1)]

    async def _tail(self) -> None:
        """One life after the other."""
        while not self._over.is_set():
            log = self._log()
            for _ in range(self._random.randrange(1, 8)):
                try:
                    await self._session(log)
                except LogInUse:
                    await asyncio.sleep(0.1)
                except LogError:
                    await asyncio.sleep(0.02)
            await log.close()
            await asyncio.sleep(self._random.uniform(0, 0.2))

    async def _session(self, log: KafkaLog) -> None:
        writer = await log.writer()
        try:
            done = 0 if writer.position is None else writer.position.order
            for order in range(done + 1, min(done + self._random.randrange(60), self._goal) + 1):
                for batch in batches(order):
                    if not await self._append(writer.append(batch)):
                        return
            if writer.position == Position("chaos", self._goal):
                self._over.set()
        finally:
            await writer.close()

    async def _append(self, append: Coroutine[Any, Any, None]) -> bool:
        """Whether it was let come to its end."""
        appending = asyncio.ensure_future(append)
        if self._random.random() > 0.03:
            await appending
            return True
        await asyncio.wait({appending}, timeout=self._random.uniform(0, 0.02))
        appending.cancel()
        await asyncio.wait({appending})
        return False

    async def _follow(self) -> None:
        log = self._log()
        reader = await log.reader(0)
        position = None
        while position != Position("chaos", self._goal):
            for chunk in await reader.read():
                self.seen += chunk.entries
                position = chunk.position
        await log.close()

    async def _sample(self) -> None:
        """Reads some collections from somewhere to somewhere, from memory or from Kafka."""
        log = self._log()
        while not self._over.is_set():
            await asyncio.sleep(0.05)
            if not self.seen:
                continue
            newest = self.seen[-1][0]
            place = after = self._random.randrange(newest)
            wanted = set(self._random.sample(tuple(COLLECTIONS), self._random.randrange(1, 4)))
            until = min(newest, after + self._random.randrange(1, 3000))
            reader = await log.reader(after, wanted)
            found: list[Entry] = []
            while place < until:
                for chunk in await reader.read():
                    found += chunk.entries
                    place = chunk.end
            await reader.close()
            assert [entry for entry in found if entry[0] <= newest] == [
                entry for entry in self.seen[after : min(place, newest)] if entry[1] in wanted
            ]
            self.samples += 1
        await log.close()


def some_seed() -> int:
    return SystemRandom().randrange(1_000_000)


async def test_tailers_that_come_and_go(kafka: Kafka) -> None:
    assert kafka.brokers  # Apache's own alone
    seed = some_seed()
    print("seed", seed)
    await Play(kafka, seed, 80).run()


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("LIVETAIL_SOAK" not in os.environ, reason="runs for LIVETAIL_SOAK=<minutes>")
async def test_soak(kafka: Kafka) -> None:
    end = time.monotonic() + 60 * float(os.environ["LIVETAIL_SOAK"])
    seed = some_seed()
    while time.monotonic() < end:
        play = Play(kafka, seed, 500)
        print("seed", seed, flush=True)
        await play.run()
        assert play.samples
        seed += 1
