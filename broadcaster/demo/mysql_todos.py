"""The demo on MySQL and MariaDB."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final, TypeAlias

import pymysql
from pymysql.constants import CLIENT

from broadcaster.demo.database import DemoDatabaseDown, DemoDatabaseRefuses, Id, Play, Todo
from broadcaster.demo.mysql import HOST, USER, EmbeddedMysql
from broadcaster.demo.mysql_installs import TITLES, Flavor, installation
from broadcaster.demo.todos import DATABASE, FIRST

Connection: TypeAlias = "pymysql.Connection[pymysql.cursors.Cursor]"

_TABLE: Final = """
CREATE TABLE todos (
    id bigint AUTO_INCREMENT PRIMARY KEY,
    title varchar(200) NOT NULL CHECK (title <> ''),
    done boolean NOT NULL DEFAULT false,
    priority int NOT NULL DEFAULT 2 CHECK (priority BETWEEN 1 AND 4),
    owner varchar(60) NOT NULL DEFAULT 'you',
    created_at timestamp(6) NOT NULL DEFAULT current_timestamp(6)
) CHARACTER SET utf8mb4
"""
_CONNECT_SECONDS: Final = 5
_CLIENTS_OWN: Final = range(2000, 3000)
"""Error codes of the client, which are all of a connection that fails."""
_SESSION: Final = "SET lock_wait_timeout = 5, innodb_lock_wait_timeout = 5"


class MysqlTodos:
    """A `demo.database.Todos`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def insert(self, title: str, priority: int, owner: str) -> Id:
        """See `Todos`."""
        statement = "INSERT INTO todos (title, priority, owner) VALUES (%s, %s, %s)"
        return (await self._run(statement, (title, priority, owner))).lastrowid

    async def update(self, ids: Sequence[Id], values: dict[str, Any]) -> int:
        """See `Todos`."""
        columns = ", ".join(f"`{name}` = %s" for name in values)
        parameters = (*values.values(), list(ids))
        return (await self._run(f"UPDATE todos SET {columns} WHERE id IN %s", parameters)).rowcount

    async def delete(self, ids: Sequence[Id]) -> int:
        """See `Todos`."""
        return (await self._run("DELETE FROM todos WHERE id IN %s", (list(ids),))).rowcount

    async def all(self) -> list[Todo]:
        """See `Todos`."""
        rows = await self._run("SELECT id, done FROM todos")
        return [Todo(id_, bool(done)) for id_, done in rows.fetchall()]

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """See `Todos`. What is not committed ends with the connection."""
        await self._run("START TRANSACTION")
        yield
        await self._run("COMMIT")

    async def _run(self, statement: str, parameters: Sequence[Any] = ()) -> pymysql.cursors.Cursor:
        running = asyncio.create_task(asyncio.to_thread(_execute, self._connection, statement, parameters))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait({running})  # the connection must not be closed under the thread that uses it
            raise


class MysqlTable:
    """A `demo.database.DemoTable` on a started server."""

    key_pattern: Final = "[0-9]{1,18}"

    def __init__(self, server: EmbeddedMysql) -> None:
        self._server = server
        self._title = TITLES[server.installation.flavor]

    def key(self, text: str) -> Id:
        """See `DemoTable`."""
        return int(text)

    async def prepare(self) -> None:
        """See `DemoTable`."""
        await asyncio.to_thread(self._prepare)

    def connection(self) -> AbstractAsyncContextManager[MysqlTodos]:
        """See `DemoTable`."""
        return self._connection()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[MysqlTodos]:
        try:
            connection = await asyncio.to_thread(self._connect, DATABASE)
            try:
                yield MysqlTodos(connection)
            finally:
                connection.close()
        except pymysql.MySQLError as error:
            code, reason = error.args[0], error.args[-1]
            if isinstance(error, pymysql.InterfaceError) or code in _CLIENTS_OWN:
                raise DemoDatabaseDown(f"the demo's {self._title} does not answer") from error
            raise DemoDatabaseRefuses(f"{self._title} refuses: {reason}") from error

    async def close(self) -> None:
        """See `DemoTable`: there is none but those in use."""

    def _prepare(self) -> None:
        with self._connect(None) as admin:
            _execute(admin, f"CREATE DATABASE IF NOT EXISTS {DATABASE}")
        with self._connect(DATABASE) as connection, connection.cursor() as cursor:
            if not cursor.execute(
                "SHOW TABLES LIKE 'todos'"
            ):  # IF NOT EXISTS stands in the binlog even if it does
                cursor.execute(_TABLE)
            if not cursor.execute("SELECT id FROM todos LIMIT 1"):
                cursor.executemany(
                    "INSERT INTO todos (title, done, priority, owner) VALUES (%s, %s, %s, %s)", FIRST
                )

    def _connect(self, database: str | None) -> Connection:
        """In autocommit mode. A row that an UPDATE leaves as it was counts as found."""
        return pymysql.connect(
            host=HOST,
            port=self._server.port,
            user=USER,
            password=self._server.password,
            database=database,
            connect_timeout=_CONNECT_SECONDS,
            client_flag=CLIENT.FOUND_ROWS,
            init_command=_SESSION,
            program_name="livetail demo page",
            autocommit=True,
        )


class MysqlDemo:
    """A `demo.database.DemoDatabase` in a folder. Raises MysqlNotFound where no programs can be had."""

    alias: Final = "sql-mysql"
    key: Final = "id"
    noun: Final = "table"

    def __init__(self, folder: Path, flavor: Flavor) -> None:
        self._server = EmbeddedMysql(folder / flavor, installation(flavor))
        self._flavor = flavor
        self.product = TITLES[flavor]
        self.version = self._server.version
        self.data_dir = self._server.data_dir
        self.start = self._server.start
        self.stop = self._server.stop

    @property
    def port(self) -> int:
        """See `DemoDatabase`."""
        return self._server.port

    @property
    def url(self) -> str:
        """See `DemoDatabase`."""
        return self._server.url_for(DATABASE)

    def table(self) -> MysqlTable:
        """See `DemoDatabase`."""
        return MysqlTable(self._server)

    def play(self) -> Play:
        """See `DemoDatabase`."""
        examples = ("UPDATE todos SET priority = 4 WHERE NOT done;", "TRUNCATE todos;")
        return Play(self._server.client_command_for(DATABASE), self._flavor, examples)


def _execute(
    connection: Connection, statement: str, parameters: Sequence[Any] = ()
) -> pymysql.cursors.Cursor:
    cursor = connection.cursor()
    cursor.execute(statement, parameters or None)
    return cursor
