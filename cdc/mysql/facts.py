"""What the server says about itself, our user and the wanted tables. Everything here blocks, and raises
pymysql.MySQLError."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pymysql
from pymysql.constants import ER

from cdc.mysql import catalog
from cdc.mysql.connect import Connection, code_of
from cdc.mysql.target import Name, identifier

ALL: Final = "ALL PRIVILEGES"

_VARIABLES: Final = (
    "binlog_expire_logs_seconds",
    "binlog_format",
    "binlog_row_image",
    "binlog_row_metadata",
    "gtid_mode",
    "log_bin",
    "log_replica_updates",
    "log_slave_updates",
    "read_only",
    "server_id",
)
_GLOBAL_GRANT: Final = re.compile(r"GRANT (.+?) ON \*\.\* TO ")
_TABLES: Final = """
SELECT table_schema, table_name, table_type, engine,
       EXISTS (SELECT 1 FROM information_schema.statistics s
                WHERE s.table_schema = t.table_schema AND s.table_name = t.table_name AND s.index_name = 'PRIMARY')
  FROM information_schema.tables t WHERE t.table_schema IN %s AND t.table_name IN %s
"""
_NAMES: Final = """
SELECT table_schema, table_name FROM information_schema.tables
 WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')
 LIMIT 10000
"""
_NEED_ANOTHER_PRIVILEGE: Final = (ER.SPECIFIC_ACCESS_DENIED_ERROR, ER.XAER_RMERR)


@dataclass(frozen=True, slots=True)
class Server:
    """The server and our user there. version: like (9, 7, 4); user: as `CURRENT_USER()`, such as `app@%`.

    variables: global ones, by name, those that it has. privileges: those that hold everywhere, roles included.
    logged, ignored: the only databases that the binlog has; those that it has not (`binlog_do_db`,
    `binlog_ignore_db`); empty: no such filter, or not permitted to look. replica: it applies another server's log.
    prepared: XA transactions that wait for their outcome; None if not permitted to look.
    """

    mariadb: bool
    version: tuple[int, ...]
    user: str
    variables: Mapping[str, str]
    privileges: frozenset[str]
    logged: frozenset[str]
    ignored: frozenset[str]
    replica: bool
    logs_cascades: bool
    prepared: int | None


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A wanted table. `kind` is None if there is none of that name that our user may see, then `near` are the nearest
    names; with `may_select`, there is none: our user would see it. `cascades_from`: tables whose foreign keys change
    it, unlogged."""

    schema: str
    name: str
    kind: str | None
    engine: str = ""
    has_key: bool = False
    may_select: bool = False
    cascades_from: tuple[Name, ...] = ()
    near: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the requirements are judged from; `tables` in the order of the target's; `unseen`: tables from which
    changes cascade to them, that our user may not look at."""

    server: Server
    tables: Sequence[TableFacts]
    unseen: frozenset[Name]


def gather(connection: Connection, wanted: Mapping[Name, str]) -> Facts:
    """All facts. wanted: as `Target.tables`."""
    cascades = catalog.cascades(connection, wanted)
    return Facts(
        server(connection), tables(connection, wanted, cascades), catalog.unseen_parents(connection, wanted)
    )


def server(connection: Connection) -> Server:
    """The server's facts."""
    said = str(_rows(connection, "SELECT VERSION()")[0][0])
    found = re.match(r"(\d+)\.(\d+)\.(\d+)", said)
    user = str(_rows(connection, "SELECT CURRENT_USER()")[0][0])
    status = _binlog_status(connection)
    return Server(
        mariadb="MariaDB" in said,
        version=tuple(map(int, found.groups())) if found else (),
        user=user,
        variables=dict(_rows(connection, "SHOW GLOBAL VARIABLES WHERE variable_name IN %s", _VARIABLES)),
        privileges=_privileges(row[0] for row in _rows(connection, "SHOW GRANTS")),
        logged=_list(status[2]),
        ignored=_list(status[3]),
        replica=bool(
            _rows(connection, "SHOW GLOBAL STATUS WHERE variable_name = 'Slave_running' AND value = 'ON'")
        ),
        logs_cascades=catalog.logs_cascades(connection),
        prepared=_prepared(connection),
    )


