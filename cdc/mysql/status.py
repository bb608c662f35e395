"""How a MySQL or MariaDB stands to its tailer: how far behind that is, and which binlogs are still there."""

from __future__ import annotations

import pymysql

from cdc.errors import PositionLost
from cdc.event import Position
from cdc.mysql.connect import Connection, connect, explain
from cdc.mysql.place import end_of_binlog, identify, rows, sizes
from cdc.mysql.position import order_of
from cdc.mysql.start import find_start
from cdc.mysql.target import Target
from cdc.mysql.threads import in_thread
from cdc.status import Fact, bytes_text


def place(position: Position) -> str:
    """The position as file and offset."""
    return f"{position.state['file']}:{position.state['pos']}"


async def status(target: Target, after: Position | None) -> list[Fact]:
    """after: the event log's position. Raises SourceUnavailable, ConfigError."""
    return await in_thread(lambda: _status(target, after), lambda _: None)


def _status(target: Target, after: Position | None) -> list[Fact]:
    with connect(target) as connection:
        try:
            return _gather(connection, target, after)
        except pymysql.MySQLError as error:
            raise explain(target, error) from error


def _gather(connection: Connection, target: Target, after: Position | None) -> list[Fact]:
    identity = identify(connection)
    files, end = sizes(connection), end_of_binlog(connection, identity)
    product = "MariaDB" if identity.mariadb else "MySQL"
    [[version]] = rows(connection, "SELECT VERSION()")
    values = {"where": target.where, "version": version}
    facts = [Fact("database", f"{target.where} ({product} {version})", values)]
    if after is not None and after.epoch == identity.epoch:
        behind = behind_bytes(files, end.file, end.offset, after)
        facts.append(Fact("behind", f"{bytes_text(behind)} of binlog", {"behindBytes": behind}))
    oldest, total = min(files, key=lambda name: order_of(name, 0)), sum(files.values())
    kept = {"oldest": oldest, "newest": end.file, "files": len(files), "bytes": total}
    text = f"{oldest} to {end.file} are there, {bytes_text(total)}"
    facts.append(Fact("binlog", text, {"binlog": kept}))
    if after is not None:
        try:
            find_start(connection, target, identity, after)
        except PositionLost as error:
            facts.append(Fact("lost", str(error), {"lost": str(error)}, ok=False))
    return facts


def behind_bytes(files: dict[str, int], file: str, offset: int, after: Position) -> int:
    """How many bytes of binlog follow `after`: files are those that are there, `file` and `offset` the end. (pure)"""
    reached = str(after.state["file"]), int(after.state["pos"])
    first = order_of(reached[0], 0)
    between = sum(size for name, size in files.items() if first <= order_of(name, 0) < order_of(file, 0))
    return max(0, between + offset - reached[1])
