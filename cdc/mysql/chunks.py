"""Reads tables of MySQL and MariaDB in chunks by primary key. See `cdc.snapshot.reader`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import pymysql
from pymysql.constants import ER

from cdc import VERSION
from cdc.errors import SetupError
from cdc.mysql.catalog import load_table
from cdc.mysql.connect import Connection, code_of, explain
from cdc.mysql.keyset import beyond, key_list, order_of_key
from cdc.mysql.place import identify, rows
from cdc.mysql.session import Session, stream
from cdc.mysql.table import Table
from cdc.mysql.target import Name, Target, identifier
from cdc.mysql.threads import in_thread
from cdc.mysql.values import compile_row, select_list
from cdc.mysql.views import Views
from cdc.snapshot.reader import ChunkRead, Row

_MOST_ROWS: Final = 10_000
_FIRST_ROWS: Final = 100
_TRIES: Final = 5
_NO_TABLE: Final = (ER.NO_SUCH_TABLE, ER.BAD_DB_ERROR)

_compiled = lru_cache(maxsize=100)(compile_row)


class MysqlChunks:
    """A `ChunkReader` on a connection of its own, opened at need. `after`: see `keyset`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._names: dict[str, Name] = {collection: name for name, collection in target.tables.items()}
        self._session = Session(target)
        self._views = Views()

    async def read(self, collection: str, after: Sequence[str] | None, max_bytes: int) -> ChunkRead:
        """See `ChunkReader`. One transaction with a consistent view, which holds the table's metadata lock, so that no
        DDL changes it meanwhile."""
        session, name = self._session, self._names[collection]
        try:
            return await in_thread(
                lambda: session.run(lambda connection: self._read(connection, name, after, max_bytes)),
                lambda _: session.close(),
            )
        except asyncio.CancelledError:
            session.interrupt()
            self._session = Session(self._target)
            raise
        except (pymysql.MySQLError, OSError) as error:
            raise explain(self._target, error) from error

    async def nudge(self) -> None:
        """See `ChunkReader`. There is nothing to do: the server sends its binlog to the very end by itself."""

    async def close(self) -> None:
        """See `ChunkReader`."""
        self._session.close()

    def _read(
        self, connection: Connection, name: Name, after: Sequence[str] | None, max_bytes: int
    ) -> ChunkRead:
        identity = identify(connection)
        self._views.ripen(connection, identity)
        for attempt in range(1, _TRIES + 1):
            try:
                shows = self._views.begin(connection, identity)
                rows(connection, f"SELECT 1 FROM {identifier(*name)} LIMIT 0")  # the metadata lock
                table = load_table(connection, *name)
                if table is None or not table.key:
                    raise SetupError(f"table {'.'.join(name)} is not there, or has no primary key")
                found, last, done = _fetch(connection, table, after, max_bytes)
                order = self._views.end(connection, identity)
                connection.commit()
            except pymysql.MySQLError as error:
                if code_of(error) in _NO_TABLE:
                    raise SetupError(f"there is no table {'.'.join(name)}") from None
                if code_of(error) != ER.TABLE_DEF_CHANGED or attempt == _TRIES:
                    raise
                connection.rollback()  # it was altered between the view and the lock
            else:
                source = {
                    "version": VERSION,
                    "connector": "mariadb" if identity.mariadb else "mysql",
                    "name": f"{self._target.project}.{self._target.alias}",
                    "snapshot": "true",
                    "epoch": identity.epoch,
                    "db": name[0],
                    "table": name[1],
                }
                return ChunkRead(found, last, done, identity.epoch, order, shows, source)
        raise AssertionError("the last try returns or raises")


def _fetch(
    connection: Connection, table: Table, after: Sequence[str] | None, max_bytes: int
) -> tuple[list[Row], Sequence[str] | None, bool]:
    """(rows, the last one's key, whether there are no more). What a server sends must be read to the end: so it is
    asked for few rows at first, and then for as many as will do."""
    encode, width = _compiled(table), len(table.columns)
    start = f"SELECT {select_list(table)}, {key_list(table)} FROM {identifier(table.schema, table.name)}"
    found: list[Row] = []
    last, size, limit = after, 0, _FIRST_ROWS
    while True:
        count = 0
        statement = f"{start} WHERE {beyond(table, last)} ORDER BY {order_of_key(table)} LIMIT {limit}"
        for row in stream(connection, statement):
            count += 1
            found.append(encode(row[:width]))
            size += len(found[-1][1])
            last = [(value or b"").decode() for value in row[width:]]
        if count < limit:
            return found, last, True
        if size >= max_bytes or len(found) >= _MOST_ROWS:
            return found, last, False
        limit = min(_MOST_ROWS - len(found), 1 + (max_bytes - size) * len(found) // max(1, size))
