"""The oracle on Postgres: the order of commits from a replication slot of the oracle's own, the changes from an audit
table that triggers write, and that is not published."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import psycopg
import statements as ask
from history import RowImage, Transaction
from statements import Script, Some, Statement, Which
from tables import KINDS, Row, Table
from values import account, number, part, uuid, word

from broadcaster.demo import host
from broadcaster.demo.postgres import EmbeddedPostgres
from servers.postgres import connect

SETTINGS: Final = {"deadlock_timeout": "20ms", "max_connections": "50"}
_NAME: Final = "oracle"
_TABLES: Final = (
    Table("items", ("id",), lambda random: {"id": number(random)}, KINDS),
    Table("words", ("word",), lambda random: {"word": word(random)}, KINDS),
    Table("notes", ("id",), lambda random: {"id": uuid(random)}, {**KINDS, "id": "uuid"}),
    Table("accounts", ("region", "no"), account, {**KINDS, "no": "int64"}),
    Table("parts", ("bucket", "id"), part, KINDS),
)
_KEYS: Final = {
    "items": "id int",
    "words": "word text",
    "notes": "id uuid",
    "accounts": "no bigint, region text",
    "parts": "bucket int, id int",
}
_COMMON: Final = """
    n int, s text, price numeric, flag bool, at timestamptz, j jsonb, body text, version bigint NOT NULL"""
_PARTITIONS: Final = """
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES IN (0);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
CREATE TABLE parts_rest PARTITION OF parts DEFAULT;
"""
_AUDIT: Final = """
CREATE SEQUENCE versions;
CREATE TABLE audit (seq bigserial PRIMARY KEY, tx text NOT NULL, name text NOT NULL, old jsonb, new jsonb);
CREATE FUNCTION new_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := nextval('versions');
    RETURN NEW;
END $$;
CREATE FUNCTION audit_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO audit (tx, name, old, new) VALUES (
        pg_current_xact_id()::text, TG_ARGV[0],
        CASE WHEN TG_OP IN ('UPDATE', 'DELETE') THEN to_jsonb(OLD) END,
        CASE WHEN TG_OP IN ('INSERT', 'UPDATE') THEN to_jsonb(NEW) END);
    RETURN NULL;
END $$;
"""
_COMMITS: Final = """
    SELECT xid::text FROM pg_logical_slot_get_binary_changes(
        'oracle', NULL, NULL, 'proto_version', '1', 'publication_names', 'oracle') WITH ORDINALITY
    WHERE get_byte(data, 0) = ascii('C') ORDER BY ordinality"""


class PostgresOracle:
    """A `database.Database`."""

    alias: Final = "sql-postgres"
    tables: Final = {table.name: table for table in _TABLES}
    can: Final = frozenset({ask.SAVEPOINTS, ask.RENAMES, ask.TRUNCATES, ask.NAN})

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        self._audited = 0
        self._seen: set[str] = set()
        self.data, self.log_file = server.cluster, server.log_file
        self.stop, self.kill, self.start = server.stop, server.kill, server.start

    @property
    def url(self) -> str:
        return self._server.url_for(_NAME)

    @property
    def port(self) -> int:
        return self._server.port

    def url_through(self, port: int) -> str:
        """See `database.Database`."""
        parts = urlsplit(self.url)
        at = parts.netloc.rpartition("@")[0]
        return urlunsplit(parts._replace(netloc=f"{at}@127.0.0.1:{port}"))

    def pids(self) -> list[int]:
        """See `database.Database`."""
        pid = self._server.pid
        return [] if pid is None else [pid, *host.children(pid)]

    def resets(self, table: str) -> frozenset[str]:
        """See `database.Database`. A TRUNCATE of a partitioned table gives each partition a new file too, which the
        tailer's watch cannot tell from one that was truncated by itself."""
        more = {"partitions_changed"} if table == "parts" else set[str]()
        return frozenset({"truncated", "not_in_cursor"} | more)

    async def prepare(self) -> None:
        """See `database.Database`."""
        async with await connect(self._server.url) as admin:
            await admin.execute(f"CREATE DATABASE {_NAME}".encode())
        schema = [_AUDIT, *(_ddl(table) for table in _TABLES), f"CREATE PUBLICATION {_NAME} FOR TABLE "]
        async with await connect(self.url) as connection:
            await connection.execute(("\n".join(schema) + ", ".join(self.tables)).encode())
            await connection.execute("SELECT pg_create_logical_replication_slot('oracle', 'pgoutput')")

    def writer(self, begun: list[str], acknowledged: list[str]) -> PostgresWriter:
        """See `database.Database`."""
        return PostgresWriter(self.url, begun, acknowledged)

    async def committed(self) -> list[Transaction]:
        """See `database.Database`."""
        async with await connect(self.url) as connection:
            await connection.execute("SET TIME ZONE 'UTC'")
            order = [tx for (tx,) in await (await connection.execute(_COMMITS)).fetchall()]
            audit = await connection.execute(
                "SELECT seq, tx, name, old::text, new::text FROM audit WHERE seq > %s ORDER BY seq",
                (self._audited,),
            )
            changes: dict[str, list[RowImage]] = {}
            for seq, tx, table, old, new in await audit.fetchall():
                self._audited = seq
                images = [None if image is None else _decode(image) for image in (old, new)]
                changes.setdefault(tx, []).append(RowImage(table, *images))
        # A killed server may forget how far the slot was read.
        fresh = [tx for tx in order if tx not in self._seen]
        self._seen.update(fresh)
        made = [Transaction(tx, changes.pop(tx, ()), tx) for tx in fresh]
        assert not changes, f"the oracle did not see these transactions commit: {list(changes)}"
        return made

    async def rows(self, table: Table) -> list[Row]:
        """See `database.Database`."""
        async with await connect(self.url) as connection:
            await connection.execute("SET TIME ZONE 'UTC'")
            cursor = await connection.execute(f"SELECT to_jsonb(t)::text FROM {table.name} t".encode())
            return [_decode(text) for (text,) in await cursor.fetchall()]


