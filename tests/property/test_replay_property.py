"""Whatever comes together in a replay, every client gets exactly what it missed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from broadcaster.evaluate import compile_predicate
from broadcaster.query import parse_where
from broadcaster.replay import Replays
from broadcaster.sse import cursor_prefix, cursor_text, digest, parse_cursor
from cdc.errors import LogError
from cdc.event import Batch, Chunk, Position, Reset
from support.hub_world import EPOCH, Client, Row, World, event

WHERES: tuple[Any, ...] = ({}, {"n": {"$gt": 5}}, {"n": {"$lt": 3}}, {"done": True})
Table = dict[int, Row]


class _Slow:
    """An outbox that stands full now and then, and lets the replay wait for a while."""

    def __init__(self, dice: random.Random, share: float) -> None:
        self.sent = b""
        self.closed = asyncio.Event()
        self._dice = dice
        self._share = share

    @property
    def unsent(self) -> int:
        return 1 << 20 if self._dice.random() < self._share else 0

    def send(self, payload: bytes, *, asked: bool = False) -> None:
        self.sent += payload

    def flush(self) -> None:
        pass

    async def drain(self) -> None:
        for _ in range(self._dice.randrange(20)):
            await asyncio.sleep(0)

    def close(self) -> None:
        self.closed.set()


class _Portioned:
    """A reader that gives few chunks at a time, some of them larger, and fails now and then."""

    def __init__(self, reader: Any, dice: random.Random, failing: float) -> None:
        self._reader = reader
        self._dice = dice
        self._failing = failing
        self._left: list[Chunk] = []

    @property
    def epoch(self) -> str:
        return str(self._reader.epoch)

    async def read(self) -> list[Chunk]:
        await asyncio.sleep(0)
        if self._dice.random() < self._failing:
            raise LogError("planted")
        self._left = self._left or await self._reader.read()
        count = self._dice.randrange(1, 4)
        given, self._left = self._left[:count], self._left[count:]
        while len(given) > 1 and self._dice.random() < 0.4:
            one, other, *rest = given
            if one.resets or other.resets:
                break
            given = [replace(other, entries=[*one.entries, *other.entries]), *rest]
        return given

    async def close(self) -> None:
        await self._reader.close()


class _Story:
    """A table, what its log holds of it, and what it was at every offset. is_broken: by a truncate or a reset."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self.world = world
        self.dice = dice
        self.table: Table = {}
        self.states: dict[int, Table] = {0: {}}
        self.places: list[int] = [0]
        self.is_broken = False
        self._tx = 0

    async def transaction(self) -> None:
        """A transaction of a few changes, in one chunk or several."""
        dice = self.dice
        self._tx += 1
        records = []
        resets: tuple[Reset, ...] = ()
        kind = dice.random()
        if kind < 0.02:
            records.append(event("t", self._tx, 1))
            self.table = {}
            self.is_broken = True
        for _ in range(dice.randrange(0, 7)):
            records.append(self._change(len(records) + 1))
        if 0.02 < kind < 0.03:
            resets = (Reset("todos", "schema_changed"),)
            self.is_broken = True
        order = 100 * self._tx + 50
        self.world.reader.rows = dict(self.table)
        self.world.reader.order = order
        while len(records) > 1 and dice.random() < 0.4:
            count = dice.randrange(1, len(records))
            await self.world.writer.append(Batch(records[:count], None, 0))
            records = records[count:]
        await self.world.writer.append(Batch(records, Position(EPOCH, order), 0, resets))
        state = await self.world.log.state()
        assert state is not None
        self.states[state.newest] = dict(self.table)
        self.places.append(state.newest)

    def _change(self, order: int) -> Any:
        dice = self.dice
        id_ = dice.randrange(12)
        before = self.table.get(id_)
        after = {"id": id_, "n": dice.randrange(9), "done": dice.random() < 0.5}
        if before is None:
            self.table[id_] = after
            return event("c", self._tx, order, after=after)
        if dice.random() < 0.3:
            del self.table[id_]
            return event("d", self._tx, order, before=before)
        self.table[id_] = after
        return event("u", self._tx, order, before=before, after=after)

    def rows(self, place: int, where: Any) -> dict[str, Row]:
        """The result at an offset."""
        test = compile_predicate(parse_where(where))
        table = self.states[max(each for each in self.states if each <= place)]
        return {f'{{"id": {id_}}}': row for id_, row in table.items() if test(row)}

    def resume(self, place: int, wheres: dict[str, Any], slow: float) -> Client:
        """A client that saw everything up to this place."""
        prefix = cursor_prefix({"pg": self.world.feed.epoch}, self._names(wheres).values())
        client = self.world.connect(cursor_text(prefix, [place]).decode(), **wheres)
        client.outbox = client.connection.outbox = _Slow(self.dice, slow)  # type: ignore[assignment]
        return client

    def _names(self, wheres: dict[str, Any]) -> dict[str, bytes]:
        """What cursors call these live queries."""
        feed = self.world.feed
        return {
            id_: digest(id_, feed.intern("todos", parse_where(where)).key) for id_, where in wheres.items()
        }

    def check(self, client: Client, place: int, wheres: dict[str, Any], *, ended: bool) -> bool:
        """At every cursor the rows that it covers are those that the table had there; at the end those that it has.
        Returns whether it came without a reset."""
        rows = {id_: self.rows(place, where) for id_, where in wheres.items()}
        known = set(wheres)
        names = self._names(wheres)
        events = []
        for kind, data, cursor in client.frames:
            id_ = data.get("id")
            if kind == "reset":
                rows[id_], known = {}, known - {id_}
            elif kind == "initial":
                rows[id_] |= {f'{{"id": {doc["id"]}}}': doc for doc in data["docs"]}
            elif kind == "ready":
                known.add(id_)
            for change in data.get("changes", ()):
                key = f'{{"id": {change["find"]["id"]}}}'
                assert (key in rows[id_]) == (change["type"] != "insert"), (id_, change)
                if change["type"] == "delete":
                    del rows[id_][key]
                else:
                    rows[id_][key] = change["doc"]
            events.append(kind)
            if cursor is not None:
                found = parse_cursor(cursor)
                assert found is not None
                for covered in (id_ for id_, name in names.items() if name in found.covered):
                    assert rows[covered] == self.rows(found.places["pg"][1], wheres[covered]), (covered, kind)
        if ended:
            assert known == set(wheres), events
            for id_, where in wheres.items():
                assert rows[id_] == self.rows(self.places[-1], where), id_
        return "reset" not in events


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def _some(dice: random.Random) -> Iterator[tuple[str, Any]]:
    for index in range(dice.randrange(1, 4)):
        yield f"q{index}", dice.choice(WHERES)


