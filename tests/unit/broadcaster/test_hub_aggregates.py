import asyncio
from random import Random

import pytest

from broadcaster import hub
from broadcaster.aggregate import Aggregate, Aggregation, Function
from cdc.event import Reset
from support.hub_world import World
from support.reference_aggregate import aggregated, as_json

ASKED = {"n": {"count": True}, "total": {"sum": "p"}, "least": {"min": "p"}}
TOTALS = Aggregation(
    (
        Aggregate("n", Function.COUNT),
        Aggregate("total", Function.SUM, "p"),
        Aggregate("least", Function.MIN, "p"),
    )
)
BY_S = Aggregation(TOTALS.aggregates, ("s",))
OPEN = {"done": False}


def row(id_, p=1, s="a", done=False):
    return {"id": id_, "p": p, "s": s, "done": done}


def shown(client, id_="q"):
    """What a client shows that applies every frame to a map, each change fitting what was there."""
    rows = {}
    for kind, data, _ in client.frames:
        if data.get("id") != id_:
            continue
        if kind == "initial":
            rows = {as_json({"s": doc["s"]} if "s" in doc else {}): doc for doc in data["docs"]}
        elif kind == "diff":
            for change in data["changes"]:
                find = as_json(change["find"])
                assert (find in rows) == (change["type"] != "insert"), (change, rows)
                rows.pop(find, None)
                if "doc" in change:
                    rows[find] = change["doc"]
    return rows


def expected(world, group_by=()):
    return aggregated([one for one in world.reader.rows.values() if not one["done"]], ASKED, group_by)


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch):
    monkeypatch.setattr(hub, "_RESTART_SECONDS", 0.0)


async def settled(world, *clients, group_by=()):
    async with asyncio.timeout(5):
        while not all(shown(client) == expected(world, group_by) for client in clients):
            await asyncio.sleep(0.001)


async def test_initial_then_one_frame_a_transaction():
    async with World() as world:
        await world.commit(("c", None, row(1, 5)), ("c", None, row(2, 7, done=True)))
        client = world.connect(aggregation=TOTALS, q=OPEN)
        await client.until(1, "ready")
        assert client.frames[0] == ("initial", {"id": "q", "docs": [{"n": 1, "total": 5, "least": 5}]}, None)
        assert client.frames[1][1] == {"id": "q", "count": 1, "key": [], "indexed": True}
        await world.commit(
            ("u", row(2, 7, done=True), row(2, 7)), ("c", None, row(3, 1)), ("d", row(1, 5), None)
        )
        await client.until(1, "diff")
        _, data, cursor = client.frames[2]
        assert data == {
            "id": "q",
            "time": 1_790_000_000_002,
            "tx": "2",
            "changes": [{"type": "update", "find": {}, "doc": {"n": 2, "total": 8, "least": 1}}],
        }
        assert cursor is not None


async def test_groups_come_and_go_and_what_changes_nothing_is_not_told():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        client = world.connect(aggregation=BY_S, q=OPEN)
        await client.until(1, "ready")
        assert client.frames[1][1]["key"] == ["s"]
        await world.commit(("u", row(1), row(1) | {"title": "no matter"}))
        await world.commit(("c", None, row(2, 3, "b")), ("c", None, row(3, 4, "b")))
        await world.commit(("u", row(1), row(1, s="b")))
        await client.until(2, "diff")
        assert [data["tx"] for kind, data, _ in client.frames if kind == "diff"] == ["3", "4"]
        assert [change["type"] for change in client.frames[-1][1]["changes"]] == ["delete", "update"]
        assert shown(client) == expected(world, ["s"])


async def test_what_the_read_shows_already_counts_once():
    async with World() as world:
        await world.commit(*[("c", None, row(number, number)) for number in range(5)])

        async def meanwhile():
            world.reader.before_answer = None
            await world.commit(("u", row(1, 1), row(1, 10)), ("d", row(2, 2), None), ("c", None, row(9, 9)))

        world.reader.before_answer = meanwhile
        client = world.connect(aggregation=TOTALS, q=OPEN)
        await client.until(1, "ready")
        assert client.events == ["initial", "ready"]
        assert shown(client) == expected(world)
        hidden = await world.commit(("c", None, row(20, 20)))
        await world.feed.reach(world.feed.epoch, (await world.log.state()).newest)
        del world.reader.rows[20]
        world.reader.hidden = {str(hidden)}
        other = world.connect(aggregation=BY_S, q=OPEN)
        await other.until(1, "ready")
        assert shown(other) == {'{"s":"a"}': {"s": "a", "n": 6, "total": 46, "least": 0}}


async def test_who_comes_later_shares_what_is_known_but_not_before_all_that_is_committed_is():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        first = world.connect(aggregation=TOTALS, q=OPEN)
        await first.until(1, "ready")
        world.reader.order = 100_000
        later = [world.connect(aggregation=TOTALS, q=OPEN) for _ in range(50)]
        async with asyncio.timeout(5):
            while not world.reader.nudges:
                await asyncio.sleep(0.001)
        assert all(client.events == [] for client in later)
        world.reader.order = 0
        for number in range(2, 1001):
            await world.commit(("c", None, row(number)))
        await later[-1].until(1, "ready")
        assert world.reader.reads == 1
        assert world.reader.positions <= 2
        await settled(world, first, *later)


async def test_equal_ones_that_come_together_are_read_once():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        clients = [world.connect(aggregation=BY_S, q=OPEN) for _ in range(20)]
        await settled(world, *clients, group_by=["s"])
        assert world.reader.reads == 1
        clients[0].close()
        await world.commit(("c", None, row(2, s="b")))
        await settled(world, *clients[1:], group_by=["s"])
        for client in clients[1:]:
            client.close()
        await world.commit(("c", None, row(3)))
        again = world.connect(aggregation=BY_S, q=OPEN)
        await settled(world, again, group_by=["s"])
        assert world.reader.reads == 2


