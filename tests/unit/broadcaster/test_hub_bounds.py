"""Every bound of what the hub keeps, exceeded: what happens then, and that it goes on."""

import asyncio

import pytest

from broadcaster import hub
from broadcaster.aggregate import Aggregate, Aggregation, Function
from broadcaster.order import Order, SortField
from support.hub_world import World

LONG = "x" * 400


def row(id_, text=LONG):
    return {"id": id_, "text": text}


def resets(client):
    return [data["reason"] for kind, data, _ in client.frames if kind == "reset"]


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch):
    monkeypatch.setattr(hub, "_RESTART_SECONDS", 0.0)
    monkeypatch.setattr(hub, "_RETRY_FIRST", 0.001)


async def caught_up(world):
    await world.feed.reach(world.feed.epoch, (await world.log.state()).newest)


async def test_what_is_held_while_the_result_is_sent():
    async with World(hold_bytes=2_000) as world:
        await world.commit(("c", None, row(1)))
        client = world.connect(q={})
        client.outbox.gate.clear()
        await client.until(1, "initial")
        for number in range(2, 20):
            await world.commit(("c", None, row(number)))
        await caught_up(world)
        [subscription] = client.connection.subscriptions.values()
        assert subscription.held == []
        client.outbox.gate.set()
        await client.until(1, "ready")
        assert resets(client) == ["too_far_behind"]
        assert len(client.rows()) == 19


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"order": Order((SortField("id"),), 5)},
        {
            "aggregation": Aggregation(
                (Aggregate("n", Function.COUNT), Aggregate("most", Function.MAX, "text"))
            )
        },
    ],
    ids=["rows", "window", "aggregate"],
)
async def test_what_changes_while_a_snapshot_is_read(asked):
    async with World(hold_bytes=2_000) as world:
        await world.commit(("c", None, row(1)))

        async def busy():
            if world.reader.reads > 2:
                world.reader.before_answer = None
                return
            for number in range(10):
                await world.commit(("c", None, row(1_000 * world.reader.reads + number, LONG + str(number))))

        world.reader.before_answer = busy
        client = world.connect(q={}, **asked)
        await client.until(1, "ready")
        assert world.reader.reads == 3
        assert client.events == ["initial", "ready"]


async def test_how_much_log_is_read_to_resume():
    async with World(replay_bytes=2_000) as world:
        await world.commit(("c", None, row(1)))
        first = world.connect(q={})
        await first.until(1, "ready")
        first.close()
        for number in range(2, 20):
            await world.commit(("c", None, row(number)))
        again = world.connect(first.cursor, q={})
        await again.until(1, "ready")
        assert resets(again) == ["too_far_behind"]
        assert len(again.rows()) == 19


@pytest.mark.parametrize("asked", [{}, {"order": Order((SortField("id"),))}], ids=["rows", "window"])
async def test_how_large_a_result_may_be(asked):
    async with World(initial_bytes=4_000) as world:
        await world.commit(*[("c", None, row(number)) for number in range(20)])
        client = world.connect(q={}, **asked)
        await client.until(1, "error")
        assert client.frames[-1][1]["code"] == "result_too_large"
        assert world.feed._queries == {}
        small = world.connect(q={"id": {"$lt": 5}}, **asked)
        await small.until(1, "ready")


async def test_how_many_rows_may_be_counted_at_once():
    count = Aggregation((Aggregate("n", Function.COUNT),))
    async with World(initial_bytes=4_000, initial_rows=5) as world:
        await world.commit(*[("c", None, row(number)) for number in range(100)])
        client = world.connect(q={}, aggregation=count)
        await client.until(1, "error")
        assert client.frames[-1][1]["code"] == "result_too_large"
        fewer = world.connect(q={"id": {"$lt": 20}}, aggregation=count)
        await fewer.until(1, "ready")
        assert fewer.frames[0][1]["docs"] == [{"n": 20}]


async def test_a_window_that_grows_too_large():
    async with World(initial_bytes=4_000) as world:
        client = world.connect(q={}, order=Order((SortField("id"),)))
        await client.until(1, "ready")
        for number in range(20):
            await world.commit(("c", None, row(number)))
        await client.until(1, "error")
        assert resets(client) == ["window_too_large"]
        assert client.frames[-1][1]["code"] == "result_too_large"


async def test_how_many_reads_are_made_at_a_time():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        go_on = asyncio.Event()
        world.reader.before_answer = go_on.wait
        clients = [world.connect(q={"id": {"$gt": -number}}) for number in range(50)]
        async with asyncio.timeout(5):
            while (world.reader.reads, world.hub._joins["pg"].waiting) != (3, 47):
                await asyncio.sleep(0.001)
            clients[40].close()
            while world.hub._joins["pg"].waiting != 46:
                await asyncio.sleep(0.001)
        assert world.reader.reads == 3
        go_on.set()
        for number, client in enumerate(clients):
            if number != 40:
                await client.until(1, "ready")
        assert world.reader.reads == 49


async def test_a_read_that_nobody_waits_for_any_more_is_given_up():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        go_on = asyncio.Event()
        world.reader.before_answer = go_on.wait
        one, other = world.connect(q={}), world.connect(q={})
        async with asyncio.timeout(5):
            while not world.reader.reads:
                await asyncio.sleep(0.001)
        one.close()
        other.close()
        again = world.connect(q={})
        async with asyncio.timeout(5):
            while world.reader.reads < 2:
                await asyncio.sleep(0.001)
        go_on.set()
        await again.until(1, "ready")
        assert again.events == ["initial", "ready"]
        assert one.events == other.events == []
