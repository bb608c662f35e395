import asyncio

import pytest

from broadcaster import hub, patience
from broadcaster.errors import RequestError
from broadcaster.sse import cursor_prefix, cursor_text
from broadcaster.view import View
from cdc.errors import LogError
from cdc.event import Batch, Position, Reset
from support.hub_world import EPOCH, World, event

OPEN = {"done": False}


def row(id_, done=False, **more):
    return {"id": id_, "done": done, **more}


async def test_initial_ready_then_diffs_in_one_frame_a_transaction():
    async with World() as world:
        await world.commit(("c", None, row(1)), ("c", None, row(2, True)))
        client = world.connect(q=OPEN)
        await client.until(1, "ready")
        assert client.frames[0] == ("initial", {"id": "q", "docs": [row(1)]}, None)
        assert client.frames[1][1] == {"id": "q", "count": 1, "key": ["id"], "indexed": True}
        await world.commit(("u", row(1), row(1, True)), ("u", row(2, True), row(2)), ("c", None, row(3)))
        await client.until(1, "diff")
        _, data, cursor = client.frames[2]
        assert [change["type"] for change in data["changes"]] == ["delete", "insert", "insert"]
        assert data["changes"][0] == {"type": "delete", "find": {"id": 1}}
        assert cursor is not None
        assert list(client.rows().values()) == [row(2), row(3)]


async def test_changes_between_the_read_and_its_position_are_laid_over_the_snapshot():
    async with World() as world:
        await world.commit(("c", None, row(1)), ("c", None, row(2)))

        async def meanwhile():
            world.reader.before_answer = None
            await world.commit(("u", row(1), row(1, title="new")), ("d", row(2), None), ("c", None, row(3)))

        world.reader.before_answer = meanwhile
        client = world.connect(q=OPEN)
        await client.until(1, "ready")
        assert client.events == ["initial", "ready"]
        assert list(client.rows().values()) == [row(1, title="new"), row(3)]


async def test_a_transaction_that_the_log_shows_before_the_read_does():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        hidden = await world.commit(("c", None, row(2)), ("u", row(1), row(1, True)), seen=False)
        await world.commit(("c", None, row(3)))
        await world.feed.reach(world.feed.epoch, 4)
        world.reader.hidden = {str(hidden)}
        client = world.connect(q=OPEN)
        await client.until(1, "ready")
        assert sorted(client.rows()) == ['{"id": 2}', '{"id": 3}']


async def test_of_two_snapshots_the_older_one_finishes_last():
    async with World() as world:
        hidden = await world.commit(("c", None, row(1)), seen=False)
        await world.feed.reach(world.feed.epoch, 1)
        world.reader.hidden = {str(hidden)}
        go_on = asyncio.Event()
        world.reader.before_answer = go_on.wait
        older = world.connect(q=OPEN)
        async with asyncio.timeout(5):
            while not world.reader.reads:
                await asyncio.sleep(0.001)
        world.reader.hidden, world.reader.before_answer = set(), None
        world.reader.rows[1] = row(1)
        newer = world.connect(q={"done": {"$ne": True}})
        await newer.until(1, "ready")
        go_on.set()
        await older.until(1, "ready")
        assert older.rows() == newer.rows() == {'{"id": 1}': row(1)}


async def test_also_when_it_was_logged_before_the_feed_began():
    world = World()
    writer = await world.log.writer()
    await writer.append(Batch([event("c", 7, 1, after=row(7))], Position(EPOCH, 10), 0))
    await writer.close()
    world.reader.hidden = {"7"}
    async with world:
        client = world.connect(q=OPEN)
        await client.until(1, "ready")
        assert list(client.rows().values()) == [row(7)]


async def test_the_join_waits_for_the_position_and_nudges_the_database():
    async with World() as world:
        world.reader.order = 1_000
        client = world.connect(q=OPEN)
        async with asyncio.timeout(5):
            while not world.reader.nudges:
                await asyncio.sleep(0.001)
        assert client.events == []
        await world.writer.append(Batch([], Position(EPOCH, 1_000), 0))
        await client.until(1, "ready")


