"""Initial results from MySQL and MariaDB: the pushed-down query, filtered by the evaluator, and where it stands in the
binlog."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import Final, TypeVar

import pymysql
from pymysql.constants import ER

from broadcaster.errors import RequestError
from broadcaster.livequery import LiveQuery
from broadcaster.snapshot.gathering import Gathering, wanted
from broadcaster.snapshot.mysql_order import order_by
from broadcaster.snapshot.mysql_sql import push_down
from broadcaster.snapshot.reader import Snapshot
from cdc.errors import LivetailError
from cdc.mysql.catalog import load_table
from cdc.mysql.connect import Connection, code_of, explain
from cdc.mysql.place import identify, rows
from cdc.mysql.session import Session, stream
from cdc.mysql.table import Table
from cdc.mysql.target import Name, Target, identifier
from cdc.mysql.threads import in_thread
from cdc.mysql.values import compile_row, select_list
from cdc.mysql.views import Views

log = logging.getLogger(__name__)

T = TypeVar("T")

_CONNECTIONS: Final = 4
_TRIES: Final = 5
_MORE: Final = 8
_NO_TABLE: Final = (ER.NO_SUCH_TABLE, ER.BAD_DB_ERROR)

_compiled = lru_cache(maxsize=100)(compile_row)


class MysqlReader:
    """Reads through a few connections of its own, opened at need, each used by one thread at a time."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._names: dict[str, Name] = {collection: name for name, collection in target.tables.items()}
        self._room = asyncio.Semaphore(_CONNECTIONS)
        self._idle: list[Session] = []
        self._views = Views()
        self._complaint = ""

    async def read(self, query: LiveQuery, max_rows: int, max_bytes: int) -> Snapshot:
        """See `SnapshotReader.read`. One transaction with a consistent view, which holds the table's metadata lock, so
        that no DDL changes it meanwhile."""
        return await self._run(lambda connection: self._read(connection, query, max_rows, max_bytes))

    async def position(self) -> tuple[str, int]:
        """See `SnapshotReader.position`."""
        return await self._run(self._views.position)

    async def shows(self) -> Callable[[str], bool]:
        """See `SnapshotReader.shows`."""
        return await self._run(self._views.shows)

    async def nudge(self) -> None:
        """See `SnapshotReader.nudge`. There is nothing to do: the server sends its binlog to the very end by itself."""

    async def close(self) -> None:
        """See `SnapshotReader.close`."""
        while self._idle:
            self._idle.pop().close()

    async def _run(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, done in a thread; cancelled, its connection is closed. Database errors become
        `database_unavailable`: where the database is and what it said is for the operator, and stands in the cause
        and in the log."""
        async with self._room:
            session = self._idle.pop() if self._idle else Session(self._target)
            try:
                result = await in_thread(lambda: session.run(work), lambda _: session.close())
            except asyncio.CancelledError:
                session.interrupt()
                raise
            except RequestError:
                raise
            except (pymysql.MySQLError, OSError, LivetailError) as error:
                why = explain(self._target, error)
                if str(why) != self._complaint:
                    self._complaint = str(why)
                    log.warning("cannot read: %s", why)
                raise self._unavailable("cannot be asked now") from why
            self._complaint = ""
            self._idle.append(session)
            return result

    def _read(self, connection: Connection, query: LiveQuery, max_rows: int, max_bytes: int) -> Snapshot:
        name = self._names[query.collection]
        identity = identify(connection)
        for attempt in range(1, _TRIES + 1):
            try:
                shows = self._views.begin(connection, identity)
                rows(connection, f"SELECT 1 FROM {identifier(*name)} LIMIT 0")  # the metadata lock
                table = load_table(connection, *name)
                if table is None:
                    raise self._no_table(name)
                found = _gather(connection, table, query, max_rows, max_bytes)
                place = self._views.end(connection, identity)
                connection.commit()
            except pymysql.MySQLError as error:
                if code_of(error) in _NO_TABLE:
                    raise self._no_table(name) from None
                if code_of(error) != ER.TABLE_DEF_CHANGED or attempt == _TRIES:
                    raise
                connection.rollback()  # it was altered between the view and the lock
            else:
                return found.snapshot(identity.epoch, place, shows, table.key)
        raise AssertionError("the last try returns or raises")

    def _no_table(self, name: Name) -> RequestError:
        return self._unavailable(f"has no table {'.'.join(name)} now")

    def _unavailable(self, why: str) -> RequestError:
        return RequestError("database_unavailable", f"`{self._target.alias}` {why}; waiting for it")


def _gather(
    connection: Connection, table: Table, query: LiveQuery, max_rows: int, max_bytes: int
) -> Gathering:
    columns = {column.name: column for column in table.columns}
    if query.columns is not None:
        needed = query.columns | {*table.key}
        table = replace(table, columns=tuple(column for column in table.columns if column.name in needed))
    encode = _compiled(table)
    where = push_down(query.node, columns)
    place = identifier(table.schema, table.name)
    statement = f"SELECT {select_list(table)} FROM {place} WHERE {where.sql}"
    first, (terms, pushed) = wanted(query), ("", 0)
    if query.order is not None and first is not None:
        terms, pushed = order_by(query.order, table.key, columns)
    if first is None or not pushed:
        found = Gathering(query, max_rows, max_bytes)
        for row in stream(connection, statement):
            found.take(*encode(row))
        return found
    # What a server sends must be read to the end, so it is asked for few rows, and for more where these will not do.
    limit = first + 1 if where.exact else _MORE * first
    while True:
        found = Gathering(query, max_rows, max_bytes, pushed)
        read, more = 0, True
        for row in stream(connection, f"{statement} ORDER BY {terms} LIMIT {limit}"):
            read += 1
            more = more and found.take(*encode(row))
        if read < limit or not more:
            return found
        limit *= _MORE
