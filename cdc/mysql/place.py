"""Where the server's binlog stands, and whether what a position speaks of is still there. Everything here blocks, and
raises pymysql.MySQLError."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.constants import ER

from cdc.mysql.connect import Connection
from cdc.mysql.gtid import GtidPosition, GtidSet


@dataclass(frozen=True, slots=True)
class Identity:
    """Which log this is. epoch: MySQL's server_uuid, MariaDB's server_id (a `server_uid` changes with the network
    card); gtids: whether transactions are named by GTIDs that mean the same on every server (MySQL's gtid_mode=ON);
    crash_safe: whether its tables and its binlog agree after it was killed. MySQL commits to both in two phases, DDL
    too, as long as both are flushed at each commit. MariaDB's TRUNCATE does not, nor does it flush by default."""

    mariadb: bool
    epoch: str
    gtids: bool
    crash_safe: bool


@dataclass(frozen=True, slots=True)
class End:
    """The end of the binlog: all that is in it before. gtids: of the transactions up to there."""

    file: str
    offset: int
    gtids: GtidSet | GtidPosition


def identify(connection: Connection) -> Identity:
    """The server's identity."""
    [[version]] = rows(connection, "SELECT VERSION()")
    if "MariaDB" in str(version):
        [[server]] = rows(connection, "SELECT @@server_id")
        return Identity(True, str(server), False, False)
    [[uuid, mode, *flushes]] = rows(
        connection, "SELECT @@server_uuid, @@gtid_mode, @@sync_binlog, @@innodb_flush_log_at_trx_commit"
    )
    return Identity(False, str(uuid), mode == "ON", flushes == [1, 1])


def end_of_binlog(connection: Connection, identity: Identity) -> End:
    """Where it ends now. The file and its offset are read in one; so are the GTIDs."""
    if identity.mariadb:
        [[file, offset, *_]] = rows(connection, "SHOW MASTER STATUS")
        return End(file, int(offset), position_at(connection, file, int(offset)))
    try:
        [status] = rows(connection, "SHOW BINARY LOG STATUS")  # since 8.2
    except pymysql.ProgrammingError as error:
        if error.args[0] != ER.PARSE_ERROR:
            raise
        [status] = rows(connection, "SHOW MASTER STATUS")
    return End(status[0], int(status[1]), GtidSet.parse(status[4]))


def position_at(connection: Connection, file: str, offset: int) -> GtidPosition:
    """MariaDB's GTIDs up to a place; raises LookupError if that is no place in its binlog."""
    [[text]] = rows(connection, "SELECT BINLOG_GTID_POS(%s, %s)", file, offset)
    if text is None:
        raise LookupError(f"{file}:{offset}")
    return GtidPosition.parse(text)


def sizes(connection: Connection) -> dict[str, int]:
    """The binlog's files that are still there, with their sizes in bytes."""
    return {str(row[0]): int(row[1]) for row in rows(connection, "SHOW BINARY LOGS")}


def executed(connection: Connection) -> tuple[GtidSet, GtidSet]:
    """MySQL's GTIDs: all of the server's, and those that are no longer in its binlog."""
    [[done, purged]] = rows(connection, "SELECT @@global.gtid_executed, @@global.gtid_purged")
    return GtidSet.parse(done), GtidSet.parse(purged)


def rows(connection: Connection, statement: str, *values: object) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        return list(cursor.fetchall())