async def test_what_comes_while_the_initial_result_is_sent_follows_it():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        client = world.connect(q=OPEN)
        client.outbox.gate.clear()
        await client.until(1, "initial")
        await world.commit(("u", row(1), row(1, title="later")))
        await world.feed.reach(world.feed.epoch, 2)
        client.outbox.gate.set()
        await client.until(1, "diff")
        assert client.events == ["initial", "ready", "diff"]
        assert client.frames[1][2] is None  # the cursor comes with the last frame
        assert client.frames[2][2] is not None


async def test_a_cursor_resumes_with_exactly_what_was_missed():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        first = world.connect(q=OPEN)
        await first.until(1, "ready")
        held = first.rows()
        first.close()
        await world.commit(("c", None, row(2)), ("c", None, row(9, True)))
        await world.commit(("u", row(1), row(1, True)))
        await world.commit(("u", row(9, True), row(9, True, x=1)))
        second = world.connect(first.cursor, q=OPEN)
        await second.until(1, "ready")
        assert second.events == ["diff", "diff", "ready"]
        assert second.frames[-1][1] == {"id": "q", "resumed": True, "indexed": True}
        assert list(second.rows(rows=held).values()) == [row(2)]
        await world.commit(("d", row(2), None))
        await second.until(3, "diff")
        third = world.connect(second.frames[0][2], q=OPEN)
        await third.until(2, "diff")
        await third.until(1, "ready")
        assert third.events == ["diff", "diff", "ready"] or third.events == ["diff", "ready", "diff"]


async def test_a_replay_that_the_feed_overtakes_leaves_no_cursor_that_covers_what_it_did_not_send():
    async with World(hold_bytes=300) as world:
        await world.commit(("c", None, row(1)))
        first = world.connect(q=OPEN, other={"done": True})
        await first.until(2, "ready")
        first.close()
        await world.commit(("c", None, row(2)))
        await world.commit(("c", None, row(3)), ("c", None, row(4, True)))
        second = world.connect(first.cursor, q=OPEN, other={"done": True})
        second.outbox.unsent = 1 << 20  # as if it read slowly
        second.outbox.gate.clear()
        await second.until(1, "diff")
        await world.commit(("c", None, row(5, text="x" * 300)))
        await world.feed.reach(world.feed.epoch, 5)
        second.outbox.gate.set()
        await second.until(2, "ready")
        kinds = [(kind, data["id"]) for kind, data, _ in second.frames]
        assert kinds[:2] == [("diff", "q"), ("diff", "other")]
        assert second.frames[1][2] is not None
        second.close()
        third = world.connect(second.frames[1][2], q=OPEN, other={"done": True})
        await third.until(2, "ready")
        assert ("reset", "q") in [(kind, data["id"]) for kind, data, _ in third.frames]
        assert len(third.rows("q")) == 4


async def test_clients_that_come_back_together_share_one_reading():
    async with World() as world:
        await world.commit(("c", None, row(0)))
        firsts = [world.connect(q=OPEN, own={"id": number}) for number in range(20)]
        for first in firsts:
            await first.until(2, "ready")
            first.close()
        cursors = [first.cursor for first in firsts]
        late = None
        for number in range(1, 40):
            await world.commit(("c", None, row(number)))
            if number == 20:
                early = world.connect(cursors[0], q=OPEN, own={"id": 0})
                await early.until(2, "ready")
                late = early.cursor
        assert late is not None
        readings, reader = [], world.log.reader

        async def counted(*args):
            readings.append(args)
            return await reader(*args)

        world.log.reader = counted
        clients = [world.connect(cursor, q=OPEN, own={"id": number}) for number, cursor in enumerate(cursors)]
        clients += [world.connect(late, q=OPEN, own={"id": 0})]
        for client in clients:
            await client.until(2, "ready")
        assert len(readings) <= 2
        for number, client in enumerate(clients):
            of = [data["id"] for kind, data, _ in client.frames if kind == "diff"]
            assert of.count("q") == (19 if number == 20 else 39)
            assert of.count("own") == (0 if number in (0, 20) else 1)


