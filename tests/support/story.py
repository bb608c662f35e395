"""A table whose changes are drawn, what its log holds of them, and the judge of what clients were told."""

from __future__ import annotations

import random
from typing import Any

from broadcaster.evaluate import compile_predicate
from broadcaster.query import parse_where
from broadcaster.sse import cursor_prefix, cursor_text, digest, parse_cursor
from cdc.event import Batch, Position, Reset
from support.hub_world import EPOCH, Client, Row, World, event

WHERES: tuple[Any, ...] = ({}, {"n": {"$gt": 5}}, {"n": {"$lt": 3}}, {"done": True})
Table = dict[int, Row]


class Story:
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

    def resume(self, place: int, wheres: dict[str, Any], **options: Any) -> Client:
        """A client that saw everything up to this place. options: of `World.connect`."""
        prefix = cursor_prefix({"pg": self.world.feed.epoch}, self._names(wheres).values())
        return self.world.connect(cursor_text(prefix, [place]).decode(), **options, **wheres)

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
