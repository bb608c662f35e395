"""The demo on Postgres."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import sql

from broadcaster.demo.database import DemoDatabaseDown, DemoDatabaseRefuses, Id, Play, Todo
from broadcaster.demo.postgres import EmbeddedPostgres
from broadcaster.demo.todos import DATABASE, FIRST

Connection: TypeAlias = psycopg.AsyncConnection[Any]

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


class PostgresTodos:
    """A `demo.database.Todos`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def insert(self, title: str, priority: int, owner: str) -> Id:
        """See `Todos`."""
        answer = await self._connection.execute(
            "INSERT INTO todos (title, priority, owner) VALUES (%s, %s, %s) RETURNING id",
            (title, priority, owner),
        )
        ((made,),) = await answer.fetchall()
        return int(made)

    async def update(self, ids: Sequence[Id], values: dict[str, Any]) -> int:
        """See `Todos`."""
        columns = sql.SQL(", ").join(
            sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in values
        )
        statement = sql.SQL("UPDATE todos SET {} WHERE id = ANY (%(ids)s)").format(columns)
        return (await self._connection.execute(statement, {**values, "ids": list(ids)})).rowcount

    async def delete(self, ids: Sequence[Id]) -> int:
        """See `Todos`."""
        deleted = await self._connection.execute("DELETE FROM todos WHERE id = ANY (%s)", (list(ids),))
        return deleted.rowcount

    async def all(self) -> list[Todo]:
        """See `Todos`."""
        rows = await self._connection.execute("SELECT id, done FROM todos")
        return [Todo(*row) for row in await rows.fetchall()]

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """See `Todos`."""
        async with self._connection.transaction():
            yield


class PostgresTable:
    """A `demo.database.DemoTable`. server_url: of a database that is there; url: of the demo's own."""

    key_pattern: Final = "[0-9]{1,18}"

    def __init__(self, server_url: str, url: str) -> None:
        self._server_url = server_url
        self._url = url

    def key(self, text: str) -> Id:
        """See `DemoTable`."""
        return int(text)

    async def prepare(self) -> None:
        """See `DemoTable`."""
        async with await _connect(self._server_url) as admin:
            there = await admin.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,))
            if await there.fetchone() is None:
                await admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        async with await _connect(self._url) as connection, connection.transaction():
            await connection.execute(_TABLE)
            if not await PostgresTodos(connection).all():
                await connection.cursor().executemany(
                    "INSERT INTO todos (title, done, priority, owner) VALUES (%s, %s, %s, %s)", FIRST
                )

    def connection(self) -> AbstractAsyncContextManager[PostgresTodos]:
        """See `DemoTable`."""
        return self._connection()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[PostgresTodos]:
        try:
            async with await _connect(self._url) as connection:
                yield PostgresTodos(connection)
        except psycopg.OperationalError as error:
            raise DemoDatabaseDown("the demo's Postgres does not answer") from error
        except psycopg.Error as error:
            raise DemoDatabaseRefuses(f"Postgres refuses: {error.diag.message_primary}") from error

    async def close(self) -> None:
        """See `DemoTable`: there is none but those in use."""


class PostgresDemo:
    """A `demo.database.DemoDatabase` in a folder."""

    alias: Final = "sql-postgres"
    key: Final = "id"
    noun: Final = "table"
    product: Final = "Postgres"

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedPostgres(folder / "postgres")
        self.data_dir = self._server.data_dir
        self.start = self._server.start
        self.stop = self._server.stop

    @property
    def version(self) -> str:
        """Like `18.4`."""
        return self._server.version

    @property
    def port(self) -> int:
        """See `DemoDatabase`."""
        return self._server.port

    @property
    def url(self) -> str:
        """See `DemoDatabase`."""
        return self._server.url_for(DATABASE)

    def table(self) -> PostgresTable:
        """See `DemoDatabase`."""
        return PostgresTable(self._server.url, self.url)

    def play(self) -> Play:
        """See `DemoDatabase`."""
        examples = ("UPDATE todos SET priority = 4 WHERE NOT done;", "TRUNCATE todos;")
        return Play(self._server.psql_command_for(DATABASE), "psql", examples)


async def _connect(url: str) -> Connection:
    return await psycopg.AsyncConnection.connect(url, autocommit=True, application_name="livetail demo page")