async def test_a_transaction_of_several_collections_is_replayed_once():
    """Read for `todos` alone it ends earlier than read for all, and so does the cursor that is sent with it."""
    async with World() as world:
        first, other = world.connect(q=OPEN), world.connect(collection="others", q={})
        for client in (first, other):
            await client.until(1, "ready")
            client.close()
        await world.commit(("c", None, row(1)), beside=({"id": 7},))
        await world.commit(("c", None, row(2)))
        alone = world.connect(first.cursor, q=OPEN)
        await alone.until(1, "ready")
        alone.close()
        assert alone.events == ["diff", "diff", "ready"]
        beside = world.connect(other.cursor, collection="others", q={})
        again = world.connect(alone.frames[0][2], q=OPEN)
        for client in (beside, again):
            await client.until(1, "ready")
        assert beside.events == ["diff", "ready"]
        assert again.events == ["diff", "ready"]
        assert again.frames[0][1]["changes"][0]["find"] == {"id": 2}


async def test_a_transaction_of_several_collections_that_the_log_shows_before_the_read_does():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        hidden = await world.commit(("c", None, row(2)), seen=False, beside=({"id": 7},))
        await world.feed.reach(world.feed.epoch, 3)
        world.reader.hidden = {str(hidden)}
        client = world.connect(q=OPEN)
        await client.until(1, "ready")
        assert sorted(client.rows()) == ['{"id": 1}', '{"id": 2}']


async def test_a_slow_reader_leaves_the_others_reading():
    async with World() as world:
        first = world.connect(q=OPEN)
        await first.until(1, "ready")
        first.close()
        for number in range(1, 4):
            await world.commit(("c", None, row(number)))
        slow = world.connect(first.cursor, q=OPEN)
        slow.outbox.unsent = 1 << 20
        slow.outbox.gate.clear()
        await slow.until(1, "diff")
        quick = world.connect(first.cursor, q=OPEN)
        await quick.until(1, "ready")
        assert quick.events == ["diff"] * 3 + ["ready"]
        assert slow.events == ["diff"]
        slow.outbox.unsent = 0
        slow.outbox.gate.set()
        await slow.until(1, "ready")
        assert slow.events == ["diff"] * 3 + ["ready"]


async def test_a_client_that_goes_during_its_replay_is_forgotten():
    async with World() as world:
        first = world.connect(q=OPEN)
        await first.until(1, "ready")
        first.close()
        await world.commit(("c", None, row(1)))
        gone = world.connect(first.cursor, q=OPEN)
        gone.close()
        second = world.connect(first.cursor, q=OPEN)
        await second.until(1, "ready")
        assert second.events == ["diff", "ready"]


def breaking(method, times):
    """The method of a log, which fails so often first."""
    left = iter(range(times))

    async def attempt(*args):
        if next(left, None) is not None:
            raise LogError("bad sector")
        return await method(*args)

    return attempt


@pytest.fixture
def hurried(monkeypatch):
    monkeypatch.setattr(patience, "_FIRST_SECONDS", 0.001)
    monkeypatch.setattr(patience, "_MOST_SECONDS", 0.001)


@pytest.mark.parametrize("method", ["reader", "state"])
async def test_a_cursor_waits_for_a_log_that_cannot_be_read_for_a_while(hurried, method):
    async with World() as world:
        first = world.connect(q=OPEN)
        await first.until(1, "ready")
        first.close()
        await world.commit(("c", None, row(1)))
        setattr(world.log, method, breaking(getattr(world.log, method), patience.ATTEMPTS - 1))
        second = world.connect(first.cursor, q=OPEN)
        await second.until(1, "ready")
        assert second.events == ["diff", "ready"]


@pytest.mark.parametrize("method", ["reader", "state"])
async def test_a_log_that_cannot_be_read_for_long_starts_over_with_a_reason(hurried, method):
    async with World() as world:
        first = world.connect(q=OPEN)
        await first.until(1, "ready")
        first.close()
        await world.commit(("c", None, row(1)))
        setattr(world.log, method, breaking(getattr(world.log, method), patience.ATTEMPTS))
        second = world.connect(first.cursor, q=OPEN)
        await second.until(1, "ready")
        assert second.frames[0][1]["reason"] == "log_unreadable"
        assert len(second.rows()) == 1


