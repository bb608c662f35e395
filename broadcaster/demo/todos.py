"""The demo's table, and what the page and the background writer do to it: ordinary SQL, past Livetail."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString, TypeAlias

import psycopg
from psycopg import sql

DATABASE: Final = "app"
TITLE_CHARS: Final = 200
PRIORITIES: Final = range(1, 5)

Connection: TypeAlias = psycopg.AsyncConnection[Any]
Statement: TypeAlias = tuple[LiteralString, tuple[Any, ...]]

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS todos (
    id bigserial PRIMARY KEY,
    title text NOT NULL CHECK (title <> ''),
    done boolean NOT NULL DEFAULT false,
    priority int NOT NULL DEFAULT 2 CHECK (priority BETWEEN 1 AND 4),
    owner text NOT NULL DEFAULT 'you',
    created_at timestamptz NOT NULL DEFAULT now()
)
"""
_FIRST: Final = (
    ("Water the plants", False, 2, "ann"),
    ("Renew the TLS certificate", False, 4, "bob"),
    ("Book a table for Friday", False, 1, "ann"),
    ("Rotate the on-call phone", False, 3, "eve"),
    ("Read the pgoutput chapter", True, 2, "bob"),
    ("Order more coffee", False, 3, "eve"),
)
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
_POLL_SECONDS: Final = 0.02
_FEWEST: Final = 10
_MOST: Final = 22
_STEPS: Final = ("insert", "tick", "title", "promote", "hand over", "delete")

_INSERT: Final = "INSERT INTO todos (title, priority, owner) VALUES (%s, %s, %s)"
_TICK: Final = "UPDATE todos SET done = NOT done WHERE id = %s"
_RENAME: Final = "UPDATE todos SET title = %s WHERE id = %s"
_PROMOTE: Final = "UPDATE todos SET priority = 1 + priority %% 4 WHERE id = ANY (%s)"
_HAND_OVER: Final = "UPDATE todos SET owner = %s WHERE id = %s"
_DELETE: Final = "DELETE FROM todos WHERE id = %s"
_CLEAR: Final = "DELETE FROM todos WHERE id IN (SELECT id FROM todos ORDER BY NOT done, id LIMIT 5)"


async def prepare(server_url: str, url: str) -> None:
    """Make the demo's database and table, with a few rows, where they are missing."""
    async with await psycopg.AsyncConnection.connect(server_url, autocommit=True) as admin:
        there = await admin.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,))
        if await there.fetchone() is None:
            await admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(_TABLE)
        if not await _ids(connection):
            await connection.cursor().executemany(
                "INSERT INTO todos (title, done, priority, owner) VALUES (%s, %s, %s, %s)", _FIRST
            )


async def tailed(url: str) -> None:
    """Wait until the demo's tailer streams."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        while True:
            active = await connection.execute("SELECT FROM pg_replication_slots WHERE active")
            if await active.fetchone() is not None:
                return
            await asyncio.sleep(_POLL_SECONDS)


async def insert(connection: Connection, title: str, priority: int) -> int:
    """A new row; its id."""
    answer = await connection.execute(
        "INSERT INTO todos (title, priority) VALUES (%s, %s) RETURNING id", (title, priority)
    )
    row = await answer.fetchone()
    assert row is not None
    return int(row[0])


async def update(connection: Connection, todo: int, values: Mapping[str, Any]) -> bool:
    """Set columns of one row; False if there is no such row."""
    columns = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in values
    )
    statement = sql.SQL("UPDATE todos SET {} WHERE id = %(id)s").format(columns)
    return (await connection.execute(statement, {**values, "id": todo})).rowcount == 1


async def delete(connection: Connection, todo: int) -> bool:
    """Delete one row; False if there is no such row."""
    return (await connection.execute(_DELETE, (todo,))).rowcount == 1


async def random_step(connection: Connection, chance: random.Random) -> None:
    """One transaction of the background writer. The connection is in autocommit mode."""
    async with connection.transaction():
        for statement, parameters in random_statements(await _ids(connection), chance):
            await connection.execute(statement, parameters)


def random_statements(ids: Sequence[int], chance: random.Random) -> list[Statement]:
    """What the writer does next to a table with these rows: one statement or several, of one row or several. (pure)

    Keeps the table between some ten and some twenty rows.
    """
    if len(ids) < _FEWEST:
        return [_new(chance)]
    if len(ids) > _MOST:
        return [(_CLEAR, ())]
    one, other, *more = chance.sample(ids, 4)
    match chance.choice(_STEPS):
        case "insert":
            return [_new(chance)]
        case "tick":
            return [(_TICK, (one,))]
        case "title":
            return [(_RENAME, (_title(chance), one))]
        case "promote":
            return [(_PROMOTE, ([one, other, *more],))]
        case "hand over":
            return [(_HAND_OVER, (chance.choice(_OWNERS), one)), (_TICK, (other,)), _new(chance)]
        case _:
            return [(_DELETE, (one,))]


def _new(chance: random.Random) -> Statement:
    return _INSERT, (_title(chance), chance.choice(PRIORITIES), chance.choice(_OWNERS))


def _title(chance: random.Random) -> str:
    return f"{chance.choice(_VERBS)} {chance.choice(_THINGS)}"


async def _ids(connection: Connection) -> list[int]:
    return [row[0] for row in await (await connection.execute("SELECT id FROM todos")).fetchall()]
