import asyncio
from random import Random

import pytest

from broadcaster import hub
from broadcaster.errors import RequestError
from broadcaster.order import Order, SortField
from broadcaster.view import View
from cdc.event import Position, Reset
from support.hub_world import World

NEWEST = Order((SortField("at", True),), 3)
BY_AT = Order((SortField("at"),))
OPEN = {"done": False}


def row(id_, at, done=False, **more):
    return {"id": id_, "at": at, "done": done, **more}


def shown(client):
    return shown_by(client.frames)


def shown_by(frames):
    """What a client shows that applies every frame to a list."""
    docs, loading = [], []
    for kind, data, _ in frames:
        if kind == "initial":
            loading += data["docs"]
        elif kind == "ready":
            docs, loading = loading, []
        elif kind == "diff":
            for change in data["changes"]:
                if "oldIndex" in change:
                    assert docs.pop(change["oldIndex"])["id"] == change["find"]["id"]
                if "newIndex" in change:
                    docs.insert(change["newIndex"], change["doc"])
    return docs


def first(world, limit=3):
    rows = [one for one in world.reader.rows.values() if not one["done"]]
    return sorted(rows, key=lambda one: (-one["at"], one["id"]))[:limit]


async def filled(world, count):
    for number in range(count):
        await world.commit(("c", None, row(number, number)))


async def caught_up(world):
    """Wait until the hub has seen everything and reads nothing."""
    await world.feed.reach(world.feed.epoch, (await world.log.state()).newest)
    async with asyncio.timeout(5):
        while any(
            subscription.frozen is not None
            for query in world.feed._queries.values()
            for subscription in query.subscriptions
        ):
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch):
    monkeypatch.setattr(hub, "_RESTART_SECONDS", 0.0)


async def test_the_first_rows_in_order_then_steps():
    async with World() as world:
        await filled(world, 5)
        client = world.connect(order=NEWEST, q=OPEN)
        await client.until(1, "ready")
        assert shown(client) == [row(4, 4), row(3, 3), row(2, 2)]
        await world.commit(("c", None, row(9, 3.5)), ("u", row(4, 4), row(4, 4, title="new")))
        await client.until(1, "diff")
        assert client.frames[-1][1]["changes"] == [
            {"type": "delete", "find": {"id": 2}, "oldIndex": 2},
            {
                "type": "update",
                "find": {"id": 4},
                "oldIndex": 0,
                "newIndex": 0,
                "doc": row(4, 4, title="new"),
            },
            {"type": "insert", "find": {"id": 9}, "newIndex": 1, "doc": row(9, 3.5)},
        ]
        assert shown(client) == first(world)
        await world.commit(("d", row(3, 3), None))
        await client.until(2, "diff")
        assert [change["type"] for change in client.frames[-1][1]["changes"]] == ["delete", "insert"]
        assert shown(client) == first(world)
        await world.commit(("u", row(0, 0), row(0, 0.5)))
        await world.commit(("u", row(9, 3.5), row(9, 100)))
        await client.until(3, "diff")
        assert shown(client) == first(world)
        assert client.events == ["initial", "ready", "diff", "diff", "diff"]
        assert world.reader.reads == 1


async def test_too_few_known_rows_are_read_again_and_told_in_one_frame():
    async with World() as world:
        await filled(world, 40)
        client = world.connect(order=NEWEST, q=OPEN)
        await client.until(1, "ready")
        await world.commit(*[("d", row(number, number), None) for number in range(20, 40)])
        await client.until(1, "diff")
        await caught_up(world)
        assert client.events == ["initial", "ready", "diff"]
        assert shown(client) == first(world) == [row(19, 19), row(18, 18), row(17, 17)]
        assert world.reader.reads == 2
        assert world.metrics.refills._value.get() == 1


async def test_changes_while_a_window_is_read_again():
    async with World() as world:
        await filled(world, 40)
        client = world.connect(order=NEWEST, q=OPEN)
        await client.until(1, "ready")

        async def meanwhile():
            world.reader.before_answer = None
            await world.commit(("d", row(19, 19), None), ("c", None, row(50, 18.5)))

        world.reader.before_answer = meanwhile
        await world.commit(*[("d", row(number, number), None) for number in range(20, 40)])
        await client.until(1, "diff")
        await caught_up(world)
        assert shown(client) == first(world) == [row(50, 18.5), row(18, 18), row(17, 17)]
        assert client.events == ["initial", "ready", "diff"]
        await world.commit(("d", row(50, 18.5), None))
        await client.until(2, "diff")
        assert shown(client) == first(world)