async def test_a_selection_is_all_that_is_sent_and_all_that_counts():
    async with World() as world:
        await world.commit(("c", None, row(1, title="a", text="x")))
        client = world.connect(view=View(("title",)), q=OPEN)
        whole = world.connect(q=OPEN)
        await client.until(1, "ready")
        await whole.until(1, "ready")
        await world.commit(("u", row(1, title="a", text="x"), row(1, title="a", text="y")))
        await world.commit(("u", row(1, title="a", text="y"), row(1, title="b", text="y")))
        await whole.until(2, "diff")
        await client.until(1, "diff")
        assert client.frames[0][1]["docs"] == [{"id": 1, "title": "a"}]
        docs = [
            change["doc"] for kind, data, _ in client.frames if kind == "diff" for change in data["changes"]
        ]
        assert docs == [{"id": 1, "title": "b"}]
        again = world.connect(client.frames[1][2], view=View(("title",)), q=OPEN)
        await again.until(1, "ready")
        assert again.events == ["diff", "ready"]
        other = world.connect(client.frames[1][2], view=View(("text",)), q=OPEN)
        await other.until(1, "ready")
        assert other.events == ["reset", "initial", "ready"]


async def test_changes_while_a_selection_is_read():
    async with World() as world:
        await world.commit(("c", None, row(1, title="a")), ("c", None, row(2, title="b")))

        async def meanwhile():
            world.reader.before_answer = None
            await world.commit(("u", row(1, title="a"), row(1, title="c")), ("c", None, row(3, title="d")))

        world.reader.before_answer = meanwhile
        client = world.connect(view=View(("title",)), q=OPEN)
        await client.until(1, "ready")
        assert sorted(client.rows().values(), key=lambda doc: doc["id"]) == [
            {"id": 1, "title": "c"},
            {"id": 2, "title": "b"},
            {"id": 3, "title": "d"},
        ]


async def test_a_new_subscription_beside_a_resumed_one_starts_afresh():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        first = world.connect(q=OPEN)
        await first.until(1, "ready")
        first.close()
        second = world.connect(first.cursor, q=OPEN, other={})
        await second.until(2, "ready")
        assert [(e, d["id"]) for e, d, _ in second.frames] == [
            ("ready", "q"),
            ("reset", "other"),
            ("initial", "other"),
            ("ready", "other"),
        ]
        assert second.frames[1][1]["reason"] == "not_in_cursor"
        second.close()
        third = world.connect(second.cursor, q=OPEN, other={})
        await third.until(2, "ready")
        assert third.events == ["ready", "ready"]


async def test_another_where_under_the_same_id_is_not_resumed():
    async with World() as world:
        first = world.connect(q=OPEN)
        await first.until(1, "ready")
        second = world.connect(first.cursor, q={})
        await second.until(1, "ready")
        assert second.events == ["reset", "initial", "ready"]


async def test_a_cursor_from_another_life_resets():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        client = world.connect("nonsense", q=OPEN)
        await client.until(1, "ready")
        assert client.frames[0][1] == {"id": "q", "reason": "cursor_invalid"}
        ahead = client.cursor.rpartition(".")[0] + ".99"
        second = world.connect(ahead, q=OPEN)
        await second.until(1, "ready")
        assert second.frames[0][1]["reason"] == "cursor_invalid"
        await world.writer.start_over(Position(EPOCH, 1_000))
        await client.until(1, "reset")
        third = world.connect(client.cursor, q=OPEN)
        await third.until(1, "ready")


async def test_start_over_resets_live_queries():
    async with World() as world:
        client = world.connect(q=OPEN)
        await client.until(1, "ready")
        await world.writer.start_over(Position(EPOCH, 1_000))
        await client.until(2, "ready")
        assert client.events == ["initial", "ready", "reset", "initial", "ready"]
        assert client.frames[2][1]["reason"] == "epoch_changed"
        old = client.frames[1][2]
        again = world.connect(old, q=OPEN)
        await again.until(1, "ready")
        assert again.frames[0][1]["reason"] == "epoch_changed"


async def test_truncate_empties_the_result_exactly():
    async with World() as world:
        await world.commit(("c", None, row(1)), ("c", None, row(2)))
        client = world.connect(q=OPEN)
        await client.until(1, "ready")
        reads = world.reader.reads
        await world.commit(("d", row(1), None), ("t", None, None), ("c", None, row(5)))
        await client.until(2, "ready")
        assert client.events == ["initial", "ready", "reset", "initial", "ready"]
        assert list(client.rows().values()) == [row(5)]
        assert world.reader.reads == reads
        await world.commit(("d", row(5), None))
        await client.until(1, "diff")
        assert client.rows() == {}


