"""The log on Kafka where things go wrong, on Apache Kafka itself. What every log promises is in the contract suite."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from aiokafka.protocol.admin import CreatePartitionsRequest, DeleteTopicsRequest

from cdc.config import Collection, KafkaConfig, Retention
from cdc.errors import CursorExpired, EpochChanged, LogError, LogInUse
from cdc.event import Batch, Entry, Position, Record
from cdc.log import LogReader
from cdc.log.kafka.link import Link
from cdc.log.kafka.log import KafkaLog
from cdc.log.kafka.producer import Producer
from cdc.log.kafka.topics import Topics, trim
from servers.kafka_cluster import Kafka

CONFIG = KafkaConfig((), timeout=20.0)
Open = Callable[..., KafkaLog]


def record(number: int, collection: str = "todos", size: int = 0) -> Record:
    return collection, b'{"id":%d}' % number, b'{"after":%d,"pad":"%s"}' % (number, b"x" * size)


def batch(order: int, *records: Record) -> Batch:
    return Batch(list(records), Position("p", order), order)


async def numbers(reader: LogReader, until: int) -> list[Entry]:
    """Everything up to the position of this order."""
    found: list[Entry] = []
    while True:
        for chunk in await reader.read():
            found += chunk.entries
            if chunk.position is not None and chunk.position.order >= until:
                return found


@pytest.fixture
def config(kafka: Kafka) -> KafkaConfig:
    assert (
        kafka.brokers
    )  # Apache's own alone: what stands in for it is killed, deletes and undoes in other ways
    return replace(CONFIG, brokers=tuple(kafka.bootstrap().split(",")))


@pytest.fixture
async def open_log(config: KafkaConfig) -> AsyncIterator[Open]:
    """Logs of one project, whose name no other test has, with one collection of three partitions and another of one."""
    opened: list[KafkaLog] = []
    project = f"log-{uuid4().hex[:8]}"

    def open_one(**changes: Any) -> KafkaLog:
        collections = {"todos": Collection("todos", partitions=3), "users": Collection("users")}
        opened.append(KafkaLog(replace(config, **changes), project, "db", collections))
        return opened[-1]

    yield open_one
    for log in opened:
        await log.close()


@pytest.fixture
async def link(config: KafkaConfig) -> AsyncIterator[Link]:
    """An administrator's connection."""
    made = Link(config)
    yield made
    await made.close()


async def until_gone(link: Link, topic: str) -> None:
    await link.ask(DeleteTopicsRequest([topic], 10_000))
    while topic in await link.describe([topic]):
        await asyncio.sleep(0.02)


async def test_many_partitions_and_collections_are_one_log(open_log: Open) -> None:
    log = open_log()
    writer = await log.writer()
    written: list[Record] = []
    for order in range(1, 41):
        records = [record(order * 100 + n, "users" if n % 4 == 0 else "todos") for n in range(order)]
        written += records
        await writer.append(batch(order, *records))
    everything = [(offset, *each) for offset, each in enumerate(written, 1)]
    assert await numbers(await log.reader(0), 40) == everything
    assert await numbers(await open_log().reader(300, {"users"}), 40) == [
        entry for entry in everything[300:] if entry[1] == "users"
    ]


async def test_a_large_batch_comes_in_parts_and_all_at_once(open_log: Open) -> None:
    log = open_log()
    writer = await log.writer()
    records = [record(number, size=1000) for number in range(3000)]
    await writer.append(batch(1, *records))
    chunks = []
    reader = await log.reader(0)
    while not chunks or chunks[-1].position is None:
        chunks += await reader.read()
    assert len(chunks) == 6
    assert [chunk.position for chunk in chunks[:-1]] == [None] * 5
    assert [entry[1:] for chunk in chunks for entry in chunk.entries] == records


