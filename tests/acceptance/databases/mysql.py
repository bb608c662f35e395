"""The oracle on MySQL and MariaDB: the order of commits from SHOW BINLOG EVENTS, where each statement stands with the
mark that its writer put into it; the changes from an audit table that triggers write, and that is not followed."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import pymysql
import statements as ask
from history import RowImage, Transaction
from statements import Script, Some, Statement, Which
from tables import KINDS, Row, Table
from values import account, number, part, uuid, word

from broadcaster.demo.mysql import EmbeddedMysql

SETTINGS: Final = {
    "sync_binlog": "1",
    "innodb_flush_log_at_trx_commit": "1",
    "innodb_buffer_pool_size": "64M",
}
_NAME: Final = "oracle"
_KEYS: Final = {
    "items": "id int",
    "words": "word varchar(40)",
    "notes": "id {uuid}",
    "accounts": "no bigint, region varchar(10)",
    "parts": "bucket int, id int",
}
_COMMON: Final = """
    n int, s varchar(100), price decimal(30, 4), flag boolean, at timestamp(6) NULL, j json, body mediumtext,
    version bigint NOT NULL"""
_PARTITIONS: Final = """ PARTITION BY LIST (bucket) (
    PARTITION p0 VALUES IN (0), PARTITION p1 VALUES IN (1), PARTITION p_rest VALUES IN (2, 3))"""
_AUDIT: Final = """
CREATE TABLE audit (
    seq bigint AUTO_INCREMENT PRIMARY KEY, mark bigint NOT NULL, name varchar(20) NOT NULL, old json, new json)"""
_TEXTS: Final = {
    "price": "CAST({0} AS CHAR)",
    "at": "DATE_FORMAT({0}, '%Y-%m-%dT%H:%i:%s.%f')",
    "j": "CAST({0} AS CHAR)",
    "id": "CAST({0} AS CHAR)",
}
"""How a column's value goes into an audited image, where not as it is."""
_MARK: Final = re.compile(r"/\* mark (\d+) \*/ *(TRUNCATE TABLE (\w+))?")


class MysqlOracle:
    """A `database.Database`."""

    alias: Final = "sql-mysql"
    can: Final = frozenset({ask.SAVEPOINTS, ask.RENAMES, ask.TRUNCATES, ask.SINGLES})

    def __init__(self, server: EmbeddedMysql) -> None:
        self._server = server
        self._is_mariadb = server.installation.flavor == "mariadb"
        self._marks = itertools.count(1)
        self._versions = itertools.count(1)
        self._writers = itertools.count()
        self._audited = 0
        self._read_to = ("", 4)
        note_types = {**KINDS, "id": "uuid"} if self._is_mariadb else KINDS
        tables = (
            Table("items", ("id",), lambda random: {"id": number(random)}, KINDS),
            Table("words", ("word",), lambda random: {"word": word(random)}, KINDS),
            Table("notes", ("id",), lambda random: {"id": uuid(random)}, note_types),
            Table("accounts", ("region", "no"), account, {**KINDS, "no": "int64"}),
            Table("parts", ("bucket", "id"), part, KINDS),
        )
        self.tables = {table.name: table for table in tables}
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
        return [] if pid is None else [pid]

    def resets(self, table: str) -> frozenset[str]:
        """See `database.Database`."""
        return frozenset({"truncated", "not_in_cursor"}) | ({"server_crashed"} if self._is_mariadb else set())

    async def prepare(self) -> None:
        """See `database.Database`."""
        uuid_type = "uuid" if self._is_mariadb else "char(36)"
        with self._server.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {_NAME} CHARACTER SET utf8mb4")
            cursor.execute(f"USE {_NAME}")
            cursor.execute(_AUDIT)
            for table in self.tables.values():
                for statement in _ddl(table):
                    cursor.execute(statement.replace("{uuid}", uuid_type))

    def writer(self, begun: list[str], acknowledged: list[str]) -> MysqlWriter:
        """See `database.Database`. The first one compresses its transactions, where that is the session's to decide."""
        is_first = next(self._writers) == 0
        return MysqlWriter(
            self._server, self._marks, self._versions, begun, acknowledged, compressing=is_first
        )

    async def committed(self) -> list[Transaction]:
        """See `database.Database`."""
        return await asyncio.to_thread(self._committed)

    def _committed(self) -> list[Transaction]:
        with self._server.connect(_NAME) as connection, connection.cursor() as cursor:
            changes: dict[str, list[RowImage]] = {}
            cursor.execute(
                "SELECT seq, mark, name, old, new FROM audit WHERE seq > %s ORDER BY seq", (self._audited,)
            )
            for seq, mark, table, old, new in cursor.fetchall():
                self._audited = seq
                images = [None if image is None else _decode(json.loads(image)) for image in (old, new)]
                changes.setdefault(str(mark), []).append(RowImage(table, *images))
            made = []
            for name, mark, truncated in self._logged(cursor):
                made_by = [RowImage(truncated, None, None)] if truncated else changes.pop(mark, None)
                if made_by:
                    made.append(Transaction(name, made_by, mark))
        assert not changes, f"the oracle did not see these transactions commit: {list(changes)}"
        return made

    def _logged(self, cursor: Any) -> Iterator[tuple[str, str, str | None]]:
        """(transaction id, mark, name of the table that it emptied) of the transactions that the log has gained."""
        cursor.execute("SHOW BINARY LOGS")
        for file, size, *_ in cursor.fetchall():
            if file < self._read_to[0]:
                continue
            start = self._read_to[1] if file == self._read_to[0] else 4
            self._read_to = file, int(size)
            if start >= int(size):
                continue
            cursor.execute(f"SHOW BINLOG EVENTS IN '{file}' FROM {start}")
            name, seen = "", set[str]()
            for _, place, kind, _, _, info in cursor.fetchall():
                if kind == "Gtid":
                    name = f"{file}:{place}" if self._is_mariadb else info.split("'")[1]
                    continue
                found = _MARK.search(info or "")
                if found and name not in seen:
                    seen.add(name)
                    yield name, found[1], found[3]

    async def rows(self, table: Table) -> list[Row]:
        """See `database.Database`."""
        return await asyncio.to_thread(self._rows, table)

    def _rows(self, table: Table) -> list[Row]:
        with self._server.connect(_NAME) as connection, connection.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00'")
            cursor.execute(f"SELECT {_image(table, table.name)} FROM {table.name}")
            return [_decode(json.loads(image)) for (image,) in cursor.fetchall()]