async def test_a_missing_old_image_starts_over():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        client = world.connect(q=OPEN)
        await client.until(1, "ready")
        await world.commit(("u", None, row(1, True)))
        await client.until(1, "reset")
        world.reader.rows[1] = row(1, True)
        await client.until(2, "ready")
        assert client.frames[2][1]["reason"] == "before_image_missing"
        assert client.rows() == {}


async def test_a_transaction_too_large_for_a_frame_starts_over():
    async with World(transaction_bytes=500) as world:
        client = world.connect(q=OPEN)
        await client.until(1, "ready")
        await world.commit(*[("c", None, row(i, text="x" * 50)) for i in range(20)])
        await client.until(2, "ready")
        assert client.frames[2][1]["reason"] == "transaction_too_large"
        assert len(client.rows()) == 20


async def test_a_reset_of_the_collection_starts_over():
    async with World() as world:
        client = world.connect(q=OPEN)
        await client.until(1, "ready")
        await world.commit(("c", None, row(1)), resets=(Reset("todos", "columns_changed"),))
        await client.until(2, "ready")
        assert client.frames[2][1]["reason"] == "columns_changed"
        assert list(client.rows().values()) == [row(1)]


async def test_a_replay_across_a_reset_starts_over():
    async with World() as world:
        first = world.connect(q=OPEN)
        await first.until(1, "ready")
        first.close()
        await world.commit(("c", None, row(1)))
        await world.commit(("c", None, row(2)), resets=(Reset("todos", "columns_changed"),))
        second = world.connect(first.cursor, q=OPEN)
        await second.until(1, "ready")
        assert second.events[-3:] == ["reset", "initial", "ready"]
        assert len(second.rows()) == 2


async def test_a_transaction_in_parts_is_one_frame():
    async with World() as world:
        client = world.connect(q=OPEN)
        await client.until(1, "ready")
        for order in (1, 2, 3):
            await world.writer.append(
                Batch(
                    [event("c", 50, order, after=row(order))],
                    None if order < 3 else Position(EPOCH, 5_100),
                    0,
                )
            )
        await client.until(1, "diff")
        assert client.events == ["initial", "ready", "diff"]
        assert len(client.frames[2][1]["changes"]) == 3


async def test_the_database_is_down_at_subscribe():
    async with World() as world:
        world.reader.failure = RequestError("database_unavailable", "gone fishing")
        client = world.connect(q=OPEN)
        await client.until(1, "error")
        assert client.frames[0][1] == {
            "id": "q",
            "code": "database_unavailable",
            "message": "gone fishing",
            "retryable": True,
        }
        world.reader.failure = None
        await client.until(1, "ready")
        assert client.events == ["error", "initial", "ready"]


async def test_a_result_too_large_ends_that_subscription_only():
    async with World(initial_rows=1) as world:
        await world.commit(("c", None, row(1)), ("c", None, row(2, True)), ("c", None, row(3, True)))
        client = world.connect(few=OPEN, many={"done": True})
        world.reader.failure = None
        await client.until(1, "error")
        await client.until(1, "ready")
        error = next(d for e, d, _ in client.frames if e == "error")
        assert (error["id"], error["code"], error["retryable"]) == ("many", "result_too_large", False)


async def test_equal_queries_are_one():
    async with World() as world:
        first = world.connect(a={"done": False, "id": 1}, b={"$and": [{"id": 1}, {"done": False}]})
        await first.until(2, "ready")
        queries = {s.live_query for s in first.connection.subscriptions.values()}
        assert len(queries) == 1
        first.close()
        assert not next(iter(queries)).subscriptions


