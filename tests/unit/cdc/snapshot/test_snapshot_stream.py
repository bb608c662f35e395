"""The stream with chunks in it, on a scripted source: when a chunk begins, when it goes out, what disturbs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cdc.codec import encode_event
from cdc.errors import LogError, ProtocolError, SourceUnavailable
from cdc.event import Batch, Position, Record, Reset
from cdc.snapshot.chunk import Passed
from cdc.snapshot.progress import Progress
from cdc.snapshot.reader import ChunkRead
from cdc.snapshot.stream import SnapshotStream


def key(number: int) -> bytes:
    return b'{"id":%d}' % number


def change(number: int, tx: str = "1") -> Record:
    value = encode_event(
        op="u",
        before=None,
        after=b"{}",
        source={"txId": tx, "ts_ms": 1},
        ts_ms=1,
        total_order=1,
        collection_order=1,
    )
    return "a", key(number), value


def batch(order: int | None, *records: Record, resets: tuple[Reset, ...] = ()) -> Batch:
    return Batch(list(records), None if order is None else Position("e", order), 1, resets)


class Inner:
    """A stream that gives what it is given."""

    def __init__(self) -> None:
        self.given: asyncio.Queue[Batch | Exception] = asyncio.Queue()
        self.confirmed: list[Position] = []

    async def take(self) -> Batch:
        found = await self.given.get()
        if isinstance(found, Exception):
            raise found
        return found

    def confirm(self, position: Position) -> None:
        self.confirmed.append(position)

    async def close(self) -> None:
        pass


class Reader:
    """Each read waits for its answer; what was asked is in `asked`."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        self.answers: asyncio.Queue[ChunkRead | Exception] = asyncio.Queue()
        self.nudged = asyncio.Event()
        self.closed = False

    async def read(self, collection: str, after: Any, max_bytes: int) -> ChunkRead:
        self.asked.put_nowait((collection, after))
        answer = await self.answers.get()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def answer(
        self,
        order: int,
        *numbers: int,
        done: bool = False,
        epoch: str = "e",
        shows: Callable[[str], bool] = lambda _: True,
    ) -> None:
        rows = [(key(number), key(number), None) for number in numbers]
        self.answers.put_nowait(ChunkRead(rows, list(numbers[-1:]), done, epoch, order, shows, {}))

    async def nudge(self) -> None:
        self.nudged.set()

    async def close(self) -> None:
        self.closed = True


class Rig:
    def __init__(self) -> None:
        self.inner, self.reader = Inner(), Reader()
        self.slept: list[float] = []
        self.recent: list[Record] = []
        self.trouble: list[Exception] = []

    @asynccontextmanager
    async def stream(self, *initial: str, position: Position | None = None) -> AsyncIterator[SnapshotStream]:
        async def recent() -> Passed:
            if self.trouble:
                raise self.trouble.pop()
            passed = Passed()
            passed.add(self.recent)
            return passed

        async def sleep(seconds: float) -> None:
            self.slept.append(seconds)

        stream = SnapshotStream(
            "db",
            self.inner,
            self.reader,
            position,
            Progress(position, ("a", "b"), initial),
            recent,
            sleep=sleep,
        )
        try:
            yield stream
        finally:
            await stream.close()
            assert self.reader.closed

    def give(self, *batches: Batch | Exception) -> None:
        for each in batches:
            self.inner.given.put_nowait(each)


AT = Position("e", 10)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def ids(batch: Batch) -> list[bytes]:
    return [key for _, key, _ in batch.records]


async def test_a_chunk_goes_out_where_the_stream_reaches_it(rig: Rig) -> None:
    async with rig.stream("a", position=AT) as stream:
        assert await rig.reader.asked.get() == ("a", None)
        rig.give(batch(11, change(2)))
        assert ids(await stream.take()) == [key(2)]
        rig.reader.answer(12, 1, 2, 3, 4)
        rig.give(batch(None, change(3)), batch(13, change(9)))
        assert (await stream.take()).position is None
        second = await stream.take()
        assert second.position is not None and second.position.order == 13
        read = await stream.take()
        assert ids(read) == [key(1), key(4)]
        assert read.position is not None and read.position.order == 13
        assert read.position.state["snapshots"]["a"] == {"after": [4], "rows": 2, "done": False}
        assert await rig.reader.asked.get() == ("a", [4])


