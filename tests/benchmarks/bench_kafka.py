"""The log on Kafka: appends of small and large batches, and reading them back, on a broker of its own on this machine.

    make bench BENCH=kafka

Prints events/s and this process's CPU (µs an event) for appends of 1, 100 and 2,000 events of 350 bytes, each one
Kafka transaction, of reading them, and the time from the call of `append` to a reader having the event. Beside it, in
the same run, librdkafka (C) writes the same events in transactions of 2,000, and reads them. Asserts nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import uvloop
from confluent_kafka import Consumer, Producer

from cdc.codec import encode_event
from cdc.config import Collection, KafkaConfig
from cdc.event import Batch, Position, Record
from cdc.log.kafka.log import KafkaLog
from servers.kafka_cluster import prepare, temporary_kafka

SIZES = {1: 500, 100: 300, 2000: 150}


def events(count: int) -> list[Record]:
    """Inserts into one table, as the Postgres source makes them."""
    made: list[Record] = []
    for number in range(count):
        after = b'{"id":%d,"title":"item %d of many","owner":"user%d","priority":%d,"done":false}' % (
            number,
            number * 7919 % 100_003,
            number % 977,
            number % 5,
        )
        source = {
            "version": "0.1.0",
            "connector": "postgresql",
            "name": "todo-app.db",
            "ts_ms": 1_790_000_000_000,
            "snapshot": "false",
            "db": "app",
            "schema": "public",
            "table": "todos",
            "txId": str(700 + number // 10),
            "lsn": 23_907_384 + number * 100,
        }
        order = number % 10 + 1
        value = encode_event(
            op="c",
            before=None,
            after=after,
            source=source,
            ts_ms=1,
            total_order=order,
            collection_order=order,
        )
        made.append(("todos", b'{"id":%d}' % number, value))
    return made


def cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def measured(what: str, count: int, work: Callable[[], Awaitable[object]]) -> None:
    begun, used = time.perf_counter(), cpu()
    await work()
    seconds, used = time.perf_counter() - begun, cpu() - used
    print(f"{what:44} {count / seconds:10,.0f} /s {used / count * 1e6:8.2f} µs CPU")


async def bench(broker: str, partitions: int) -> None:
    todos = Collection("todos", partitions=partitions)
    log = KafkaLog(KafkaConfig((broker,)), f"bench-{uuid4().hex[:8]}", "db", {"todos": todos})
    writer = await log.writer()
    order = 0

    async def append(batch: list[Record], times: int) -> None:
        nonlocal order
        for _ in range(times):
            order += 1
            await writer.append(Batch(batch, Position("bench", order), 1))

    total = 0
    for size, times in SIZES.items():
        records = events(size)
        await append(records, 10)
        await measured(f"appends of {size:,}", size * times, lambda: append(records, times))  # noqa: B023
        total += size * (times + 10)

    async def read() -> None:
        found = 0
        reader = await log.reader(0)
        while found < total:
            found += sum(len(chunk.entries) for chunk in await reader.read())

    await measured("reading", total, read)
    reader = await log.reader()
    await reader.read()
    delays: list[float] = []
    for _ in range(200):
        await asyncio.sleep(0.01)
        begun = time.perf_counter()
        reading = asyncio.ensure_future(reader.read())
        await append(events(1), 1)
        await reading
        delays.append((time.perf_counter() - begun) * 1000)
    cuts = statistics.quantiles(delays, n=100)
    print(f"{'append to reader':44} {cuts[49]:6.1f} ms (99 %: {cuts[98]:.1f} ms)")
    await log.close()


async def reference(broker: str) -> None:
    records = events(2000)
    topic = f"reference-{uuid4().hex[:8]}"
    producer = Producer(
        {"bootstrap.servers": broker, "transactional.id": topic, "compression.type": "zstd", "linger.ms": 5}
    )
    producer.init_transactions()

    async def write() -> None:
        for _ in range(SIZES[2000]):
            producer.begin_transaction()
            for _, key, value in records:
                producer.produce(topic, value, key)
            producer.commit_transaction()

    async def read() -> None:
        consumer = Consumer({"bootstrap.servers": broker, "group.id": topic, "auto.offset.reset": "earliest"})
        consumer.subscribe([topic])
        left = 2000 * SIZES[2000]
        while left > 0:
            left -= len(consumer.consume(5000, 1))
        consumer.close()

    await measured("librdkafka: transactions of 2,000", 2000 * SIZES[2000], write)
    await measured("librdkafka: reading", 2000 * SIZES[2000], read)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--partitions", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"auto.create.topics.enable": "true"}
        with temporary_kafka(prepare(Path(folder)), Path(folder), 1, settings) as kafka:
            uvloop.run(bench(kafka.bootstrap(), given.partitions))
            uvloop.run(reference(kafka.bootstrap()))


if __name__ == "__main__":
    main()
