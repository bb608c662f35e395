"""What every source must do, whatever the database: a suite that each source's own test file runs by subclassing.

The subclass gives a fixture `driver`. Two collections exist: `items` (key `id`, however it is called there, a number;
`name`, text; `n`, number or null) and `others` (the same).
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from cdc.metrics import DatabaseMetrics
from cdc.tailer import Source
from support.tail import Event, Tail, new_tail

Doc: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Insert:
    """These documents, in one statement."""

    collection: str
    docs: tuple[Doc, ...]


@dataclass(frozen=True)
class Update:
    """Set these fields where `n` >= `least` (None: of document `id`), in one statement."""

    collection: str
    fields: Doc
    id: int | None = None
    least: int | None = None


@dataclass(frozen=True)
class Delete:
    """This document (None: all)."""

    collection: str
    id: int | None = None


Change: TypeAlias = Insert | Update | Delete


class Driver(Protocol):
    """A database of the test's own."""

    key_field: str
    changes_keys: bool
    truncates: bool

    def source(self, metrics: DatabaseMetrics) -> Source:
        """A source that follows `items` and `others`."""

    async def transaction(self, *changes: Change, commit: bool = True) -> None:
        """One transaction, committed or rolled back."""

    async def truncate(self, collection: str) -> None:
        """Empty it in one go."""

    async def write_elsewhere(self) -> None:
        """Change something that is not followed."""

    async def documents(self, collection: str) -> list[Doc]:
        """What it holds now, by id."""


def doc(id: int, name: str = "a", n: int | None = 0) -> Doc:  # noqa: A002 - the field's name
    """A document."""
    return {"id": id, "name": name, "n": n}


def one(collection: str, *ids: int) -> Insert:
    """An insert of plain documents."""
    return Insert(collection, tuple(doc(each) for each in ids))


async def started(driver: Driver, tail: Tail) -> None:
    """Wait until what is written from now on is sure to be followed."""
    await tail.until(lambda tail: bool(tail.positions))


async def settled(driver: Driver, tail: Tail) -> list[Event]:
    """Write a last document to `others` and return all that comes before it."""
    await driver.transaction(one("others", 999_999_999))
    return await tail.key("others", {"id": 999_999_999})


def folded(events: list[Event], collection: str) -> list[Doc]:
    """What a follower that began with nothing has now; fails where an event contradicts what it has."""
    rows: dict[int, Doc] = {}
    for event in events:
        if event.collection != collection:
            continue
        if event.op == "t":
            rows.clear()
            continue
        known = rows.pop(event.key["id"], None)
        assert event.before == known, event
        if event.op != "d":
            rows[event.key["id"]] = event.after
    return [rows[id] for id in sorted(rows)]  # noqa: A001