async def _play(seed: int, failing: float, keep_bytes: int | None) -> None:
    dice = random.Random(seed)
    async with World() as world:
        world.hub._replays["pg"] = Replays(world.feed, 1 << 30)
        world.log._keep_bytes = keep_bytes
        plain = world.log.reader

        async def portioned(after: Any, collections: Any, *, follows: bool = False) -> Any:
            reader = await plain(after, collections)
            return reader if follows else _Portioned(reader, dice, failing)

        world.log.reader = portioned  # type: ignore[method-assign]
        story = _Story(world, dice)
        for _ in range(dice.randrange(1, 60)):
            await story.transaction()
        await world.feed.reach(world.feed.epoch, story.places[-1])
        clients: list[tuple[Client, int, dict[str, Any]]] = []
        gone: list[tuple[Client, int, dict[str, Any]]] = []
        for _ in range(dice.randrange(2, 25)):
            place, wheres = dice.choice(story.places), dict(_some(dice))
            slow = dice.choice((0.0, 0.0, 0.3, 0.9))
            clients.append((story.resume(place, wheres, slow), place, wheres))
            if dice.random() < 0.4:
                await story.transaction()
            for _ in range(dice.choice((0, 0, 1, 5, 40))):
                await asyncio.sleep(0)
                dice.choice(clients)[0].connection.progress()
            if len(clients) > 1 and dice.random() < 0.15:
                gone.append(clients.pop(dice.randrange(len(clients))))
                gone[-1][0].close()
        last = story.places[-1]

        def at_rest() -> bool:
            return world.feed.place >= last and all(
                subscription.phase.name == "LIVE"
                for client, _, _ in clients
                for subscription in client.connection.subscriptions.values()
            )

        await _until(at_rest)
        replays = world.hub._replays["pg"]
        await _until(lambda: replays._pass is None)
        assert not replays._waiting
        exact = [story.check(client, place, wheres, ended=True) for client, place, wheres in clients]
        for client, place, wheres in gone:
            story.check(client, place, wheres, ended=False)
        if not failing and keep_bytes is None and not story.is_broken:
            assert all(exact)
            assert world.reader.reads == 0
        for client, _, _ in clients:
            client.close()


@given(st.integers(min_value=0), st.sampled_from((0.0, 0.0, 0.02)), st.sampled_from((None, None, 4000)))
@settings(max_examples=40)
def test_every_member_gets_exactly_what_it_missed(seed: int, failing: float, keep_bytes: int | None) -> None:
    asyncio.run(_play(seed, failing, keep_bytes))
