"""Initial results from Postgres: the pushed-down query, filtered by the evaluator, and the position it belongs to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg import sql

from broadcaster.errors import RequestError
from broadcaster.livequery import LiveQuery
from broadcaster.snapshot.gathering import Gathering, wanted
from broadcaster.snapshot.postgres_conditions import ColumnInfo, quoted
from broadcaster.snapshot.postgres_order import bands
from broadcaster.snapshot.postgres_sql import push_down
from broadcaster.snapshot.reader import Snapshot
from cdc.errors import SourceUnavailable
from cdc.postgres.catalog import Column, Table, table_by_name, types_of
from cdc.postgres.connect import connect, unavailable
from cdc.postgres.facts import end_of_log
from cdc.postgres.values import KeyDocTypes, PgType, compile_row
from cdc.postgres.visibility import visibility

log = logging.getLogger(__name__)

_CONNECTIONS: Final = 4
_FIRST_FETCH_ROWS: Final = 20
_FETCH_ROWS: Final = 1_000
_FETCH_BYTES: Final = 2 << 20
_FIRST_FREE_OID: Final = 16_384
_STATEMENT_TIMEOUT: Final = "60s"
_LOCK_TIMEOUT: Final = "5s"


class PostgresReader:
    """Reads through a few connections of its own, opened at need.

    database: the alias, for messages; conn: URL or libpq string; tables: collection → (schema, table);
    publication: decides which columns exist, as in the stream.
    """

    def __init__(
        self, database: str, conn: str, publication: str, tables: dict[str, tuple[str, str]]
    ) -> None:
        self._database = database
        self._conn = conn
        self._publication = publication
        self._tables = tables
        self._room = asyncio.Semaphore(_CONNECTIONS)
        self._idle: list[psycopg.AsyncConnection[Any]] = []
        self._complaint = ""

    async def read(self, query: LiveQuery, max_rows: int, max_bytes: int) -> Snapshot:
        """See `SnapshotReader.read`. One REPEATABLE READ transaction under an ACCESS SHARE lock, which keeps out
        what is not MVCC-safe: TRUNCATE and rewriting ALTER TABLE."""
        async with self._connection() as conn:
            epoch = await self._system(conn)
            schema, name = self._tables[query.collection]
            async with conn.transaction():
                await conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
                lock = sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(sql.Identifier(schema, name))
                try:
                    await conn.execute(lock)
                except psycopg.errors.UndefinedTable:
                    raise self._no_table(schema, name) from None
                shows = visibility(await _value(conn, "SELECT pg_current_snapshot()::text"))
                table = await table_by_name(conn, schema, name, self._publication)
                if table is None:
                    raise self._no_table(schema, name)
                found = await self._gather(conn, table, query, max_rows, max_bytes)
                order = await end_of_log(conn)
            return found.snapshot(epoch, order, shows, table.key)

    async def _gather(
        self,
        conn: psycopg.AsyncConnection[Any],
        table: Table,
        query: LiveQuery,
        max_rows: int,
        max_bytes: int,
    ) -> Gathering:
        types = await types_of(conn, [column.oid for column in table.columns])
        columns = table.columns
        if query.columns is not None:
            columns = tuple(c for c in columns if c.name in query.columns or c.name in table.key)
        encode = compile_row(columns, table.key, types)
        utf8 = conn.info.parameter_status("server_encoding") == "UTF8"
        infos = {c.name: _column_info(c, types, utf8) for c in table.columns}
        where = push_down(query.node, infos)
        order = None if wanted(query) is None else query.order
        ordered = bands(order, table.key, infos)
        selected = ", ".join(quoted(column.name) for column in columns)
        place = f"{quoted(table.schema)}.{quoted(table.name)}"
        found = Gathering(query, max_rows, max_bytes, ordered.pushed)
        for band, order_by in ordered.parts:
            condition = where.sql if band == "TRUE" else f"({where.sql}) AND {band}"
            await conn.execute(
                f"DECLARE livetail NO SCROLL CURSOR FOR SELECT {selected} FROM {place} "
                f"WHERE {condition}{order_by}".encode(),
                where.params,
            )
            more = await _fetch(conn, encode, len(columns), found)
            await conn.execute("CLOSE livetail")
            if not more:
                break
        return found

    async def position(self) -> tuple[str, int]:
        """See `SnapshotReader.position`."""
        async with self._connection() as conn:
            return await self._system(conn), await end_of_log(conn)

    async def shows(self) -> Callable[[str], bool]:
        """See `SnapshotReader.shows`."""
        async with self._connection() as conn:
            return visibility(await _value(conn, "SELECT pg_current_snapshot()::text"))

    async def nudge(self) -> None:
        """Flush the log: WAL of open transactions may stand between the last flushed commit and the position that a
        read took, and nobody would flush it on an idle server. Failure is no matter: the join goes on waiting."""
        try:
            async with self._connection() as conn, conn.transaction():
                await conn.execute("SET LOCAL synchronous_commit = local")
                await conn.execute("SELECT pg_logical_emit_message(true, 'livetail', '')")
        except (RequestError, psycopg.Error) as error:
            log.debug("%s: nudge failed: %s", self._database, error)

    async def close(self) -> None:
        """See `SnapshotReader.close`."""
        while self._idle:
            await self._idle.pop().close()

    def _unavailable(self) -> RequestError:
        return RequestError("database_unavailable", f"`{self._database}` cannot be asked now; waiting for it")

    def _no_table(self, schema: str, name: str) -> RequestError:
        return RequestError(
            "database_unavailable", f"`{self._database}` has no table {schema}.{name} now; waiting for it"
        )

    async def _system(self, conn: psycopg.AsyncConnection[Any]) -> str:
        return str(await _value(conn, "SELECT system_identifier::text FROM pg_control_system()"))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """One of the connections; given back if still usable. Database errors become `database_unavailable`: where
        the database is and what it said is for the operator, and stands in the cause and in the log."""
        async with self._room:
            conn: psycopg.AsyncConnection[Any] | None = None
            try:
                while self._idle and conn is None:
                    conn = self._idle.pop()
                    if conn.closed or conn.pgconn.socket < 0:
                        conn = None
                if conn is None:
                    conn = await connect(
                        self._conn, statement_timeout=_STATEMENT_TIMEOUT, lock_timeout=_LOCK_TIMEOUT
                    )
                yield conn
                self._complaint = ""
            except SourceUnavailable as error:
                raise self._unavailable() from error
            except psycopg.Error as error:
                why = unavailable(self._conn, error)
                if str(why) != self._complaint:
                    self._complaint = str(why)
                    log.warning("%s: cannot read: %s", self._database, why)
                raise self._unavailable() from why
            finally:
                if conn is not None:
                    if conn.info.transaction_status is psycopg.pq.TransactionStatus.IDLE:
                        self._idle.append(conn)
                    else:
                        await conn.close()


async def _fetch(
    conn: psycopg.AsyncConnection[Any],
    encode: Callable[[Sequence[bytes | None]], KeyDocTypes],
    width: int,
    found: Gathering,
) -> bool:
    """Take the cursor's rows, as far as they are wanted; False if no more are."""
    wanted = _FIRST_FETCH_ROWS
    while True:
        result = (await conn.execute(f"FETCH {wanted} FROM livetail".encode())).pgresult
        assert result is not None
        fetched = 0
        for row in range(result.ntuples):
            key, doc, kinds = encode([result.get_value(row, column) for column in range(width)])
            fetched += len(doc)
            if not found.take(key, doc, kinds):
                return False
        if result.ntuples < wanted:
            return True
        wanted = max(1, min(_FETCH_ROWS, _FETCH_BYTES * wanted // max(1, fetched)))


def _column_info(column: Column, types: Mapping[int, PgType], utf8: bool) -> ColumnInfo:
    """What the push-down must know; a domain counts as its base type. A type that is not built in has no name, since
    anyone may call one `int4`."""
    oid, known = column.oid, types.get(column.oid)
    while known is not None and known.kind == "domain":
        oid, known = known.base, types.get(known.base)
    name = ""
    if known is not None and (oid < _FIRST_FREE_OID or known.kind == "enum"):
        name = "enum" if known.kind == "enum" else known.name
    return ColumnInfo(column.name, name, column.deterministic, utf8)


async def _value(conn: psycopg.AsyncConnection[Any], statement: str) -> Any:
    row = await (await conn.execute(statement.encode())).fetchone()
    assert row is not None
    return row[0]