class MysqlWriter:
    """A `database.Writer`. A mark is a number that stands in every statement."""

    def __init__(
        self,
        server: EmbeddedMysql,
        marks: Iterator[int],
        versions: Iterator[int],
        begun: list[str],
        acknowledged: list[str],
        *,
        compressing: bool,
    ) -> None:
        self._server = server
        self._marks = marks
        self._versions = versions
        self._begun = begun
        self._acknowledged = acknowledged
        self._compressing = compressing
        self._connection: pymysql.Connection[Any] | None = None

    async def write(self, script: Script) -> None:
        """See `database.Writer`."""
        await asyncio.to_thread(self._write, script)

    def _write(self, script: Script) -> None:
        try:
            for statements, commits in _transactions(script):
                self._transaction(statements, commits=commits)
        except pymysql.MySQLError:
            self._recover()

    def _transaction(self, statements: list[Statement], *, commits: bool) -> None:
        if self._connection is None:
            self._connection = self._connect()
        mark = str(next(self._marks))
        self._begun.append(mark)
        with self._connection.cursor() as cursor:
            cursor.execute(f"SET @mark = {mark}")
            is_truncate = isinstance(statements[0], ask.Truncate)
            if not is_truncate:
                cursor.execute("START TRANSACTION")
            for statement in statements:
                text, parameters = _sql(statement)
                cursor.execute(f"SET @version = {next(self._versions)}")
                try:
                    cursor.execute(f"/* mark {mark} */ {text}", parameters or None)
                except pymysql.IntegrityError:
                    # The new key is not free. (Not UPDATE IGNORE: MariaDB then keeps what triggers did out of the log.)
                    assert isinstance(statement, ask.Rename)
            if not is_truncate:
                cursor.execute("COMMIT" if commits else "ROLLBACK")
        if commits:
            self._acknowledged.append(mark)

    def _connect(self) -> pymysql.Connection[Any]:
        connection = self._server.connect(_NAME)
        is_mariadb = self._server.installation.flavor == "mariadb"
        with connection.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00', lock_wait_timeout = 2, innodb_lock_wait_timeout = 1")
            if not is_mariadb:
                cursor.execute("SET binlog_rows_query_log_events = ON")
                if self._compressing:
                    cursor.execute("SET binlog_transaction_compression = ON")
        return connection

    def _recover(self) -> None:
        """Roll back, or forget a broken connection; the server may be down for a moment."""
        try:
            if self._connection is not None:
                with self._connection.cursor() as cursor:
                    cursor.execute("ROLLBACK")
                return
        except pymysql.MySQLError:
            pass
        self._connection = None
        time.sleep(0.05)

    async def close(self) -> None:
        """See `database.Writer`."""
        if self._connection is not None and self._connection.open:
            self._connection.close()