def tables(
    connection: Connection, wanted: Mapping[Name, str], cascades: Mapping[Name, frozenset[str]]
) -> list[TableFacts]:
    """The facts of each wanted table, in that order. cascades: as `catalog.cascades` gives them."""
    if not wanted:
        return []
    schemas, names = [schema for schema, _ in wanted], [name for _, name in wanted]
    found = {(row[0], row[1]): row[2:] for row in _rows(connection, _TABLES, schemas, names)}
    existing = _rows(connection, _NAMES) if any(name not in found for name in wanted) else []
    facts: list[TableFacts] = []
    for name, collection in wanted.items():
        if name not in found:
            may_select = _may_select(connection, name)
            facts.append(TableFacts(*name, None, may_select=may_select, near=_nearest(name, existing)))
            continue
        kind, engine, has_key = found[name]
        parents = tuple(sorted(parent for parent, children in cascades.items() if collection in children))
        facts.append(
            TableFacts(*name, kind, engine or "", bool(has_key), _may_select(connection, name), parents)
        )
    return facts


def _may_select(connection: Connection, name: Name) -> bool:
    try:
        _rows(connection, f"SELECT * FROM {identifier(*name)} LIMIT 0")
    except pymysql.MySQLError as error:
        if code_of(error) in (
            ER.DBACCESS_DENIED_ERROR,
            ER.TABLEACCESS_DENIED_ERROR,
            ER.COLUMNACCESS_DENIED_ERROR,
        ):
            return False
        if code_of(error) not in (ER.NO_SUCH_TABLE, ER.BAD_DB_ERROR, ER.VIEW_INVALID):
            raise
    return True


def _binlog_status(connection: Connection) -> tuple[Any, ...]:
    """(file, offset, databases logged, databases ignored, …); empty if there is no binlog or we may not look."""
    for statement in (
        "SHOW BINARY LOG STATUS",
        "SHOW MASTER STATUS",
    ):  # MySQL from 8.2 on; before, and MariaDB
        try:
            rows = _rows(connection, statement)
        except pymysql.MySQLError as error:
            if code_of(error) == ER.PARSE_ERROR:
                continue
            if code_of(error) in _NEED_ANOTHER_PRIVILEGE:
                break
            raise
        return rows[0] if rows else ("", 0, "", "")
    return ("", 0, "", "")


def _prepared(connection: Connection) -> int | None:
    try:
        return len(_rows(connection, "XA RECOVER"))
    except pymysql.MySQLError as error:
        if code_of(error) in _NEED_ANOTHER_PRIVILEGE:
            return None
        raise


def _privileges(grants: Iterable[str]) -> frozenset[str]:
    """Of `SHOW GRANTS`, which tells those of active roles, too. (The statements may hold the password's hash.)"""
    found: set[str] = set()
    for grant in grants:
        match = _GLOBAL_GRANT.match(grant)
        if match is not None:
            found.update(privilege.strip() for privilege in match[1].split(","))
    return frozenset(found)


def _list(text: str) -> frozenset[str]:
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def _nearest(name: Name, existing: Sequence[tuple[Any, ...]]) -> tuple[str, ...]:
    """Up to three names of existing tables that may have been meant: the same name elsewhere first."""
    schema, table = name
    elsewhere = [f"{s}.{n}" for s, n in existing if n == table]
    alike = difflib.get_close_matches(table, [n for s, n in existing if s == schema], n=3)
    return tuple(elsewhere + [f"{schema}.{n}" for n in alike])[:3]


def _rows(connection: Connection, statement: str, *values: Sequence[str]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return list(cursor.fetchall())