class Conformance:
    """The suite."""

    async def test_insert_update_delete(self, driver: Driver) -> None:
        tail = new_tail(driver.key_field)
        async with tail.running(driver.source):
            await started(driver, tail)
            await driver.transaction(one("items", 1))
            await driver.transaction(Update("items", {"name": "é\n\"'\\ 🎈", "n": None}, id=1))
            await driver.transaction(Delete("items", 1))
            events = await tail.count(3)
        changed = doc(1, "é\n\"'\\ 🎈", None)
        assert [event.change for event in events] == [
            ("c", None, doc(1)),
            ("u", doc(1), changed),
            ("d", changed, None),
        ]
        assert all(event.key == {"id": 1} and event.collection == "items" for event in events)

    async def test_one_transaction_is_consecutive_and_numbered(self, driver: Driver) -> None:
        tail = new_tail(driver.key_field)
        async with tail.running(driver.source):
            await started(driver, tail)
            await driver.transaction(
                one("items", 1, 2), one("others", 1), Update("items", {"n": 5}, least=0), Delete("others", 1)
            )
            await driver.transaction(one("others", 2))
            events = await tail.count(7)
        first = [event.transaction for event in events[:6]]
        assert len({transaction["id"] for transaction in first}) == 1
        assert [transaction["total_order"] for transaction in first] == [1, 2, 3, 4, 5, 6]
        assert [transaction["data_collection_order"] for transaction in first] == [1, 2, 1, 3, 4, 2]
        assert [transaction.get("last", False) for transaction in first] == [
            False,
            False,
            False,
            False,
            True,
            True,
        ]
        assert events[6].transaction["id"] != first[0]["id"]
        assert events[6].transaction["last"] is True

    async def test_what_is_rolled_back_is_invisible(self, driver: Driver) -> None:
        tail = new_tail(driver.key_field)
        async with tail.running(driver.source):
            await started(driver, tail)
            await driver.transaction(one("items", 1), commit=False)
            await driver.transaction(one("items", 2))
            events = await tail.count(1)
        assert [event.key["id"] for event in events] == [2]

    async def test_what_is_not_followed_only_moves_the_position(self, driver: Driver) -> None:
        tail = new_tail(driver.key_field)
        async with tail.running(driver.source):
            await started(driver, tail)
            before = tail.positions[-1]
            await driver.write_elsewhere()
            await tail.until(lambda tail: tail.positions[-1].order > before.order)
            assert tail.events == []
            assert tail.positions[-1].epoch == before.epoch

    async def test_key_change_is_a_delete_and_an_insert(self, driver: Driver) -> None:
        if not driver.changes_keys:
            return
        tail = new_tail(driver.key_field)
        async with tail.running(driver.source):
            await started(driver, tail)
            await driver.transaction(one("items", 1))
            await driver.transaction(Update("items", {"id": 7, "n": 3}, id=1))
            events = await tail.count(3)
        assert [(event.key["id"], *event.change) for event in events[1:]] == [
            (1, "d", doc(1), None),
            (7, "c", None, doc(7, n=3)),
        ]
        assert events[1].transaction["id"] == events[2].transaction["id"]

    async def test_truncate_is_one_event(self, driver: Driver) -> None:
        if not driver.truncates:
            return
        tail = new_tail(driver.key_field)
        async with tail.running(driver.source):
            await started(driver, tail)
            await driver.transaction(one("items", 1, 2))
            await driver.truncate("items")
            await driver.transaction(one("items", 3))
            events = await tail.count(4)
        assert [event.op for event in events] == ["c", "c", "t", "c"]
        assert events[2].change == ("t", None, None)

    async def test_a_restart_gives_what_was_missed_once(self, driver: Driver) -> None:
        tail = new_tail(driver.key_field)
        async with tail.running(driver.source):
            await started(driver, tail)
            await driver.transaction(one("items", 1))
            await tail.count(1)
        await driver.transaction(one("items", 2, 3))
        await driver.transaction(Delete("items", 1))
        async with tail.running(driver.source):
            await settled(driver, tail)
        assert [(event.op, event.key["id"]) for event in tail.events[:-1]] == [
            ("c", 1),
            ("c", 2),
            ("c", 3),
            ("d", 1),
        ]

    async def test_restarts_while_written_to_lose_and_repeat_nothing(self, driver: Driver) -> None:
        tail = new_tail(driver.key_field)
        chance = random.Random(7)
        async with tail.running(driver.source):
            await started(driver, tail)
        writing = asyncio.create_task(_write_at_random(driver, chance))
        while not writing.done():
            async with tail.running(driver.source):
                seen = len(tail.events)
                more = seen + chance.randint(1, 80)
                reading = asyncio.create_task(tail.until(lambda tail, more=more: len(tail.events) >= more))  # type: ignore[misc]
                await asyncio.wait([reading, writing], return_when=asyncio.FIRST_COMPLETED)
                reading.cancel()
                await asyncio.wait([reading])
        await writing
        async with tail.running(driver.source):
            await settled(driver, tail)
        for collection in ("items", "others"):
            assert folded(tail.events, collection) == await driver.documents(collection)
        offsets = [event.offset for event in tail.events]
        assert offsets == sorted(set(offsets))

    async def test_a_large_transaction_arrives_whole(self, driver: Driver) -> None:
        tail = new_tail(driver.key_field)
        count = 20_000
        async with tail.running(driver.source):
            await started(driver, tail)
            await driver.transaction(Insert("items", tuple(doc(i, "x" * 100) for i in range(count))))
            events = await tail.count(count)
        assert [event.transaction["total_order"] for event in events] == list(range(1, count + 1))
        assert [event.transaction.get("last", False) for event in events] == [False] * (count - 1) + [True]
        assert {event.transaction["id"] for event in events} == {events[0].transaction["id"]}


async def _write_at_random(driver: Driver, chance: random.Random) -> None:
    for number in range(120):
        changes: list[Change] = [one(chance.choice(["items", "others"]), number * 10 + 1, number * 10 + 2)]
        if chance.random() < 0.5:
            changes.append(Update("items", {"n": number}, least=chance.randint(-1, number)))
        if chance.random() < 0.3:
            changes.append(Delete("items", chance.randint(0, number) * 10 + 1))
        if driver.truncates and chance.random() < 0.05:
            await driver.truncate("others")
        await driver.transaction(*changes, commit=chance.random() < 0.9)