def _transactions(script: Script) -> Iterator[tuple[list[Statement], bool]]:
    """The script's transactions, and whether each commits: TRUNCATE ends one, and is one by itself."""
    if not script.together:
        yield from (([statement], True) for statement in script.statements)
        return
    held: list[Statement] = []
    for statement in script.statements:
        if isinstance(statement, ask.Truncate):
            if held:
                yield held, True
            yield [statement], True
            held = []
        else:
            held.append(statement)
    if held:
        yield held, script.commits


def _ddl(table: Table) -> Iterator[str]:
    """The table with its triggers."""
    name = table.name
    partitions = _PARTITIONS if name == "parts" else ""
    yield (f"CREATE TABLE {name} ({_KEYS[name]},{_COMMON}, PRIMARY KEY ({', '.join(table.key)})){partitions}")
    for event in ("INSERT", "UPDATE"):
        yield (
            f"CREATE TRIGGER {name}_before_{event} BEFORE {event} ON {name} "
            "FOR EACH ROW SET NEW.version = @version"
        )
    for event in ("INSERT", "UPDATE", "DELETE"):
        old = "NULL" if event == "INSERT" else _image(table, "OLD")
        new = "NULL" if event == "DELETE" else _image(table, "NEW")
        yield (
            f"CREATE TRIGGER {name}_after_{event} AFTER {event} ON {name} FOR EACH ROW "
            f"INSERT INTO audit (mark, name, old, new) VALUES (@mark, '{name}', {old}, {new})"
        )


def _image(table: Table, row: str) -> str:
    """SQL for the JSON object of a row."""
    columns = (*table.key, "n", "s", "price", "flag", "at", "j", "body", "version")
    texts = (f"'{column}', {_TEXTS.get(column, '{0}').format(f'{row}.{column}')}" for column in columns)
    return f"JSON_OBJECT({', '.join(texts)})"


def _sql(statement: Statement) -> tuple[str, tuple[Any, ...]]:
    """A statement with %s parameters."""
    match statement:
        case ask.Insert(table, rows, updates):
            columns = list(rows[0])
            row = f"({', '.join(['%s'] * len(columns))})"
            return (
                f"INSERT {'' if updates else 'IGNORE '}INTO {table.name} ({', '.join(columns)}) "
                f"VALUES {', '.join([row] * len(rows))}"
                f"{' ON DUPLICATE KEY UPDATE n = VALUES(n)' if updates else ''}",
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
            return (
                f"UPDATE {table.name} SET {sets} WHERE {condition}",
                (*new_key.values(), *parameters),
            )
        case ask.Delete(table, which):
            condition, parameters = _where(which)
            return f"DELETE FROM {table.name} WHERE {condition}", parameters
        case ask.Truncate(table):
            return f"TRUNCATE TABLE {table.name}", ()
        case ask.Savepoint("RELEASE", name):
            return f"RELEASE SAVEPOINT {name}", ()
        case ask.Savepoint(verb, name):
            return f"{verb} {name}", ()


def _where(which: Which) -> tuple[str, tuple[Any, ...]]:
    if isinstance(which, Some):
        return f"n {which.operator} %s", (which.n,)
    return " AND ".join(f"{column} = %s" for column in which), tuple(which.values())


def _native(column: str, value: Any) -> Any:
    if value is None:
        return None
    if column == "j":
        return json.dumps(value)
    return value.replace("T", " ").removesuffix("Z") if column == "at" else value


def _decode(row: Row) -> Row:
    """An audited image in the events' own form."""
    if abs(row.get("no", 0)) >= 2**53:
        row["no"] = str(row["no"])
    if isinstance(row.get("id"), str) and row["id"].isdigit():
        row["id"] = int(row["id"])
    if row["at"] is not None:
        row["at"] = row["at"].rstrip("0").rstrip(".") + "Z"
    if row["flag"] is not None:
        row["flag"] = bool(row["flag"])
    row["j"] = None if row["j"] is None else json.loads(row["j"])
    return row
