"""The demo's table, and what the page and the background writer do to it: ordinary SQL, past Livetail."""

from __future__ import annotations

import random
from typing import Any, Final

import psycopg

DATABASE: Final = "app"

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
    "release notes",
    "the login page",
    "grandma",
    "the roof",
    "a demo",
    "the budget",
    "the map",
)
_OWNERS: Final = ("ann", "bob", "eve")
_FEWEST, _MOST = 10, 24


async def prepare(server_url: str, url: str) -> None:
    """Make the demo's database and table, with a few rows, where they are missing."""
    async with await psycopg.AsyncConnection.connect(server_url, autocommit=True) as admin:
        there = await admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
        if await there.fetchone() is None:
            await admin.execute(f"CREATE DATABASE {DATABASE}".encode())
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute(_TABLE.encode())
        empty = await (await connection.execute("SELECT NOT EXISTS (SELECT FROM todos)")).fetchone()
        if empty is not None and empty[0]:
            await connection.cursor().executemany(
                "INSERT INTO todos (title, done, priority, owner) VALUES (%s, %s, %s, %s)", _FIRST
            )


async def insert(connection: psycopg.AsyncConnection[Any], title: str, priority: int) -> None:
    """A new row."""
    await connection.execute("INSERT INTO todos (title, priority) VALUES (%s, %s)", (title, priority))


async def update(connection: psycopg.AsyncConnection[Any], todo: int, values: dict[str, Any]) -> bool:
    """Set columns of one row; False if there is no such row."""
    columns = psycopg.sql.SQL(", ").join(
        psycopg.sql.SQL("{} = {}").format(psycopg.sql.Identifier(name), psycopg.sql.Placeholder(name))
        for name in values
    )
    statement = psycopg.sql.SQL("UPDATE todos SET {} WHERE id = %(id)s").format(columns)
    return (await connection.execute(statement, {**values, "id": todo})).rowcount == 1


async def delete(connection: psycopg.AsyncConnection[Any], todo: int) -> bool:
    """Delete one row; False if there is no such row."""
    return (await connection.execute("DELETE FROM todos WHERE id = %s", (todo,))).rowcount == 1


async def random_step(connection: psycopg.AsyncConnection[Any], chance: random.Random) -> None:
    """One transaction of the background writer; keeps the table between some ten and some twenty rows."""
    ids = [row[0] for row in await (await connection.execute("SELECT id FROM todos")).fetchall()]
    choices = ["insert", "tick", "title", "priority", "owner", "delete"]
    if len(ids) < _FEWEST:
        choices = ["insert"]
    elif len(ids) > _MOST:
        choices = ["delete", "clear"]
    async with connection.transaction():
        match chance.choice(choices):
            case "insert":
                title = f"{chance.choice(_VERBS)} {chance.choice(_THINGS)}"
                row = (title, chance.randint(1, 4), chance.choice(_OWNERS))
                await connection.execute(
                    "INSERT INTO todos (title, priority, owner) VALUES (%s, %s, %s)", row
                )
            case "tick":
                await connection.execute(
                    "UPDATE todos SET done = NOT done WHERE id = %s", (chance.choice(ids),)
                )
            case "title":
                title = f"{chance.choice(_VERBS)} {chance.choice(_THINGS)}"
                await connection.execute(
                    "UPDATE todos SET title = %s WHERE id = %s", (title, chance.choice(ids))
                )
            case "priority":
                some = chance.sample(ids, min(3, len(ids)))
                await connection.execute(
                    "UPDATE todos SET priority = 1 + priority %% 4 WHERE id = ANY (%s)", (some,)
                )
            case "owner":
                await connection.execute(
                    "UPDATE todos SET owner = %s WHERE id = %s", (chance.choice(_OWNERS), chance.choice(ids))
                )
            case "delete":
                await connection.execute("DELETE FROM todos WHERE id = %s", (chance.choice(ids),))
            case _:
                await connection.execute(
                    "DELETE FROM todos WHERE id IN (SELECT id FROM todos WHERE done ORDER BY id LIMIT 5)"
                )
