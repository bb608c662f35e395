"""A reader that is behind gets fewer frames, each of which leads to a state that the database had."""

import asyncio
import json
from random import Random

import pytest

from broadcaster import hub
from broadcaster.aggregate import Aggregate, Aggregation, Function
from broadcaster.order import Order, SortField
from broadcaster.view import View
from cdc.event import Reset
from support.hub_world import World

OPEN = {"done": False}
BY_S = Aggregation((Aggregate("n", Function.COUNT), Aggregate("least", Function.MIN, "p")), ("s",))
BEHIND = 1 << 20


def row(id_, p=1, s="a", done=False):
    return {"id": id_, "p": p, "s": s, "done": done}


def diffs(client):
    return [data for kind, data, _ in client.frames if kind == "diff"]


@pytest.fixture(autouse=True)
def _without_pauses(monkeypatch):
    monkeypatch.setattr(hub, "_RESTART_SECONDS", 0.0)
    monkeypatch.setattr(hub, "_LOOK_SECONDS", 0.0)


async def caught_up(world):
    await world.feed.reach(world.feed.epoch, (await world.log.state()).newest)


async def test_changes_that_wait_are_merged_by_row():
    async with World() as world:
        await world.commit(("c", None, row(1)), ("c", None, row(2)))
        client = world.connect(q=OPEN, coalesces=True)
        other = world.connect(q=OPEN)
        await client.until(1, "ready")
        await other.until(1, "ready")
        client.outbox.unsent = other.outbox.unsent = BEHIND
        for number in range(2, 30):
            await world.commit(("u", row(1, number - 1), row(1, number)))
        await world.commit(("d", row(2), None), ("c", None, row(3)))
        await world.commit(("c", None, row(4)))
        await world.commit(("d", row(4), None))
        await other.until(31, "diff")
        assert diffs(client) == []
        client.outbox.unsent = 0
        await client.until(1, "diff")
        [data] = diffs(client)
        assert (data["tx"], data["transactions"]) == ("32", 31)
        assert data["changes"] == [
            {"type": "update", "find": {"id": 1}, "doc": row(1, 29)},
            {"type": "delete", "find": {"id": 2}},
            {"type": "insert", "find": {"id": 3}, "doc": row(3)},
        ]
        assert client.rows() == other.rows()
        assert world.metrics.deferred._value.get() == 31
        await world.commit(("d", row(3), None))
        await client.until(2, "diff")
        assert "transactions" not in diffs(client)[-1]


async def test_no_cursor_is_past_what_waits():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        client = world.connect(q=OPEN, coalesces=True)
        await client.until(1, "ready")
        client.outbox.unsent = BEHIND
        for number in range(2, 9):
            await world.commit(("c", None, row(number)))
        await caught_up(world)
        client.close()
        again = world.connect(client.cursor, q=OPEN)
        await again.until(7, "diff")
        assert again.rows(rows=client.rows()).keys() == {json.dumps({"id": number}) for number in range(1, 9)}


async def test_a_heartbeat_brings_what_waits():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        client = world.connect(q=OPEN, coalesces=True)
        await client.until(1, "ready")
        client.outbox.unsent = BEHIND
        await world.commit(("d", row(1), None))
        await world.commit(("c", None, row(1)))
        await world.commit(("d", row(1), None))
        await caught_up(world)
        client.connection.progress()
        assert client.events[-2:] == ["diff", "progress"]
        assert client.rows() == {}


async def test_what_comes_to_nothing_moves_the_cursor_only():
    async with World() as world:
        client = world.connect(q=OPEN, coalesces=True)
        await client.until(1, "ready")
        client.outbox.unsent = BEHIND
        await world.commit(("c", None, row(1)))
        await world.commit(("d", row(1), None))
        await caught_up(world)
        client.outbox.unsent = 0
        await client.until(1, "progress")
        assert diffs(client) == []
        assert client.cursor.endswith(f".{world.feed.place}")


