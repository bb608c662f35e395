"""What every event log promises (`cdc.log`), on each implementation."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from cdc.config import KafkaConfig
from cdc.errors import CursorExpired, EpochChanged, LogError, LogInUse
from cdc.event import Batch, Chunk, Entry, Position, Record, Reset
from cdc.log import EventLog, LogReader, LogState, LogWriter
from cdc.log.embedded import EmbeddedLog
from cdc.log.kafka.log import KafkaLog
from support.clock import ManualClock
from support.memory_log import MemoryLog

MakeLog = Callable[..., EventLog]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest_asyncio.fixture(params=["memory", "embedded", "kafka"])
async def make_log(
    request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock
) -> AsyncIterator[MakeLog]:
    made: list[EventLog] = []
    kafka = request.getfixturevalue("kafka") if request.param == "kafka" else None
    project = f"contract-{uuid4().hex[:8]}"
    if kafka is not None and request.function.__name__ == "test_starting_over_ends_the_epoch":
        assert kafka.brokers  # noida-db, which may stand in, does not tell where an undone transaction ends
    epochs = map("epoch-{}".format, itertools.count(1))

    def make(**options: Any) -> EventLog:
        options |= {"clock": clock.now, "new_epoch": lambda: next(epochs)}
        log: EventLog
        if request.param == "memory":
            log = MemoryLog(**options)
        elif request.param == "embedded":
            log = EmbeddedLog(tmp_path / "logs", "db", **options)
        else:
            log = KafkaLog(KafkaConfig((kafka.bootstrap(),)), project, "db", **options)
        made.append(log)
        return log

    yield make
    for log in made:
        await log.close()


@pytest.fixture
def log(make_log: MakeLog) -> EventLog:
    return make_log()


def position(order: int, **state: Any) -> Position:
    return Position("cluster", order, state)


def record(name: str, collection: str = "todos") -> Record:
    return collection, f'{{"id":"{name}"}}'.encode(), f'{{"after":"{name}"}}'.encode()


def batch(*records: Record, at: int | None, resets: tuple[Reset, ...] = ()) -> Batch:
    return Batch(list(records), None if at is None else position(at), 0 if at is None else at * 10, resets)


def entry(offset: int, name: str, collection: str = "todos") -> Entry:
    return (offset, *record(name, collection))


async def drain(reader: LogReader, until: int) -> list[Chunk]:
    """All chunks until one has reached the position of this order."""
    chunks: list[Chunk] = []
    while not chunks or chunks[-1].position is None or chunks[-1].position.order < until:
        chunks += await reader.read()
    return chunks


async def assert_waits(reading: asyncio.Future[Any]) -> None:
    """Let everything run that can; the read must still wait. (It can only fail by being wrong, not by being slow.)"""
    done, _ = await asyncio.wait({reading}, timeout=0.15)
    assert not done


def entries(chunks: list[Chunk]) -> list[Entry]:
    return [entry for chunk in chunks for entry in chunk.entries]


async def test_a_log_never_written_has_no_state(log: EventLog) -> None:
    assert await log.state() is None


async def test_a_new_log_has_no_position(log: EventLog) -> None:
    writer = await log.writer()
    assert writer.position is None
    state = await log.state()
    assert state is not None
    assert (state.epoch, state.oldest, state.newest, state.position, state.size) == ("epoch-1", 0, 0, None, 0)


async def test_a_batch_is_read_as_it_was_appended(log: EventLog) -> None:
    writer = await log.writer()
    reset = Reset("users", "dropped")
    tombstone: Record = ("todos", b"{}", None)
    sent = Batch(
        [record("a"), record("b", "users"), tombstone], position(7, shapes={"1": ["id"]}), 99, (reset,)
    )
    await writer.append(sent)
    assert writer.position == sent.position
    reader = await log.reader(0)
    assert await reader.read() == [
        Chunk([entry(1, "a"), entry(2, "b", "users"), (3, *tombstone)], 3, sent.position, 99, (reset,))
    ]
    state = await log.state()
    assert state is not None
    assert state.size > 0
    assert state == LogState("epoch-1", 0, 3, sent.position, 99, state.size)


async def test_one_chunk_for_each_batch_in_order(log: EventLog) -> None:
    writer = await log.writer()
    for order in range(1, 6):
        await writer.append(batch(record(f"{order}a"), record(f"{order}b"), at=order))
    chunks = await (await log.reader(0)).read()
    assert [(chunk.end, chunk.position) for chunk in chunks] == [(2 * n, position(n)) for n in range(1, 6)]
    assert entries(chunks) == [
        entry(2 * n - 1 + i, f"{n}{c}") for n in range(1, 6) for i, c in enumerate("ab")
    ]


async def test_a_writer_resumes_where_the_last_one_stopped(log: EventLog) -> None:
    writer = await log.writer()
    await writer.append(batch(record("a"), at=1))
    await writer.close()
    writer = await log.writer()
    assert writer.position == position(1)
    await writer.append(batch(record("b"), at=2))
    assert entries(await drain(await log.reader(0), 2)) == [entry(1, "a"), entry(2, "b")]


async def test_one_writer_at_a_time(log: EventLog) -> None:
    writer = await log.writer()
    with pytest.raises(LogInUse):
        await log.writer()
    await writer.append(batch(record("a"), at=1))
    await writer.close()
    await (await log.writer()).append(batch(record("b"), at=2))


async def test_closed_is_closed(log: EventLog) -> None:
    writer, reader = await log.writer(), await log.reader()
    await writer.close()
    await writer.close()
    await reader.close()
    await reader.close()
    with pytest.raises(LogError):
        await writer.append(batch(record("a"), at=1))
    with pytest.raises(LogError):
        await reader.read()


async def test_closing_the_log_closes_its_writer(log: EventLog) -> None:
    writer = await log.writer()
    await log.close()
    with pytest.raises(LogError):
        await writer.append(batch(record("a"), at=1))


async def test_the_first_read_returns_the_position_at_once(log: EventLog) -> None:
    writer = await log.writer()
    await writer.append(batch(record("a"), at=3))
    for after in (None, 1):
        reader = await log.reader(after)
        assert await reader.read() == [Chunk([], 1, position(3), 30)]
        await reader.close()


async def test_a_reader_from_the_end_gets_only_what_comes(log: EventLog) -> None:
    writer = await log.writer()
    await writer.append(batch(record("a"), at=1))
    reader = await log.reader()
    await reader.read()
    reading = asyncio.ensure_future(reader.read())
    await assert_waits(reading)
    await writer.append(batch(record("b"), at=2))
    assert await reading == [Chunk([entry(2, "b")], 2, position(2), 20)]


async def test_a_reader_waits_for_a_log_that_does_not_exist_yet(log: EventLog) -> None:
    reader = await log.reader()
    assert reader.epoch == ""
    reading = asyncio.ensure_future(reader.read())
    await assert_waits(reading)
    writer = await log.writer()
    await assert_waits(reading)
    await writer.append(batch(record("a"), at=1))
    assert await reading == [Chunk([entry(1, "a")], 1, position(1), 10)]
    assert reader.epoch == "epoch-1"


async def test_a_cancelled_read_loses_nothing(log: EventLog) -> None:
    writer = await log.writer()
    reader = await log.reader()
    reading = asyncio.ensure_future(reader.read())
    await assert_waits(reading)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await writer.append(batch(record("a"), at=1))
    reading = asyncio.ensure_future(reader.read())
    await asyncio.sleep(0)
    reading.cancel()
    got = await asyncio.gather(reading, return_exceptions=True)
    if isinstance(got[0], asyncio.CancelledError):
        got = [await reader.read()]
    assert got == [[Chunk([entry(1, "a")], 1, position(1), 10)]]


async def test_the_position_moves_without_taking_an_offset(log: EventLog) -> None:
    writer = await log.writer()
    await writer.append(batch(record("a"), at=1))
    reader = await log.reader(0)
    assert [chunk.position for chunk in await reader.read()] == [position(1)]
    await writer.append(batch(at=2))
    assert writer.position == position(2)
    assert await reader.read() == [Chunk([], 1, position(2), 20)]
    await writer.append(batch(record("b"), at=3))
    assert await reader.read() == [Chunk([entry(2, "b")], 2, position(3), 30)]
    await writer.close()
    assert (await log.writer()).position == position(3)


async def test_the_position_comes_after_all_that_it_covers(log: EventLog) -> None:
    writer = await log.writer()
    await writer.append(batch(record("a"), at=1))
    await writer.append(batch(at=2))
    assert await drain(await log.reader(0), 2) == [
        Chunk([entry(1, "a")], 1, position(1), 10),
        Chunk([], 1, position(2), 20),
    ]


async def test_the_same_position_again_is_nothing_new(log: EventLog) -> None:
    writer = await log.writer()
    await writer.append(batch(at=1))
    reader = await log.reader()
    await reader.read()
    reading = asyncio.ensure_future(reader.read())
    await writer.append(batch(at=1))
    await assert_waits(reading)
    await writer.append(batch(at=2))
    assert await reading == [Chunk([], 0, position(2), 20)]


async def test_a_position_may_differ_in_its_state_only(log: EventLog) -> None:
    writer = await log.writer()
    reader = await log.reader()
    for shapes in ({"1": ["id"]}, {"1": ["id", "done"]}, {}):
        await writer.append(Batch([record("a")], position(5, shapes=shapes), 1))
        assert [chunk.position for chunk in await reader.read()] == [position(5, shapes=shapes)]
    await writer.close()
    assert (await log.writer()).position == position(5, shapes={})


async def test_orders_beyond_64_bits(log: EventLog) -> None:
    writer = await log.writer()
    await writer.append(Batch([record("a")], position(2**70), 5))
    assert await (await log.reader(0)).read() == [Chunk([entry(1, "a")], 1, position(2**70), 5)]


async def test_a_reset_takes_an_offset_of_its_own(log: EventLog) -> None:
    writer = await log.writer()
    await writer.append(batch(record("a"), at=1))
    reset = Reset("todos", "columns changed")
    await writer.append(batch(at=2, resets=(reset,)))
    await writer.append(batch(record("b"), at=3))
    chunks = await drain(await log.reader(1), 3)
    assert chunks == [Chunk([], 2, position(2), 20, (reset,)), Chunk([entry(3, "b")], 3, position(3), 30)]
    assert await (await log.reader(2)).read() == chunks[1:]


async def test_staged_batches_appear_together_with_their_end(log: EventLog) -> None:
    writer = await log.writer()
    await writer.append(batch(record("a"), at=1))
    reader = await log.reader(0)
    await reader.read()
    reading = asyncio.ensure_future(reader.read())
    await writer.append(batch(record("b"), record("c"), at=None))
    await writer.append(batch(record("d"), at=None))
    assert writer.position == position(1)
    await assert_waits(reading)
    state = await log.state()
    assert state is not None
    assert state.newest == 1
    await writer.append(batch(record("e"), at=2))
    chunks = await reading
    if chunks[-1].position is None:
        chunks += await drain(reader, 2)
    assert [(len(chunk.entries), chunk.end, chunk.position) for chunk in chunks] == [
        (2, 3, None),
        (1, 4, None),
        (1, 5, position(2)),
    ]


async def test_an_empty_batch_ends_what_was_staged(log: EventLog) -> None:
    writer = await log.writer()
    await writer.append(batch(record("a"), at=None))
    await writer.append(batch(at=None))
    await writer.append(batch(record("b"), at=None))
    await writer.append(batch(at=1))
    await writer.append(batch(record("c"), at=2))
    chunks = await drain(await log.reader(0), 2)
    assert [(chunk.end, chunk.position) for chunk in chunks] == [
        (1, None),
        (2, position(1)),
        (3, position(2)),
    ]


async def test_what_was_only_staged_is_forgotten(log: EventLog) -> None:
    writer = await log.writer()
    await writer.append(batch(record("a"), at=1))
    await writer.append(batch(record("lost"), at=None))
    await writer.close()
    writer = await log.writer()
    assert writer.position == position(1)
    await writer.append(batch(record("b"), at=2))
    assert entries(await drain(await log.reader(0), 2)) == [entry(1, "a"), entry(2, "b")]


async def test_a_reader_gets_only_its_collections(log: EventLog) -> None:
    writer = await log.writer()
    await writer.append(batch(record("a"), record("x", "users"), record("b"), at=1))
    await writer.append(batch(record("y", "users"), at=2))
    await writer.append(batch(at=3, resets=(Reset("users", "dropped"),)))
    await writer.append(batch(record("c"), at=4, resets=(Reset("todos", "r"), Reset("users", "r"))))
    await writer.append(batch(record("z", "users"), at=5))
    await writer.append(batch(record("z", "users"), at=6))
    chunks = await (await log.reader(0, {"todos", "unknown"})).read()
    assert chunks == [
        Chunk([entry(1, "a"), entry(3, "b")], 3, position(1), 10),
        Chunk([entry(6, "c")], 6, position(4), 40, (Reset("todos", "r"),)),
        Chunk([], 8, position(6), 60),
    ]


async def test_positions_go_on_where_all_is_filtered_away(log: EventLog) -> None:
    writer = await log.writer()
    reader = await log.reader(0, {"todos"})
    reading = asyncio.ensure_future(reader.read())
    await writer.append(batch(record("x", "users"), at=None))
    await writer.append(batch(record("y", "users"), at=1))
    assert await reading == [Chunk([], 2, position(1), 10)]


async def test_a_transaction_of_which_only_the_middle_is_wanted(log: EventLog) -> None:
    writer = await log.writer()
    await writer.append(batch(record("x", "users"), at=None))
    await writer.append(batch(record("a"), at=None))
    await writer.append(batch(record("y", "users"), at=1))
    chunks = await drain(await log.reader(0, {"todos"}), 1)
    assert chunks == [Chunk([entry(2, "a")], 2, None, 0), Chunk([], 3, position(1), 10)]


async def test_reading_from_the_middle_of_a_batch(log: EventLog) -> None:
    writer = await log.writer()
    await writer.append(batch(record("a"), record("b"), record("c"), at=1))
    assert await (await log.reader(1)).read() == [Chunk([entry(2, "b"), entry(3, "c")], 3, position(1), 10)]


@pytest.mark.parametrize("after", [-1, 2])
async def test_an_offset_that_is_not_there(log: EventLog, after: int) -> None:
    with pytest.raises(CursorExpired):
        await log.reader(after)
    writer = await log.writer()
    await writer.append(batch(record("a"), at=1))
    with pytest.raises(CursorExpired):
        await log.reader(after)


async def test_starting_over_ends_the_epoch(log: EventLog) -> None:
    writer = await log.writer()
    for order in range(1, 4):
        await writer.append(batch(record("a"), at=order))
    behind, waiting = await log.reader(0), await log.reader()
    assert behind.epoch == waiting.epoch == "epoch-1"
    await waiting.read()
    reading = asyncio.ensure_future(waiting.read())
    await assert_waits(reading)
    await writer.append(batch(record("lost"), at=None))
    await writer.start_over(position(100))
    assert writer.position == position(100)
    for reader_read in (reading, behind.read(), behind.read()):
        with pytest.raises(EpochChanged):
            await reader_read
    with pytest.raises(CursorExpired):
        await log.reader(0)
    reader = await log.reader()
    assert reader.epoch == "epoch-2"
    assert [(chunk.entries, chunk.position) for chunk in await reader.read()] == [([], position(100))]
    await writer.append(batch(record("b"), at=101))
    assert [e[1:] for e in entries(await reader.read())] == [record("b")]
    await writer.start_over(None)
    assert writer.position is None
    await writer.append(batch(record("c"), at=1))
    assert writer.position == position(1)


async def append_hourly(writer: LogWriter, clock: ManualClock, count: int) -> None:
    for order in range(1, count + 1):
        await writer.append(batch(record("a"), record("b"), at=order))
        clock.advance(3600)


async def states_settle(
    log: EventLog, writer: LogWriter, clock: ManualClock, good: Callable[[LogState], bool]
) -> LogState:
    """Retention follows the appends at its own pace, and looks again after some time: append positions until the log is
    as it should be."""
    order = 1000
    while True:
        clock.advance(0.2)
        await writer.append(batch(at=order))
        order += 1
        state = await log.state()
        assert state is not None
        if good(state):
            return state


async def test_retention_by_age(make_log: MakeLog, clock: ManualClock) -> None:
    log = make_log(keep_seconds=2.5 * 3600)
    writer = await log.writer()
    await append_hourly(writer, clock, 6)
    state = await states_settle(log, writer, clock, lambda state: state.oldest == 8)
    assert state.newest == 12
    with pytest.raises(CursorExpired):
        await log.reader(7)
    assert [chunk.end for chunk in await (await log.reader(8)).read()] == [10, 12, 12]
    clock.advance(10 * 3600)
    state = await states_settle(log, writer, clock, lambda state: state.oldest == 12)
    assert state.size == 0


async def test_retention_by_size(make_log: MakeLog, clock: ManualClock) -> None:
    log = make_log(keep_bytes=400)
    writer = await log.writer()
    await append_hourly(writer, clock, 20)
    state = await states_settle(log, writer, clock, lambda state: state.size <= 400)
    assert 0 < state.oldest < 40
    assert state.oldest % 2 == 0
    assert state.size > 0


async def test_a_reader_that_was_overtaken_by_retention_learns_it(
    make_log: MakeLog, clock: ManualClock
) -> None:
    log = make_log(keep_seconds=60)
    writer = await log.writer()
    reader = await log.reader(0)
    await append_hourly(writer, clock, 2)
    await states_settle(log, writer, clock, lambda state: state.oldest == 4)
    with pytest.raises(CursorExpired):
        await reader.read()


async def test_retention_never_cuts_a_transaction(make_log: MakeLog, clock: ManualClock) -> None:
    log = make_log(keep_seconds=60)
    writer = await log.writer()
    await writer.append(batch(record("a"), at=1))
    clock.advance(50)
    await writer.append(batch(record("b"), at=None))
    clock.advance(50)
    await writer.append(batch(record("c"), at=2))
    await states_settle(log, writer, clock, lambda state: state.oldest == 1)
    clock.advance(30)
    state = await states_settle(log, writer, clock, lambda state: True)
    assert state.oldest == 1
    assert entries(await drain(await log.reader(1), 2)) == [entry(2, "b"), entry(3, "c")]


async def test_many_readers_and_a_writer_at_once(log: EventLog) -> None:
    async def follow(after: int | None) -> list[Entry]:
        return entries(await drain(await log.reader(after), 60))

    async def write() -> None:
        writer = await log.writer()
        for order in range(1, 61):
            await writer.append(batch(*(record(f"{order}-{n}") for n in range(order % 4)), at=order))

    tasks: list[Awaitable[Any]] = [follow(0), follow(0), follow(None), write()]
    first, second, third, _ = await asyncio.gather(*tasks)
    expected = [record(f"{order}-{n}") for order in range(1, 61) for n in range(order % 4)]
    assert first == second == [(offset, *rest) for offset, rest in enumerate(expected, 1)]
    assert third == first