async def test_a_window_that_runs_short_while_the_initial_result_is_sent():
    async with World() as world:
        await filled(world, 40)
        client = world.connect(order=NEWEST, q=OPEN)
        client.outbox.gate.clear()
        await client.until(1, "initial")
        await world.commit(*[("d", row(number, number), None) for number in range(20, 40)])
        await world.feed.reach(world.feed.epoch, 60)
        client.outbox.gate.set()
        await client.until(1, "diff")
        assert client.events == ["initial", "ready", "diff"]
        assert shown(client) == first(world)


async def test_the_database_is_away_when_a_window_must_be_read_again(monkeypatch):
    monkeypatch.setattr(hub, "_RETRY_FIRST", 0.001)
    async with World() as world:
        await filled(world, 40)
        client = world.connect(order=NEWEST, q=OPEN)
        await client.until(1, "ready")
        world.reader.failure = RequestError("database_unavailable", "gone fishing")
        await world.commit(*[("d", row(number, number), None) for number in range(20, 40)])
        await client.until(1, "error")
        await world.commit(("c", None, row(60, 60)))
        world.reader.failure = None
        await client.until(1, "diff")
        assert client.events == ["initial", "ready", "error", "diff"]
        assert shown(client) == first(world)


async def test_a_reset_while_a_window_is_read_again():
    async with World() as world:
        await filled(world, 40)
        client = world.connect(order=NEWEST, q=OPEN)
        await client.until(1, "ready")

        async def meanwhile():
            world.reader.before_answer = None
            await world.commit(resets=(Reset("todos", "columns_changed"),))

        world.reader.before_answer = meanwhile
        await world.commit(*[("d", row(number, number), None) for number in range(20, 40)])
        await client.until(2, "ready")
        assert client.events == ["initial", "ready", "reset", "initial", "ready"]
        assert client.frames[2][1]["reason"] == "columns_changed"
        assert shown(client) == first(world)


async def test_truncate():
    async with World() as world:
        await filled(world, 40)
        client = world.connect(order=NEWEST, q=OPEN)
        await client.until(1, "ready")
        await world.commit(("t", None, None), *[("c", None, row(number, number)) for number in (3, 1, 2, 0)])
        await client.until(2, "ready")
        assert client.events == ["initial", "ready", "reset", "initial", "ready"]
        assert shown(client) == first(world) == [row(3, 3), row(2, 2), row(1, 1)]
        await world.commit(("d", row(3, 3), None))
        await client.until(1, "diff")
        assert shown(client) == first(world)
        assert world.reader.reads == 1


async def test_more_changes_than_a_frame_holds_are_a_reason_to_read_again():
    async with World(transaction_bytes=500) as world:
        client = world.connect(order=NEWEST, q=OPEN)
        await client.until(1, "ready")
        await world.commit(*[("c", None, row(number, number, text="x" * 50)) for number in range(20)])
        await client.until(1, "diff")
        assert client.events == ["initial", "ready", "diff"]
        assert shown(client) == first(world)


async def test_a_sorted_result_without_limit():
    async with World(initial_rows=5) as world:
        await filled(world, 3)
        client = world.connect(order=BY_AT, q=OPEN)
        await client.until(1, "ready")
        assert shown(client) == [row(0, 0), row(1, 1), row(2, 2)]
        await world.commit(("u", row(0, 0), row(0, 7)), ("c", None, row(5, -1)))
        await client.until(1, "diff")
        assert [one["id"] for one in shown(client)] == [5, 1, 2, 0]
        await world.commit(*[("c", None, row(number, number)) for number in (10, 11)])
        await client.until(1, "error")
        assert client.events == ["initial", "ready", "diff", "reset", "error"]
        assert client.frames[-2][1]["reason"] == "window_too_large"
        assert client.frames[-1][1]["code"] == "result_too_large"


async def test_equal_windows_are_kept_and_read_once():
    async with World() as world:
        await filled(world, 40)
        clients = [world.connect(order=NEWEST, q=OPEN) for _ in range(20)]
        for client in clients:
            await client.until(1, "ready")
        later = world.connect(order=NEWEST, q=OPEN)
        await later.until(1, "ready")
        assert world.reader.reads == 1
        await world.commit(*[("d", row(number, number), None) for number in range(20, 40)])
        for client in (*clients, later):
            await client.until(1, "diff")
            assert client.events == ["initial", "ready", "diff"]
            assert shown(client) == first(world)
        assert world.reader.reads == 2
        await world.commit(("d", row(19, 19), None))
        for client in (*clients, later):
            await client.until(2, "diff")
            assert shown(client) == first(world)
            client.close()
        await world.commit(("d", row(18, 18), None))
        again = world.connect(order=NEWEST, q=OPEN)
        await again.until(1, "ready")
        assert shown(again) == first(world)
        assert world.reader.reads == 3