class PostgresWriter:
    """A `database.Writer`. A mark is the transaction id."""

    def __init__(self, url: str, begun: list[str], acknowledged: list[str]) -> None:
        self._url = url
        self._begun = begun
        self._acknowledged = acknowledged
        self._connection: psycopg.AsyncConnection[Any] | None = None

    async def write(self, script: Script) -> None:
        """See `database.Writer`."""
        try:
            if self._connection is None:
                self._connection = await connect(self._url)
            await self._transaction(self._connection, script)
        except psycopg.Error:
            await self._recover()

    async def _transaction(self, connection: psycopg.AsyncConnection[Any], script: Script) -> None:
        await connection.execute("BEGIN")
        cursor = await connection.execute("SELECT pg_current_xact_id()::text")
        ((tx,),) = await cursor.fetchall()
        self._begun.append(tx)
        for statement in script.statements:
            text, parameters = _sql(statement)
            await connection.execute(text.encode(), parameters or None)
        await connection.execute("COMMIT" if script.commits else "ROLLBACK")
        if script.commits:
            self._acknowledged.append(tx)

    async def _recover(self) -> None:
        """Roll back, or forget a broken connection; Postgres may be down for a moment."""
        try:
            if self._connection is not None and not self._connection.closed:
                await self._connection.execute("ROLLBACK")
                return
        except psycopg.Error:
            pass
        await self.close()
        await asyncio.sleep(0.05)

    async def close(self) -> None:
        """See `database.Writer`."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None


def _ddl(table: Table) -> str:
    """The table with its triggers."""
    name = table.name
    partitioned = name == "parts"
    return (
        f"CREATE TABLE {name} ({_KEYS[name]},{_COMMON}, PRIMARY KEY ({', '.join(table.key)}))"
        f"{' PARTITION BY LIST (bucket)' if partitioned else ''};\n"
        f"{_PARTITIONS if partitioned else ''}"
        f"CREATE TRIGGER version BEFORE INSERT OR UPDATE ON {name}"
        f" FOR EACH ROW EXECUTE FUNCTION new_version();\n"
        f"CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON {name}"
        f" FOR EACH ROW EXECUTE FUNCTION audit_row('{name}');\n"
        f"CREATE TRIGGER audit_truncate AFTER TRUNCATE ON {name}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION audit_row('{name}');\n"
    )


def _sql(statement: Statement) -> tuple[str, tuple[Any, ...]]:
    """A statement with %s parameters."""
    match statement:
        case ask.Insert(table, rows, updates):
            columns = list(rows[0])
            row = f"({', '.join(['%s'] * len(columns))})"
            conflict = f"({', '.join(table.key)}) DO UPDATE SET n = excluded.n" if updates else "DO NOTHING"
            return (
                f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES {', '.join([row] * len(rows))} "
                f"ON CONFLICT {conflict}",
                tuple(_native(column, values[column]) for values in rows for column in columns),
            )
        case ask.Update(table, which, values):
            condition, parameters = _where(which)
            sets = ", ".join(f"{column} = %s" for column in values)
            new = tuple(_native(*item) for item in values.items())
            return f"UPDATE {table.name} SET {sets} WHERE {condition}", (*new, *parameters)
        case ask.Add(table, key, amount):
            condition, parameters = _where(key)
            return (
                f"UPDATE {table.name} SET n = coalesce(n, 0) + %s WHERE {condition}",
                (amount, *parameters),
            )
        case ask.Rename(table, key, new_key):
            condition, parameters = _where(key)
            sets = ", ".join(f"{column} = %s" for column in new_key)
            free, values_ = _where(new_key)
            return (
                f"UPDATE {table.name} SET {sets} WHERE {condition} "
                f"AND NOT EXISTS (SELECT FROM {table.name} o WHERE {free})",
                (*values_, *parameters, *values_),
            )
        case ask.Delete(table, which):
            condition, parameters = _where(which)
            return f"DELETE FROM {table.name} WHERE {condition}", parameters
        case ask.Truncate(table):
            return f"TRUNCATE {table.name}", ()
        case ask.Savepoint(verb, name):
            return f"{verb} {name}", ()


def _where(which: Which) -> tuple[str, tuple[Any, ...]]:
    if isinstance(which, Some):
        return f"n {which.operator} %s", (which.n,)
    return " AND ".join(f"{column} = %s" for column in which), tuple(which.values())


def _native(column: str, value: Any) -> Any:
    return json.dumps(value) if column == "j" and value is not None else value


def _decode(text: str) -> Row:
    """A row as `to_jsonb` shows it (session time zone UTC), in the events' own form."""
    row: Row = json.loads(text, parse_float=Decimal)
    if abs(row.get("no", 0)) >= 2**53:
        row["no"] = str(row["no"])
    if row["price"] is not None:
        row["price"] = str(row["price"])
    if row["at"] is not None:
        row["at"] = row["at"].replace("+00:00", "Z")
    row["j"] = _floats(row["j"])
    return row


def _floats(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {key: _floats(item) for key, item in value.items()}
    return [_floats(item) for item in value] if isinstance(value, list) else value