async def test_clients_of_the_same_live_queries_get_the_same_bytes():
    async with World() as world:
        first, second = world.connect(q=OPEN), world.connect(q=OPEN)
        other = world.connect(q=OPEN, more=OPEN)
        for client, count in ((first, 1), (second, 1), (other, 2)):
            await client.until(count, "ready")
            client.outbox.sent = b""
        await world.commit(("c", None, row(1)))
        for client, count in ((first, 1), (second, 1), (other, 2)):
            await client.until(count, "diff")
        assert first.outbox.sent == second.outbox.sent
        assert sorted((data["id"], cursor is None) for _, data, cursor in other.frames) in (
            [("more", False), ("q", True)],
            [("more", True), ("q", False)],
        )
        assert other.cursor != first.cursor


async def test_noop_updates_are_not_told():
    async with World() as world:
        await world.commit(("c", None, row(1)))
        client = world.connect(q=OPEN)
        await client.until(1, "ready")
        await world.commit(("u", row(1), row(1)))
        await world.commit(("d", row(1), None))
        await client.until(1, "diff")
        assert [c["type"] for c in client.frames[2][1]["changes"]] == ["delete"]


async def test_progress_carries_the_cursor_on():
    async with World() as world:
        client = world.connect(q=OPEN)
        await client.until(1, "ready")
        before = client.cursor
        await world.commit(("c", None, row(1, True)))
        await world.feed.reach(world.feed.epoch, 1)
        client.connection.progress()
        assert client.cursor != before
        again = world.connect(client.cursor, q=OPEN)
        await again.until(1, "ready")
        assert again.events == ["ready"]


async def test_a_connection_that_is_closed_before_its_work_began():
    async with World() as world:
        client = world.connect(q=OPEN)
        client.close()
        await asyncio.sleep(0)
        assert client.events == []


async def test_a_reset_amid_a_transaction_does_not_cost_the_others_their_cursor():
    async with World(transaction_bytes=100) as world:
        client = world.connect(few={"done": True}, many=OPEN)
        await client.until(2, "ready")
        await world.commit(("c", None, row(0, True)), *(("c", None, row(n)) for n in range(1, 9)))
        await client.until(1, "progress")
        at = client.events.index("diff")
        assert client.events[at : at + 3] == ["diff", "reset", "progress"]
        assert client.frames[at + 2][2] is not None
        client.close()
        again = world.connect(client.frames[at + 2][2], few={"done": True}, many=OPEN)
        await again.until(2, "ready")
        assert "diff" not in again.events


async def test_a_log_that_is_not_there_yet_is_told(monkeypatch):
    monkeypatch.setattr(hub, "_BOUNDARY_PATIENCE", 0.01)
    world = World()
    running = asyncio.create_task(world.hub.run())
    fresh = world.connect(q=OPEN)
    covered = fresh.connection.subscriptions["q"].digest
    resumed = world.connect(cursor_text(cursor_prefix({"pg": "earlier"}, [covered]), [1]).decode(), q=OPEN)
    for client in (fresh, resumed):
        await client.until(1, "error")
        assert client.frames[-1][1]["code"] == "not_ready"
        assert client.frames[-1][1]["id"] == "q"
    writer = await world.log.writer()
    await writer.append(Batch([], Position(EPOCH, 0), 0))
    for client in (fresh, resumed):
        await client.until(1, "ready")
    assert resumed.events == ["error", "reset", "initial", "ready"]
    running.cancel()
    await asyncio.wait({running})


async def test_a_past_that_cannot_be_read_is_waited_for(monkeypatch):
    async with World() as world:
        hidden = await world.commit(("c", None, row(1)), seen=False)
        await world.feed.follow({"todos"})
        world.reader.hidden = {str(hidden)}
        reader = world.log.reader

        async def unreadable(*arguments):
            monkeypatch.setattr(world.log, "reader", reader)
            raise LogError("too many open files")

        monkeypatch.setattr(world.log, "reader", unreadable)
        client = world.connect(q=OPEN)
        await client.until(1, "ready")
        assert client.events == ["error", "initial", "ready"]
        assert client.frames[0][1]["code"] == "not_ready"
        assert list(client.rows().values()) == [row(1)]