async def test_where_the_stream_is_there_already_nothing_is_waited_for(rig: Rig) -> None:
    async with rig.stream("a", position=AT) as stream:
        rig.reader.answer(10, 1, done=True)
        read = await stream.take()
        assert ids(read) == [key(1)]
        assert read.position is not None and read.position.state["snapshots"]["a"]["done"]
        assert stream.reading("b") is None


async def test_an_idle_database_is_nudged(rig: Rig) -> None:
    async with rig.stream("a", position=AT) as stream:
        rig.reader.answer(20, 1)
        taking = asyncio.create_task(stream.take())
        await rig.reader.nudged.wait()
        rig.give(batch(20))
        assert ids(await taking) == []
        assert ids(await stream.take()) == [key(1)]


async def test_nothing_begins_within_a_transaction_or_before_there_is_a_position(rig: Rig) -> None:
    async with rig.stream("a") as stream:
        rig.give(batch(None, change(1)), batch(11, change(2)))
        await stream.take()
        assert rig.reader.asked.empty()
        await stream.take()
        await rig.reader.asked.get()


async def test_what_a_read_does_not_show_of_the_past_is_left_out(rig: Rig) -> None:
    """Also where it was before this stream, and as long as it is not shown."""
    rig.recent = [change(7, "early"), change(8, "early"), change(1, "shown")]
    async with rig.stream("a", position=AT) as stream:
        rig.reader.answer(10, 1, 7, shows=lambda tx: tx == "shown")
        assert ids(await stream.take()) == [key(1)]
        rig.give(batch(11, change(9, "late")))
        assert ids(await stream.take()) == [key(9)]
        rig.reader.answer(11, 8, 9, 10, shows=lambda tx: tx == "late")
        assert ids(await stream.take()) == [key(10)]


async def test_a_reset_begins_the_collection_anew(rig: Rig) -> None:
    async with rig.stream("a", position=AT) as stream:
        rig.reader.answer(10, 1, 2)
        assert ids(await stream.take()) == [key(1), key(2)]
        assert await rig.reader.asked.get() == ("a", None)
        assert await rig.reader.asked.get() == ("a", [2])
        rig.give(batch(12, resets=(Reset("a", "columns_changed"),)))
        again = await stream.take()
        assert again.position is not None
        assert again.position.state["snapshots"]["a"] == {"after": None, "rows": 0, "done": False}
        rig.reader.answer(11, 3)
        assert await rig.reader.asked.get() == ("a", None)


async def test_a_collection_is_asked_for_at_any_time(rig: Rig) -> None:
    async with rig.stream(position=AT) as stream:
        taking = asyncio.create_task(stream.take())
        assert stream.current is None
        stream.begin("b")
        assert stream.current == ("b", 0)
        assert await rig.reader.asked.get() == ("b", None)
        rig.reader.answer(10, 5, done=True)
        assert ids(await taking) == [key(5)]
        assert stream.current is None
        stream.begin("b")
        assert await rig.reader.asked.get() == ("b", None)


async def test_one_that_cannot_be_read_lets_the_stream_and_the_others_go_on(rig: Rig) -> None:
    rig.trouble = [LogError("gone")]
    async with rig.stream("a", "b", position=AT) as stream:
        assert await rig.reader.asked.get() == ("b", None)
        rig.reader.answers.put_nowait(SourceUnavailable("no table b"))
        rig.reader.answer(10, 1, epoch="another")
        rig.reader.answer(10, 2, done=True)
        assert ids(await stream.take()) == [key(2)]
        assert rig.slept == [0.1, 0.2, 0.4]


async def test_what_is_not_understood_ends_the_stream(rig: Rig) -> None:
    async with rig.stream("a", position=AT) as stream:
        rig.reader.answers.put_nowait(ProtocolError("no number"))
        with pytest.raises(ProtocolError):
            await stream.take()


async def test_the_streams_own_end_is_told_and_a_cancelled_take_loses_nothing(rig: Rig) -> None:
    async with rig.stream(position=AT) as stream:
        taking = asyncio.create_task(stream.take())
        await asyncio.sleep(0)
        taking.cancel()
        await asyncio.wait([taking])
        rig.give(batch(11, change(1)), SourceUnavailable("gone"))
        assert ids(await stream.take()) == [key(1)]
        stream.confirm(AT)
        assert rig.inner.confirmed == [AT]
        with pytest.raises(SourceUnavailable):
            await stream.take()
