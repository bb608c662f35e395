"""What is in the demo's table, and what the background writer does to it. (pure, but for `random_step`)"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from broadcaster.demo.database import Id, Todo, Todos

DATABASE: Final = "app"
OWNER: Final = "you"
TITLE_CHARS: Final = 200
PRIORITIES: Final = range(1, 5)
FIRST: Final = (
    ("Water the plants", False, 2, "ann"),
    ("Renew the TLS certificate", False, 4, "bob"),
    ("Book a table for Friday", False, 1, "ann"),
    ("Rotate the on-call phone", False, 3, "eve"),
    ("Read the chapter on logs", True, 2, "bob"),
    ("Order more coffee", False, 3, "eve"),
)
"""Title, done, priority, owner."""

_VERBS: Final = ("Call", "Fix", "Review", "Ship", "Plan", "Clean", "Test", "Draw", "Paint", "Answer")
_THINGS: Final = (
    "the boiler",
    "the release notes",
    "the login page",
    "grandma",
    "the roof",
    "the demo",
    "the budget",
    "the map",
)
_OWNERS: Final = ("ann", "bob", "eve")
_FEWEST: Final = 10
_MOST: Final = 22
_CLEARED: Final = 5
_STEPS: Final = ("insert", "tick", "title", "promote", "hand over", "delete")


@dataclass(frozen=True, slots=True)
class Insert:
    """A new todo."""

    title: str
    priority: int
    owner: str


@dataclass(frozen=True, slots=True)
class Update:
    """One statement for all these rows."""

    ids: tuple[Id, ...]
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    """One statement for all these rows."""

    ids: tuple[Id, ...]


Change: TypeAlias = Insert | Update | Delete


async def random_step(todos: Todos, chance: random.Random) -> None:
    """One transaction of the background writer."""
    async with todos.transaction():
        for change in random_changes(await todos.all(), chance):
            match change:
                case Insert(title, priority, owner):
                    await todos.insert(title, priority, owner)
                case Update(ids, values):
                    await todos.update(ids, values)
                case Delete(ids):
                    await todos.delete(ids)


def random_changes(rows: Sequence[Todo], chance: random.Random) -> list[Change]:
    """What the writer does next to a table with these rows: one statement or several, of one row or several.

    Keeps the table between some ten and some twenty rows.
    """
    if len(rows) < _FEWEST:
        return [_new(chance)]
    if len(rows) > _MOST:
        oldest = sorted(rows, key=lambda todo: (not todo.done, todo.id))
        return [Delete(tuple(todo.id for todo in oldest[:_CLEARED]))]
    some = chance.sample(rows, 4)
    one, other = some[:2]
    match chance.choice(_STEPS):
        case "insert":
            return [_new(chance)]
        case "tick":
            return [_tick(one)]
        case "title":
            return [Update((one.id,), {"title": _title(chance)})]
        case "promote":
            return [Update(tuple(todo.id for todo in some), {"priority": chance.choice(PRIORITIES)})]
        case "hand over":
            return [Update((one.id,), {"owner": chance.choice(_OWNERS)}), _tick(other), _new(chance)]
        case _:
            return [Delete((one.id,))]


def _tick(todo: Todo) -> Update:
    return Update((todo.id,), {"done": not todo.done})


def _new(chance: random.Random) -> Insert:
    return Insert(_title(chance), chance.choice(PRIORITIES), chance.choice(_OWNERS))


def _title(chance: random.Random) -> str:
    return f"{chance.choice(_VERBS)} {chance.choice(_THINGS)}"
