"""Connections that are told together: when they are, and what happens to one that is to be told something else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from broadcaster.outcome import Outcome, suffix_of
from support.hub_world import Client, World
from support.wire import WiredOutbox

OPEN = {"done": False}
LIMIT = 4_000


def row(id_: int, done: bool = False, text: str = "") -> dict[str, Any]:
    return {"id": id_, "done": done, "text": text}


async def two(world: World, **options: Any) -> tuple[Client, Client]:
    """Two live clients of the same live queries, which were told one change together."""
    options = {"q": OPEN} | options
    clients = tuple(world.connect(outbox=WiredOutbox(world.tick, limit=LIMIT), **options) for _ in range(2))
    wheres = sum(isinstance(value, dict) for value in options.values())
    for client in clients:
        await client.until(wheres, "ready")
    await world.commit(("c", None, row(0)))
    for client in clients:
        await client.until(1, "diff")
    first, second = clients
    return first, second


def together(world: World) -> int:
    """How many subscriptions are told together."""
    return sum(query.subscribers - len(query.subscriptions) for query in world.feed.queries)


def ids(client: Client) -> list[int]:
    return [change["find"]["id"] for _, data, _ in client.frames for change in data.get("changes", ())]


async def test_the_bytes_are_made_once() -> None:
    async with World() as world:
        first, second = await two(world)
        assert together(world) == 2
        assert first.outbox.wire.writes[-1] is second.outbox.wire.writes[-1]


async def test_equal_clients_are_equal_in_all_that_a_frame_says() -> None:
    async with World() as world:
        first, second = await two(world)
        other = world.connect(outbox=WiredOutbox(world.tick), mine=OPEN)
        chunked = world.connect(outbox=WiredOutbox(world.tick, is_chunked=True), q=OPEN)
        await other.until(1, "ready")
        async with asyncio.timeout(5):
            while b"ready" not in chunked.outbox.sent:
                await asyncio.sleep(0.001)
        await world.commit(("c", None, row(1)))
        await other.until(1, "diff")
        assert [frame[1]["id"] for frame in (*first.frames[-1:], *other.frames[-1:])] == ["q", "mine"]
        assert first.cursor == second.cursor != other.cursor
        assert chunked.outbox.sent.endswith(b"\r\n")
        assert first.frames[-1] in second.frames
        [query] = world.feed.queries
        assert (query.subscribers, len(query.audiences)) == (4, 3)


async def test_who_is_alone_is_told_alone() -> None:
    async with World() as world:
        client = world.connect(outbox=WiredOutbox(world.tick), q=OPEN)
        await client.until(1, "ready")
        await world.commit(("c", None, row(0)))
        await client.until(1, "diff")
        assert together(world) == 0


async def test_who_had_a_live_query_of_his_own_until_another_came() -> None:
    async with World() as world:
        first, second = (
            world.connect(outbox=WiredOutbox(world.tick), q=OPEN, own={"id": id_}) for id_ in (7, 8)
        )
        for client in (first, second):
            await client.until(2, "ready")
        for number in range(2):
            await world.commit(("c", None, row(number)))
            await second.until(number + 1, "diff")
            assert together(world) == 0
        third = world.connect(outbox=WiredOutbox(world.tick), q=OPEN, own={"id": 7})
        await third.until(2, "ready")
        await world.commit(("c", None, row(2)))
        await third.until(1, "diff")
        assert together(world) == 4
        assert first.outbox.wire.writes[-1] is third.outbox.wire.writes[-1]
        assert (ids(first), ids(second), ids(third)) == ([0, 1, 2], [0, 1, 2], [2])


async def test_who_is_told_something_else_first_gets_what_it_was_to_be_told_together() -> None:
    async with World() as world:
        first, second = await two(world)
        await world.commit(("c", None, row(1)))
        while len(ids(second)) < 2:
            if together(world):
                first.connection.progress()
            await asyncio.sleep(0)
        assert ids(first) == ids(second) == [0, 1]
        places = [int(cursor.rpartition(".")[2]) for _, _, cursor in first.frames if cursor]
        assert places == sorted(places)


async def test_nobody_joins_while_something_waits_that_he_may_have_had() -> None:
    async with World() as world:
        first, _ = await two(world)
        first.connection.progress()
        await asyncio.sleep(0)
        [query] = world.feed.queries
        [audience] = query.audiences.values()
        audience.tell(query, Outcome((), suffix_of("2", 0, ()), "2", 0))
        assert not first.connection.join()
        audience.end()
        assert not first.connection.join()
        await asyncio.sleep(0)
        assert first.connection.join()
        assert together(world) == 2


async def test_a_transaction_that_means_a_reset_for_one_live_query_is_whole_for_the_other() -> None:
    """The audience disperses after it was told of the first."""
    async with World(transaction_bytes=100) as world:
        first, second = await two(world, few={"id": 7})
        await world.commit(("c", None, row(7, done=True)), ("c", None, row(8, text="x" * 100)))
        for client in (first, second):
            await client.until(3, "ready")
            assert [change["find"] for _, data, _ in client.frames for change in data.get("changes", ())] == [
                {"id": 0},
                {"id": 7},
            ]
            assert [data["reason"] for kind, data, _ in client.frames if kind == "reset"] == [
                "transaction_too_large"
            ]


async def test_a_reader_who_stalls_is_evicted_and_the_others_get_everything() -> None:
    async with World() as world:
        first, second = await two(world)
        first.outbox.wire.stalled = True
        for number in range(1, 10):
            await world.commit(("c", None, row(number, text="x" * 1_000)))
            await second.until(number + 1, "diff")
        assert (first.outbox.evicted, second.outbox.evicted) == (1, 0)
        assert first.outbox.is_closed
        assert ids(second) == list(range(10))


@pytest.mark.parametrize("coalesces", [True, False])
async def test_who_coalesces_does_so_where_much_comes_at_once(coalesces: bool) -> None:
    async with World() as world:
        first, second = await two(world, coalesces=coalesces)
        for number in range(1, 9):
            before = None if number == 1 else row(1, text=str(number - 1) * 400)
            await world.commit(("u" if before else "c", before, row(1, text=str(number) * 400)))
        async with asyncio.timeout(5):
            while b"8" * 400 not in first.outbox.sent or b"8" * 400 not in second.outbox.sent:
                await asyncio.sleep(0.001)
        for client in (first, second):
            assert any(data.get("transactions", 1) > 1 for _, data, _ in client.frames) is coalesces
            assert len(ids(client)) < 9 if coalesces else ids(client) == [0] + [1] * 8


async def test_one_connection_that_fails_does_not_keep_the_others_from_their_frames(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with World() as world:
        first, second = await two(world)

        def broken(_: object) -> None:
            raise RuntimeError("this transport is broken")

        first.outbox.wire.write = broken
        await world.commit(("c", None, row(1)))
        await second.until(2, "diff")
        assert first.outbox.is_closed
        assert "this transport is broken" in caplog.text


async def test_who_has_gone_is_not_written_to() -> None:
    async with World() as world:
        first, second = await two(world)
        first.outbox.wire.closing = True
        count = len(first.outbox.wire.writes)
        await world.commit(("c", None, row(1)))
        await second.until(2, "diff")
        assert len(first.outbox.wire.writes) == count
        first.close()
        assert [query.subscribers for query in world.feed.queries] == [1]
        second.close()
        assert not world.feed.queries


async def test_frames_are_counted_for_each() -> None:
    async with World() as world:
        first, second = await two(world)
        await world.commit(("c", None, row(1)))
        await second.until(2, "diff")
        first.connection.progress()
        assert world.metrics._frames.counts == {b"initial": 2, b"ready": 2, b"diff": 4, b"progress": 1}