@pytest.mark.parametrize("topic", ["data", "position"])
async def test_a_deleted_topic_ends_the_epoch(open_log: Open, link: Link, topic: str) -> None:
    log = open_log()
    writer = await log.writer()
    await writer.append(batch(1, record(1), record(2, "users")))
    reader = await log.reader()
    await reader.read()
    await until_gone(link, log.names.position_topic if topic == "position" else log.names.topic("users"))
    with pytest.raises(LogError, match="is not there"):
        await writer.append(batch(2, record(3, "users")))
    await writer.close()
    writer = await log.writer()
    assert writer.position == (None if topic == "position" else Position("p", 1))
    for order in range(3, 8):
        await writer.append(batch(order, record(order, "users")))
    with pytest.raises(EpochChanged):
        await reader.read()
    fresh = await log.reader()
    assert fresh.epoch != reader.epoch
    await writer.append(batch(8, record(8, "users")))
    assert [entry[1:] for entry in await numbers(fresh, 8)] == [record(8, "users")]


async def test_a_topic_made_anew_behind_the_writers_back_ends_the_epoch(open_log: Open, link: Link) -> None:
    """So that what is appended lies where something else lay before."""
    log = open_log()
    writer = await log.writer()
    await writer.append(batch(1, *(record(number, "users") for number in range(20))))
    reader = await log.reader()
    await reader.read()
    await until_gone(link, log.names.topic("users"))
    await log._topics.ensure(link, ["users"])
    with pytest.raises(LogError):
        await writer.append(batch(2, record(21, "users")))
    await writer.close()
    writer = await log.writer()
    assert writer.position == Position("p", 1)
    with pytest.raises(EpochChanged):
        await reader.read()


async def test_a_position_topic_that_lost_its_newest_records_ends_the_epoch(
    open_log: Open, link: Link
) -> None:
    """As after a loss of power: what follows would get offsets that clients have seen as something else."""
    log = open_log()
    writer = await log.writer()
    await writer.append(batch(1, record(1, "users")))
    await writer.append(Batch([record(2, "users")], None, 2))
    await writer.close()
    state = await log.state()
    await (await log.writer()).close()
    assert await log.state() == state  # what was undone is not taken for it
    lost = Producer(link, uuid4().hex, 10)
    await lost.begin()
    partition = (log.names.topic("users"), 0)
    await lost.join({partition})
    await lost.produce({partition: [(b"{}", b"{}")]})
    await lost.commit()
    writer = await log.writer()
    assert writer.position == Position("p", 1)
    after = await log.state()
    assert state is not None
    assert after is not None
    assert after.epoch != state.epoch


async def test_records_that_retention_took(open_log: Open, link: Link) -> None:
    log = open_log()
    writer = await log.writer()
    for order in range(1, 5):
        await writer.append(batch(order, record(order, "users")))
    await trim(link, log.names.topic("users"), 3)
    other = open_log()
    with pytest.raises(CursorExpired, match="retention"):
        await (await other.reader(0, {"users"})).read()
    assert [entry[0] for entry in await numbers(await other.reader(3, {"users"}), 4)] == [4]
    assert await numbers(await other.reader(0, {"todos"}), 4) == []


async def test_partitions_may_be_added(open_log: Open, link: Link) -> None:
    log = open_log()
    writer = await log.writer()
    reader = await log.reader(0)
    await writer.append(batch(1, *(record(number, "users") for number in range(20))))
    answer = await link.ask(CreatePartitionsRequest([(log.names.topic("users"), (4, None))], 10_000, False))
    assert [error[1] for error in answer.topic_errors] == [0]
    while (await link.describe([log.names.topic("users")]))[log.names.topic("users")] < 4:
        await asyncio.sleep(0.02)
    await writer.append(batch(2, *(record(number, "users") for number in range(20, 40))))
    await writer.close()
    writer = await log.writer()
    await writer.append(batch(3, *(record(number, "users") for number in range(40, 60))))
    assert await numbers(reader, 3) == [(number + 1, *record(number, "users")) for number in range(60)]
    state = await log.state()
    assert state is not None
    assert state.epoch == reader.epoch


