"""Reads Postgres' tables in chunks by primary key. See `cdc.snapshot.reader`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import psycopg
from psycopg import sql

from cdc import VERSION
from cdc.errors import SetupError, SourceUnavailable
from cdc.postgres import catalog
from cdc.postgres.catalog import Connection, Table
from cdc.postgres.connect import connect, unavailable
from cdc.postgres.facts import Name, end_of_log
from cdc.postgres.target import Target
from cdc.postgres.values import compile_row
from cdc.postgres.visibility import visibility
from cdc.snapshot.reader import ChunkRead, Row

_MOST_ROWS: Final = 10_000
_FIRST_FETCH: Final = 20
_FETCH: Final = 1_000
_STATEMENT_TIMEOUT: Final = "60s"
_LOCK_TIMEOUT: Final = "5s"
_log = logging.getLogger(__name__)


class PostgresChunks:
    """A `ChunkReader` on a connection of its own, opened at need. `after` is the key as Postgres prints it, a list."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._tables: dict[str, Name] = {collection: name for name, collection in target.tables.items()}
        self._conn: Connection | None = None

    async def read(self, collection: str, after: Sequence[str] | None, max_bytes: int) -> ChunkRead:
        """See `ChunkReader`. One REPEATABLE READ transaction under an ACCESS SHARE lock, which keeps out what is not
        MVCC-safe: TRUNCATE and rewriting ALTER TABLE."""
        try:
            conn = await self._connection()
            async with conn.transaction():
                return await self._read(conn, collection, after, max_bytes)
        except psycopg.Error as error:
            await self.close()
            raise unavailable(self._target.conn, error) from error
        except BaseException:
            await self.close()
            raise

    async def nudge(self) -> None:
        """See `ChunkReader`: WAL of open transactions may stand between the last flushed commit and the position that a
        read took, and nobody would flush it on an idle server."""
        try:
            conn = await self._connection()
            async with conn.transaction():
                await conn.execute("SET LOCAL synchronous_commit = local")
                await conn.execute("SELECT pg_logical_emit_message(true, 'livetail', '')")
        except (SourceUnavailable, psycopg.Error) as error:
            _log.debug("%s: nudge failed: %s", self._target.alias, error)
            await self.close()

    async def close(self) -> None:
        """See `ChunkReader`."""
        conn, self._conn = self._conn, None
        if conn is not None:
            await conn.close()

    async def _connection(self) -> Connection:
        if self._conn is None or self._conn.closed:
            self._conn = await connect(
                self._target.conn, statement_timeout=_STATEMENT_TIMEOUT, lock_timeout=_LOCK_TIMEOUT
            )
        return self._conn

    async def _read(
        self, conn: Connection, collection: str, after: Sequence[str] | None, max_bytes: int
    ) -> ChunkRead:
        schema, name = self._tables[collection]
        await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await conn.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.Identifier(schema, name)))
        (shown, epoch, database) = await _one(
            conn,
            "SELECT pg_current_snapshot()::text, (SELECT system_identifier::text FROM pg_control_system()), "
            "current_database()::text",
        )
        table = await catalog.table_by_name(conn, schema, name, self._target.publication)
        if table is None or not table.key:
            raise SetupError(f"table {schema}.{name} is not there, or has no primary key")
        rows, last, done = await _fetch(conn, table, after, max_bytes)
        order = await end_of_log(conn)
        source = {
            "version": VERSION,
            "connector": "postgresql",
            "name": f"{self._target.project}.{self._target.alias}",
            "snapshot": "true",
            "epoch": epoch,
            "db": database,
            "schema": schema,
            "table": name,
            "lsn": order,
        }
        return ChunkRead(rows, last, done, epoch, order, visibility(shown), source)


async def _fetch(
    conn: Connection, table: Table, after: Sequence[str] | None, max_bytes: int
) -> tuple[list[Row], Sequence[str] | None, bool]:
    """(rows, the last one's key, whether there are no more)"""
    names = [column.name for column in table.columns]
    encode = compile_row(
        table.columns, table.key, await catalog.types_of(conn, [column.oid for column in table.columns])
    )
    key = sql.SQL(", ").join(map(sql.Identifier, table.key))
    select = sql.SQL("DECLARE livetail NO SCROLL CURSOR FOR SELECT {} FROM {}{} ORDER BY {} LIMIT {}").format(
        sql.SQL(", ").join(map(sql.Identifier, names)),
        sql.Identifier(table.schema, table.name),
        sql.SQL("")
        if after is None
        else sql.SQL(" WHERE ({}) > ({})").format(key, sql.SQL(", ").join(map(sql.Literal, after))),
        key,
        sql.Literal(_MOST_ROWS + 1),
    )
    await conn.execute(select)
    places = [names.index(column) for column in table.key]
    rows: list[Row] = []
    last, size, wanted = after, 0, _FIRST_FETCH
    while True:
        result = (await conn.execute(f"FETCH {wanted} FROM livetail".encode())).pgresult
        assert result is not None
        for number in range(result.ntuples):
            if len(rows) == _MOST_ROWS or (rows and size >= max_bytes):
                return rows, last, False
            values = [result.get_value(number, column) for column in range(len(names))]
            rows.append(encode(values))
            size += len(rows[-1][1])
            last = [_text(values[place]) for place in places]
        if result.ntuples < wanted:
            return rows, last, True
        wanted = min(_FETCH, 1 + max(0, max_bytes - size) * len(rows) // max(1, size))


def _text(value: bytes | None) -> str:
    assert value is not None, "a primary key holds no NULL"
    return value.decode()


async def _one(conn: Connection, query: str) -> tuple[Any, ...]:
    row = await (await conn.execute(query.encode())).fetchone()
    assert row is not None
    return tuple(row)