async def test_of_the_log_only_what_somebody_asks_for_is_read():
    async with World() as world:
        opened = []
        reader = world.log.reader

        async def counted(after=None, collections=None, **options):
            opened.append((after, set(collections)))
            return await reader(after, collections, **options)

        world.log.reader = counted
        await world.commit(("c", None, row(1)), beside=({"id": 7},))
        first = world.connect(q=OPEN)
        await first.until(1, "ready")
        await world.commit(("c", None, row(2)), beside=({"id": 8},))
        await first.until(1, "diff")
        again = world.connect(q=OPEN)
        await again.until(1, "ready")
        assert opened == [(0, {"todos"}), (2, {"todos"})]
        assert world.metrics.events._value.get() == 1
        world.reader.rows = {7: {"id": 7}, 8: {"id": 8}}
        other = world.connect(collection="others", q={})
        await other.until(1, "ready")
        assert opened[2:] == [(0, {"todos", "others"}), (4, {"todos", "others"})]
        await world.commit(("c", None, row(3)), beside=({"id": 9},))
        for client, found in ((first, [row(n) for n in (1, 2, 3)]), (other, [{"id": n} for n in (7, 8, 9)])):
            await client.until(2 if client is first else 1, "diff")
            assert sorted(client.rows().values(), key=lambda each: each["id"]) == found


async def test_a_collection_that_nobody_asked_for_yet_is_looked_back_at():
    """What was appended before the first live query on it, and which its snapshot does not show yet."""
    async with World() as world:
        first = world.connect(q=OPEN)
        await first.until(1, "ready")
        hidden = await world.commit(("c", None, row(1)), seen=False, beside=({"id": 7},))
        await first.until(1, "diff")
        world.reader.hidden = {str(hidden)}
        world.reader.rows = {}
        other = world.connect(collection="others", q={})
        await other.until(1, "ready")
        assert list(other.rows().values()) == [{"id": 7}]


async def test_many_who_come_at_once_widen_what_is_read_and_lose_nothing():
    async with World() as world:

        async def write():
            for number in range(1, 60):
                await world.commit(("c", None, row(number)), beside=({"id": number},))
                await asyncio.sleep(0)

        writing = asyncio.create_task(write())
        clients = []
        for collection in ("todos", "others", "third", "fourth", "todos", "others"):
            clients.append((collection, world.connect(collection=collection, q={})))
            await asyncio.sleep(0)
        await writing
        async with asyncio.timeout(30):
            for collection, client in clients:
                await client.until(1, "ready")
                while collection == "todos" and len(client.rows()) < 59:
                    await asyncio.sleep(0.001)


async def test_a_place_that_an_ended_epoch_had_is_not_waited_for():
    async with World() as world:
        epoch = world.feed.epoch
        waiting = asyncio.create_task(world.feed.reach(epoch, 5))
        await asyncio.sleep(0)
        await world.writer.start_over(Position(EPOCH, 0))
        async with asyncio.timeout(5):
            await waiting
        assert world.feed.epoch != epoch


async def test_what_a_reset_is_about_must_be_in_the_result():
    """A read that came too early is repeated, also when the reset was logged before the feed began."""
    world = World()
    writer = await world.log.writer()
    await writer.append(
        Batch([event("c", 6, 1, after=row(2))], Position(EPOCH, 5), 0, (Reset("todos", "rows_unknown", "7"),))
    )
    await writer.close()
    world.reader.rows, world.reader.hidden = {1: row(1)}, {"6", "7"}
    async with world:
        client = world.connect(q=OPEN)
        async with asyncio.timeout(5):
            while world.reader.reads < 2:
                await asyncio.sleep(0.001)
        assert client.events == []
        world.reader.rows, world.reader.hidden = {3: row(3)}, set()
        await client.until(1, "ready")
        assert list(client.rows().values()) == [row(3)]


async def test_nothing_is_read_before_the_log_has_a_position():
    """What commits between a read and the place where the tailer then begins would be in neither."""
    world = World()
    writer = await world.log.writer()
    running = asyncio.create_task(world.hub.run())
    client = world.connect(q=OPEN)
    async with asyncio.timeout(5):
        while not world.feed.reached_end:
            await asyncio.sleep(0.001)
    for _ in range(10):
        await asyncio.sleep(0)
    assert world.reader.reads == 0
    world.reader.rows = {1: row(1)}
    await writer.append(Batch([], Position(EPOCH, 100), 0))
    await client.until(1, "ready")
    assert list(client.rows().values()) == [row(1)]
    running.cancel()
    await asyncio.wait({running})
    await world.log.close()