async def test_topics_that_are_there_are_used_as_they_are(
    open_log: Open, config: KafkaConfig, link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    log = open_log()
    few = {"todos": Collection("todos", partitions=2, compact=True), "users": Collection("users")}
    others = Topics(log.names, config, Retention(), few)
    await others.ensure(link, few)
    assert not caplog.records
    for _ in range(2):
        writer = await log.writer()
        await writer.append(batch(1, *(record(number) for number in range(10))))
        await writer.close()
    topic = log.names.topic("todos")
    assert [each.getMessage() for each in caplog.records] == [
        f"Kafka: topic {topic} has 2 partitions, not 3 as configured; it is used as it is",
        f"Kafka: topic {topic} has cleanup.policy=compact where it should be delete; it is used as it is",
    ]


async def test_an_event_that_is_too_large_stops_the_log_before_it(open_log: Open) -> None:
    log = open_log(message_bytes=20_000)
    writer = await log.writer()
    noise = uuid4().bytes.hex().encode()
    large: Record = ("users", b"{}", b"".join(uuid4().hex.encode() for _ in range(2000)) + noise)
    with pytest.raises(
        LogError, match=r"topic .*\.db\.users.* max\.message\.bytes is 20000.*kafka-configs\.sh"
    ):
        await writer.append(batch(1, record(1), large))
    with pytest.raises(LogError, match="opened anew"):
        await writer.append(batch(1, record(1)))
    await writer.close()
    writer = await log.writer()
    assert writer.position is None
    await writer.append(batch(1, record(1)))
    assert await numbers(await log.reader(0), 1) == [(1, *record(1))]


async def test_replays_come_from_memory(open_log: Open, kafka: Kafka) -> None:
    """What a reader that follows got, a later one need not ask Kafka for: here it could not."""
    writer = await open_log().writer()
    log = open_log()
    follower = await log.reader(follows=True)
    first = [record(number, ("users", "todos")[number % 2]) for number in range(100)]
    await writer.append(batch(1, *first))
    await numbers(follower, 1)
    kafka.brokers[0].pause()
    try:
        replays = [await log.reader(after, {"users"}) for after in (0, 10, 99 - 1)]
        found = [[entry for chunk in await replay.read() for entry in chunk.entries] for replay in replays]
    finally:
        kafka.brokers[0].resume()
    users = [(offset, *each) for offset, each in enumerate(first, 1) if each[0] == "users"]
    assert found == [users, users[5:], users[49:]]
    await writer.append(batch(2, record(100, "users")))
    assert await numbers(replays[0], 2) == [(101, *record(100, "users"))]  # and then it goes on in Kafka
    assert replays[0].epoch == follower.epoch
    with pytest.raises(CursorExpired):
        await log.reader(102)


async def test_a_replay_goes_on_where_the_last_one_stopped(
    open_log: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass over the log opens a reader for each read: only the first one searches, and there is one connection."""
    writer = await open_log().writer()
    for order in range(1, 40):
        await writer.append(batch(order, *(record(order * 10 + n, size=20_000) for n in range(9))))
    log = open_log()
    calls: list[str] = []
    ask = Link.call

    async def counted(link: Link, node: int, request: Any, lane: str = "") -> Any:
        calls.append(lane)
        return await ask(link, node, request, lane)

    monkeypatch.setattr(Link, "call", counted)
    place, found, searched, reads = 0, [], 0, 0
    while place < 39 * 9:
        reader = await log.reader(place, {"todos"})
        searched += len([lane for lane in calls if not lane])
        calls.clear()
        for chunk in await reader.read():
            found += chunk.entries
            place = chunk.end
        reads += 1
        await reader.close()
    assert [entry[0] for entry in found] == list(range(1, place + 1))
    assert reads > 3
    assert searched < 30
    assert len([key for key in log._shared_link()._connections if key[1]]) == 1


async def test_one_leads_and_the_other_stands_by(open_log: Open) -> None:
    leader, standby = open_log(), open_log()
    writer = await leader.writer()
    for _ in range(3):
        with pytest.raises(LogInUse, match="stands by"):
            await standby.writer()
        await writer.append(batch(1, record(1)))
    await writer.close()
    with pytest.raises(LogInUse):  # it may still be between two attempts
        await standby.writer()
    await leader.close()
    while True:
        try:
            writer = await standby.writer()
            break
        except LogInUse:
            await asyncio.sleep(0.05)
    assert writer.position == Position("p", 1)


async def test_a_writer_that_was_replaced_is_fenced(open_log: Open, link: Link) -> None:
    log = open_log()
    writer = await log.writer()
    await writer.append(batch(1, record(1)))
    await writer.append(Batch([record(2)], None, 2))
    await Producer(link, log.names.transactional_id, 10).begin()
    with pytest.raises(LogInUse, match="taken over"):
        await writer.append(batch(2, record(3)))
    await writer.close()
    writer = await log.writer()
    assert writer.position == Position("p", 1)
    await writer.append(batch(2, record(4)))
    assert [entry[2] for entry in await numbers(await log.reader(0), 2)] == [record(1)[1], record(4)[1]]


async def append_surely(log: KafkaLog, batches: list[Batch]) -> int:
    """As a pipeline does: after a failure from the log's own position on. Returns how often that was."""
    failures = 0
    while True:
        try:
            writer = await log.writer()
            try:
                done = 0 if writer.position is None else writer.position.order
                for each in batches[done:]:
                    await writer.append(each)
                return failures
            finally:
                await writer.close()
        except LogError:
            failures += 1
            await asyncio.sleep(0.1)


async def test_nothing_is_lost_and_nothing_comes_twice_when_the_broker_is_killed(
    open_log: Open, kafka: Kafka
) -> None:
    batches = [batch(order, *(record(order * 10 + n) for n in range(order % 4))) for order in range(1, 201)]
    expected = [
        (offset, *each) for offset, each in enumerate(itertools.chain(*(b.records for b in batches)), 1)
    ]
    log, other = open_log(), open_log()

    async def follow() -> list[Entry]:
        found: list[Entry] = []
        after = 0
        while len(found) < len(expected):
            try:
                reader = await other.reader(after)
                while len(found) < len(expected):
                    for chunk in await reader.read():
                        found += chunk.entries
                        after = chunk.end
            except LogError:
                await asyncio.sleep(0.1)
        return found

    async def disturb() -> None:
        while (state := await other.state()) is None or state.newest < 100:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(kafka.kill)
        await asyncio.to_thread(kafka.start)

    async with asyncio.TaskGroup() as group:
        following = group.create_task(follow())
        group.create_task(append_surely(log, batches))
        group.create_task(disturb())
    assert following.result() == expected
    assert await numbers(await open_log().reader(0), 200) == expected


async def test_a_broker_that_says_nothing_is_given_up(open_log: Open, kafka: Kafka) -> None:
    log = open_log(timeout=1.0)
    writer = await log.writer()
    await writer.append(batch(1, record(1)))
    kafka.brokers[0].pause()
    try:
        with pytest.raises(LogError, match=r"did not take a batch within 1 s|does not answer"):
            await writer.append(batch(2, record(2)))
        async with asyncio.timeout(5):
            await log.close()
    finally:
        kafka.brokers[0].resume()
    await ready(open_log())


async def ready(log: KafkaLog) -> None:
    """When a broker that was frozen takes part again."""
    while True:
        try:
            await (await log.writer()).close()
            return
        except LogError:
            await asyncio.sleep(0.1)


async def test_a_cancelled_append_is_in_the_log_whole_or_not_at_all(open_log: Open) -> None:
    log = open_log()
    written = 0
    for order in range(1, 30):
        writer = await log.writer()
        written = 0 if writer.position is None else writer.position.order
        appending = asyncio.ensure_future(writer.append(batch(written + 1, record(written + 1), record(-1))))
        await asyncio.wait({appending}, timeout=order / 2000)
        appending.cancel()
        await asyncio.wait({appending})
        await writer.close()
    writer = await log.writer()
    await writer.append(batch(1000))
    entries = await numbers(await open_log().reader(0), 1000)
    state = await log.state()
    assert state is not None
    assert [entry[0] for entry in entries] == list(range(1, state.newest + 1))
    assert [entry[2] for entry in entries[::2]] == [record(n)[1] for n in range(1, len(entries) // 2 + 1)]