async def test_a_reset_drops_what_waits():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        client = world.connect(q=OPEN, coalesces=True)
        await client.until(1, "ready")
        client.outbox.unsent = BEHIND
        await world.commit(("c", None, row(2)))
        await world.commit(("c", None, row(3)), resets=(Reset("todos", "columns_changed", "3"),))
        await client.until(2, "ready")
        await world.commit(("c", None, row(4)))
        await world.commit(("t", None, None), ("c", None, row(5)))
        await client.until(3, "ready")
        client.outbox.unsent = 0
        await world.commit(("c", None, row(6)))
        await client.until(1, "diff")
        assert client.events.count("reset") == 2
        assert list(client.rows().values()) == [row(5), row(6)]


async def test_too_much_that_waits_evicts():
    async with World() as world:
        client = world.connect(q=OPEN, coalesces=True)
        await client.until(1, "ready")
        client.outbox.unsent, client.outbox.limit = BEHIND, 2_000
        for number in range(10):
            await world.commit(
                ("c", None, row(1)) if not number else ("u", row(1, number), row(1, number + 1))
            )
        await caught_up(world)
        assert not client.outbox.evicted
        for number in range(10, 60):
            await world.commit(("c", None, row(number)))
        await caught_up(world)
        assert client.outbox.evicted


async def test_hidden_keys_stay_hidden():
    async with World() as world:
        client = world.connect(view=View(None, ("id",)), q=OPEN, coalesces=True)
        await client.until(1, "ready")
        client.outbox.unsent = BEHIND
        await world.commit(("c", None, row(1)))
        await world.commit(("u", row(1), row(1, 2)))
        await caught_up(world)
        client.outbox.unsent = 0
        await client.until(1, "diff")
        assert diffs(client)[0]["changes"] == [
            {"type": "insert", "find": {}, "doc": {"p": 2, "s": "a", "done": False}}
        ]


KINDS = {
    "rows": {},
    "window": {"order": Order((SortField("p", True),), 3)},
    "groups": {"aggregation": BY_S},
}


async def test_a_merged_frame_bears_the_name_of_the_last_transaction_that_is_in_it():
    """Later ones changed rows beyond the limit."""
    async with World() as world:
        await world.commit(*[("c", None, row(number, 9 - number)) for number in range(6)])
        client = world.connect(q=OPEN, coalesces=True, **KINDS["window"])
        await client.until(1, "ready")
        client.outbox.unsent = BEHIND
        await world.commit(("u", row(1, 8), row(1, 10)))
        last = await world.commit(("u", row(1, 10), row(1, 11)))
        await world.commit(("u", row(4, 5), row(4, 4)))
        await caught_up(world)
        client.outbox.unsent = 0
        await client.until(1, "diff")
        [data] = diffs(client)
        assert (data["tx"], data["transactions"]) == (str(last), 2)


async def test_groups_that_are_as_they_were_are_not_told():
    async with World() as world:
        await world.commit(("c", None, row(1)), ("c", None, row(2, 2, "b")))
        client = world.connect(q=OPEN, coalesces=True, **KINDS["groups"])
        await client.until(1, "ready")
        client.outbox.unsent = BEHIND
        await world.commit(("c", None, row(3)))
        await world.commit(("d", row(3), None), ("u", row(2, 2, "b"), row(2, 3, "b")))
        await caught_up(world)
        client.outbox.unsent = 0
        await client.until(1, "diff")
        [data] = diffs(client)
        assert data["transactions"] == 2
        assert [change["find"] for change in data["changes"]] == [{"s": "b"}]


def replayed(frames):
    """After each frame: its transaction, and what the client shows."""
    docs, states = [], []
    for kind, data, _ in frames:
        if kind == "initial":
            docs = list(data["docs"])
        elif kind == "diff":
            for change in data["changes"]:
                find = change["find"].items()
                if "oldIndex" in change or "newIndex" in change:
                    if "oldIndex" in change:
                        assert find <= docs.pop(change["oldIndex"]).items()
                    if "newIndex" in change:
                        docs.insert(change["newIndex"], change["doc"])
                    continue
                known = [doc for doc in docs if find <= doc.items()]
                assert len(known) == (change["type"] != "insert")
                docs = [doc for doc in docs if doc not in known] + (
                    [change["doc"]] if "doc" in change else []
                )
        if kind in ("ready", "diff"):
            states.append((data.get("tx"), list(docs)))
    return states