async def test_a_least_value_that_is_not_known_any_more_is_read_again_and_told_in_one_frame():
    async with World() as world:
        rows = [row(number, number) for number in range(400)]
        await world.commit(*[("c", None, one) for one in rows])
        client, other = (world.connect(aggregation=TOTALS, q=OPEN) for _ in range(2))
        await client.until(1, "ready")
        await other.until(1, "ready")
        await world.commit(*[("d", one, None) for one in rows[:390]])
        await settled(world, client, other)
        assert client.events == other.events == ["initial", "ready", "diff"]
        assert shown(client) == {"{}": {"n": 10, "total": 3945, "least": 390}}
        assert world.reader.reads == 2
        await world.commit(("d", rows[390], None))
        await settled(world, client, other)


async def test_a_client_that_was_not_ready_yet_when_too_little_was_known():
    async with World() as world:
        rows = [row(number, number) for number in range(400)]
        await world.commit(*[("c", None, one) for one in rows])
        first = world.connect(aggregation=TOTALS, q=OPEN)
        await first.until(1, "ready")
        slow = world.connect(aggregation=TOTALS, q=OPEN)
        slow.outbox.gate.clear()
        await slow.until(1, "initial")
        await world.commit(("c", None, row(500, 500)))
        await world.commit(*[("d", one, None) for one in rows[:390]])
        await world.commit(("c", None, row(501, 5)))
        await settled(world, first)
        await world.commit(("c", None, row(502, 4)))
        await settled(world, first)
        slow.outbox.gate.set()
        await settled(world, slow)
        assert "reset" not in slow.events


async def test_truncate_begins_anew_with_what_is_left():
    async with World() as world:
        await world.commit(("c", None, row(1, 5)))
        client = world.connect(aggregation=TOTALS, q=OPEN)
        await client.until(1, "ready")
        await world.commit(("t", None, None), ("c", None, row(2, 8)))
        await client.until(2, "ready")
        assert client.events == ["initial", "ready", "reset", "initial", "ready"]
        assert shown(client) == {"{}": {"n": 1, "total": 8, "least": 8}} == expected(world)
        await world.commit(("t", None, None))
        await client.until(3, "ready")
        await world.commit(("c", None, row(3, 9)))
        await settled(world, client)
        assert world.reader.reads == 1


async def test_an_old_image_that_was_not_counted_starts_over():
    async with World() as world:
        await world.commit(("c", None, row(1, 5)))
        client = world.connect(aggregation=BY_S, q=OPEN)
        await client.until(1, "ready")
        await world.commit(("u", row(1, 5, "another"), row(1, 6)))
        await client.until(2, "ready")
        assert [data["reason"] for kind, data, _ in client.frames if kind == "reset"] == [
            "before_image_missing"
        ]
        await settled(world, client, group_by=["s"])


@pytest.mark.parametrize("reason", ["before_image_missing", "transaction_too_large", "columns_changed"])
async def test_what_cannot_be_followed_starts_over(reason):
    async with World(transaction_bytes=2000) as world:
        await world.commit(("c", None, row(1, 5)))
        clients = [world.connect(aggregation=TOTALS, q=OPEN) for _ in range(3)]
        for client in clients:
            await client.until(1, "ready")
        if reason == "before_image_missing":
            await world.commit(("u", None, row(1, 6)))
        elif reason == "transaction_too_large":
            await world.commit(*[("c", None, row(number)) for number in range(2, 200)])
        else:
            await world.commit(("c", None, row(2)), resets=(Reset("todos", reason, "2"),))
        for client in clients:
            await client.until(2, "ready")
            assert [data["reason"] for kind, data, _ in client.frames if kind == "reset"] == [reason]
        await settled(world, *clients)
        assert world.reader.reads <= 3


async def test_too_many_groups_end_it():
    async with World(groups=3) as world:
        await world.commit(*[("c", None, row(number, s=str(number))) for number in range(3)])
        client = world.connect(aggregation=BY_S, q=OPEN)
        await client.until(1, "ready")
        await world.commit(("c", None, row(9, s="9")))
        await client.until(1, "error")
        assert client.frames[-1][1]["code"] == "too_many_groups"
        assert not client.frames[-1][1]["retryable"]
        assert world.feed._queries == {}


async def test_the_cursor_never_speaks_of_it():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        client = world.connect(aggregation=TOTALS, q=OPEN)
        await client.until(1, "ready")
        client.close()
        again = world.connect(client.cursor, aggregation=TOTALS, q=OPEN)
        await again.until(1, "ready")
        assert again.frames[0][1] == {"id": "q", "reason": "not_in_cursor"}


async def test_many_clients_under_random_transactions():
    random = Random(5)
    async with World() as world:
        clients = []
        for step in range(60):
            if step % 6 == 0:
                clients.append(world.connect(aggregation=BY_S, q=OPEN))
            if len(clients) > 3 and step % 7 == 0:
                clients.pop(random.randrange(len(clients))).close()
            changes = []
            for id_ in random.sample(range(30), random.randint(1, 12)):
                before = world.reader.rows.get(id_)
                after = row(id_, random.randrange(9), random.choice("abc"), random.random() < 0.3)
                if before is None:
                    changes.append(("c", None, after))
                else:
                    changes.append(("d", before, None) if random.random() < 0.4 else ("u", before, after))
            await world.commit(*changes)
            if random.random() < 0.3:
                await settled(world, *clients, group_by=["s"])
        await settled(world, *clients, group_by=["s"])