async def test_a_limit_alone_is_by_primary_key():
    async with World() as world:
        await filled(world, 12)
        client = world.connect(order=Order((), 2), q=OPEN)
        await client.until(1, "ready")
        assert shown(client) == [row(0, 0), row(1, 1)]
        await world.commit(("d", row(0, 0), None))
        await client.until(1, "diff")
        assert shown(client) == [row(1, 1), row(2, 2)]


async def test_a_cursor_does_not_speak_of_windows():
    async with World() as world:
        await filled(world, 5)
        client = world.connect(order=NEWEST, q=OPEN)
        await client.until(1, "ready")
        client.close()
        await world.commit(("d", row(4, 4), None))
        again = world.connect(client.cursor, order=NEWEST, q=OPEN)
        await again.until(1, "ready")
        assert again.events == ["reset", "initial", "ready"]
        assert again.frames[0][1]["reason"] == "not_in_cursor"
        assert shown(again) == first(world)


async def test_only_what_is_shown_or_moves_is_told():
    async with World() as world:
        await world.commit(*[("c", None, row(number, number, title="t", text="x")) for number in range(4)])
        client = world.connect(view=View(("title",)), order=NEWEST, q=OPEN)
        await client.until(1, "ready")
        old = row(3, 3, title="t", text="x")
        await world.commit(("u", old, old | {"text": "y"}))
        await world.commit(("u", old | {"text": "y"}, old | {"at": 2.5}))
        await world.commit(("u", old | {"at": 2.5}, old | {"at": 0.5}))
        await client.until(1, "diff")
        assert client.frames[-1][1]["changes"] == [
            {
                "type": "update",
                "find": {"id": 3},
                "oldIndex": 0,
                "newIndex": 2,
                "doc": {"id": 3, "title": "t"},
            }
        ]
        assert client.events == ["initial", "ready", "diff"]
        assert shown(client) == [{"id": one, "title": "t"} for one in (2, 1, 3)]


async def test_a_hidden_primary_key_orders_nothing():
    async with World() as world:
        await filled(world, 2)
        client = world.connect(view=View(hidden=("id",)), order=NEWEST, q=OPEN)
        await client.until(1, "error")
        assert client.frames[-1][1]["code"] == "access_denied"


async def test_a_log_that_starts_over():
    async with World() as world:
        await filled(world, 5)
        client = world.connect(order=NEWEST, q=OPEN)
        await client.until(1, "ready")
        await world.writer.start_over(Position("cluster", 1_000))
        await client.until(2, "ready")
        assert client.events == ["initial", "ready", "reset", "initial", "ready"]
        assert shown(client) == first(world)


@pytest.mark.parametrize("seed", range(8))
async def test_after_every_frame_the_first_rows_of_its_transaction_are_shown(seed):
    """Whatever is committed, also while the window is read: large deletes, so that it often has to be."""
    random = Random(seed)
    limit = random.choice((1, 3, 10))
    order = Order((SortField("at", True),), limit)
    async with World() as world:
        history = {}

        async def transaction():
            changes, rows = [], dict(world.reader.rows)
            many = random.random() < 0.2 and len(rows) > 20
            for id_ in random.sample(sorted(rows), len(rows) - 12 if many else min(len(rows), 1)):
                old = rows.pop(id_)
                if many or random.random() < 0.3:
                    changes.append(("d", old, None))
                else:
                    rows[id_] = row(id_, random.randrange(9), random.random() < 0.2)
                    changes.append(("u", old, rows[id_]))
            for _ in range(random.choice((0, 1, 12))):
                id_ = max(rows, default=0) + 1
                rows[id_] = row(id_, random.randrange(9))
                changes.append(("c", None, rows[id_]))
            tx = await world.commit(*changes)
            history[str(tx)] = first(world, limit)

        async def meanwhile():
            for _ in range(random.randrange(3)):
                await transaction()

        await filled(world, 30)
        world.reader.before_answer = meanwhile
        client = world.connect(order=order, q=OPEN)
        await client.until(1, "ready")
        for _ in range(60):
            await transaction()
            if random.random() < 0.5:
                await asyncio.sleep(0)
        world.reader.before_answer = None
        await caught_up(world)
        assert shown(client) == first(world, limit)
        assert world.metrics.refills._value.get() > 0
        frames = client.frames
        for place, (kind, data, _) in enumerate(frames):
            if kind == "diff":
                assert shown_by(frames[: place + 1]) == history[data["tx"]]
        assert set(client.events) == {"initial", "ready", "diff"}
