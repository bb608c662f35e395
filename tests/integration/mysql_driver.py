"""The suite's driver for MySQL and MariaDB."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry

from cdc.metrics import DatabaseMetrics, Metrics
from cdc.mysql.source import MysqlSource
from cdc.mysql.target import Target, Tls
from integration.conformance import Change, Delete, Doc, Insert, Update
from servers.mysql import MysqlDatabase

_TABLE = "CREATE TABLE {} (id INT PRIMARY KEY, name VARCHAR(200), n INT) CHARACTER SET utf8mb4"


def target_of(database: MysqlDatabase, *collections: str) -> Target:
    server = database.server
    tables = {(database.name, name): name for name in collections or ("items", "others")}
    return Target(
        "todo-app",
        "db",
        "127.0.0.1",
        server.port,
        "root",
        server.password,
        database.name,
        None,
        Tls(),
        tables,
    )


def source_of(target: Target) -> MysqlSource:
    """With metrics that nobody looks at."""
    return MysqlSource(target, Metrics(CollectorRegistry()).database(target.alias))


class MysqlDriver:
    """The suite's driver: a database with `items`, `others` and, not followed, `elsewhere`."""

    key_field = "id"
    changes_keys = True
    truncates = True

    def __init__(self, database: MysqlDatabase) -> None:
        self.database = database
        self.execute = database.execute
        self.execute(*(_TABLE.format(name) for name in ("items", "others", "elsewhere")))

    def source(self, metrics: DatabaseMetrics) -> MysqlSource:
        return MysqlSource(target_of(self.database), metrics)

    def following(self, *collections: str) -> Callable[[DatabaseMetrics], MysqlSource]:
        """Sources of these tables only."""
        return lambda metrics: MysqlSource(target_of(self.database, *collections), metrics)

    async def run(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements on one connection; the rows of the last."""
        return await asyncio.to_thread(self.execute, *statements)

    async def transaction(self, *changes: Change, commit: bool = True) -> None:
        await asyncio.to_thread(self._transaction, changes, commit)

    def _transaction(self, changes: tuple[Change, ...], commit: bool) -> None:
        with self.database.connect() as connection, connection.cursor() as cursor:
            connection.begin()
            for change in changes:
                _apply(cursor, change)
            if commit:
                connection.commit()
            else:
                connection.rollback()

    async def truncate(self, collection: str) -> None:
        await asyncio.to_thread(self.execute, f"TRUNCATE TABLE {collection}")

    async def write_elsewhere(self) -> None:
        await asyncio.to_thread(self.execute, "INSERT INTO elsewhere VALUES (1, 'a', 1)")

    async def documents(self, collection: str) -> list[Doc]:
        rows = await asyncio.to_thread(self.execute, f"SELECT id, name, n FROM {collection} ORDER BY id")
        return [dict(zip(("id", "name", "n"), row, strict=True)) for row in rows]


def _apply(cursor: Any, change: Change) -> None:
    if isinstance(change, Insert):
        rows = [(doc["id"], doc["name"], doc["n"]) for doc in change.docs]
        cursor.executemany(f"INSERT INTO {change.collection} VALUES (%s, %s, %s)", rows)
    elif isinstance(change, Delete):
        where = "" if change.id is None else f" WHERE id = {change.id}"
        cursor.execute(f"DELETE FROM {change.collection}{where}")
    else:
        assert isinstance(change, Update)
        fields = ", ".join(f"{name} = %s" for name in change.fields)
        where = f"n >= {change.least}" if change.id is None else f"id = {change.id}"
        cursor.execute(f"UPDATE {change.collection} SET {fields} WHERE {where}", [*change.fields.values()])