def right(rows, kind):
    found = [one for one in rows.values() if not one["done"]]
    if kind == "window":
        return sorted(found, key=lambda one: (-one["p"], one["id"]))[:3]
    if kind == "groups":
        ps = {s: [one["p"] for one in found if one["s"] == s] for s in "abc"}
        found = [{"s": s, "n": len(ps[s]), "least": min(ps[s])} for s in "abc" if ps[s]]
    return sorted(found, key=str)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(4))
async def test_every_frame_leads_to_a_state_that_the_database_had(kind, seed):
    random = Random(seed)
    async with World() as world:
        await world.commit(*[("c", None, row(number, number % 7)) for number in range(40)])
        client = world.connect(q=OPEN, coalesces=True, **KINDS[kind])
        await client.until(1, "ready")
        history = {None: right(world.reader.rows, kind)}
        for _ in range(80):
            changes = []
            for id_ in random.sample(range(40), random.choice((1, 2, 20))):
                before = world.reader.rows.get(id_)
                after = row(id_, random.randrange(9), random.choice("abc"), random.random() < 0.3)
                if before is None:
                    changes.append(("c", None, after))
                else:
                    changes.append(("d", before, None) if random.random() < 0.5 else ("u", before, after))
            tx = await world.commit(*changes)
            history[str(tx)] = right(world.reader.rows, kind)
            if random.random() < 0.2:
                client.outbox.unsent = random.choice((0, BEHIND))
            if random.random() < 0.3:
                await caught_up(world)
        client.outbox.unsent = BEHIND
        for number in (50, 60):
            tx = await world.commit(("c", None, row(number, number)))
            history[str(tx)] = right(world.reader.rows, kind)
        await caught_up(world)
        client.outbox.unsent = 0
        async with asyncio.timeout(5):
            while _sorted(replayed(client.frames)[-1][1], kind) != right(world.reader.rows, kind):
                await asyncio.sleep(0.001)
        for tx, docs in replayed(client.frames):
            assert _sorted(docs, kind) == history[tx], tx
        assert "reset" not in client.events
        assert 3 < client.events.count("diff") < 80
        assert any(data.get("transactions", 1) > 1 for data in diffs(client))


def _sorted(docs, kind):
    return docs if kind == "window" else sorted(docs, key=str)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
async def test_whoever_comes_back_amid_what_waits_misses_nothing(kind, seed):
    """Frames behind the last cursor are dropped, as clients do; two live queries on one stream."""
    random = Random(seed)
    async with World() as world:
        await world.commit(*[("c", None, row(number, number % 7)) for number in range(40)])
        done = {"done": True}
        client = world.connect(q=OPEN, other=done, coalesces=True, **KINDS[kind])
        await client.until(2, "ready")
        history, kept = {}, []
        for _ in range(60):
            changes = []
            for id_ in random.sample(range(40), random.choice((1, 3))):
                before = world.reader.rows.get(id_)
                after = row(id_, random.randrange(9), random.choice("abc"), random.random() < 0.4)
                changes.append(("c", None, after) if before is None else ("u", before, after))
            tx = await world.commit(*changes)
            history[str(tx)] = right(world.reader.rows, kind)
            if random.random() < 0.3:
                client.outbox.unsent = random.choice((0, BEHIND))
            if random.random() < 0.1:
                await caught_up(world)
            if random.random() < 0.1:
                frames = client.frames
                while frames[-1][2] is None:
                    frames.pop()
                kept += frames
                client.close()
                client = world.connect(frames[-1][2], q=OPEN, other=done, coalesces=True, **KINDS[kind])
                await client.until(2, "ready")
        client.outbox.unsent = 0

        def mine():
            return [frame for frame in kept + client.frames if frame[1].get("id") == "q"]

        async with asyncio.timeout(5):
            while _sorted(replayed(mine())[-1][1], kind) != right(world.reader.rows, kind):
                await asyncio.sleep(0.001)
        for tx, docs in replayed(mine()):
            assert tx is None or _sorted(docs, kind) == history[tx], tx
        reasons = [data["reason"] for event, data, _ in kept + client.frames if event == "reset"]
        assert set(reasons) <= ({"not_in_cursor"} if kind != "rows" else set())
