"""A MySQL or MariaDB as a source: check it, find where to begin, stream, and ask the catalog after DDL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pymysql

from cdc import VERSION
from cdc.errors import LivetailError, PositionLost, SourceUnavailable
from cdc.event import Position
from cdc.metrics import DatabaseMetrics
from cdc.mysql import catalog, setup
from cdc.mysql.assemble import Assembler
from cdc.mysql.connect import Connection, connect, explain
from cdc.mysql.dump import Dump, open_dump
from cdc.mysql.following import Following
from cdc.mysql.place import Identity, identify
from cdc.mysql.start import Resumption, find_start
from cdc.mysql.stream import MysqlStream, now_ms
from cdc.mysql.tables import Catalog
from cdc.mysql.target import Target
from cdc.mysql.threads import in_thread
from cdc.mysql.writer import Origin

_READING_FAILED: Final = 1236
_GONE: Final = (
    "Could not find first log file name",
    "Could not find next log",
    "purged",
    "Could not find GTID state",
    "position > file size",
    "impossible position",
    "bogus data in log event",
    "not in the master's binlog",
)
"""What error 1236 says when the binlog does not have the place any more; else it is about other replicas."""


@dataclass(frozen=True, slots=True)
class _Opened:
    identity: Identity
    resumption: Resumption
    catalog: Catalog
    dump: Dump


class MysqlSource:
    """A `cdc.tailer.Source`."""

    def __init__(self, target: Target, metrics: DatabaseMetrics) -> None:
        self._target = target
        self._metrics = metrics

    async def open(self, after: Position | None) -> Following:
        """See `cdc.tailer.Source`."""
        target = self._target
        opened = await in_thread(lambda: self._open(after), lambda opened: opened.dump.close())
        start, identity = opened.resumption.start, opened.identity
        origin = Origin(
            version=VERSION,
            connector="mariadb" if identity.mariadb else "mysql",
            name=f"{target.project}.{target.alias}",
            epoch=identity.epoch,
        )
        assembler = Assembler(
            origin=origin,
            start=start,
            collections=target.tables,
            catalog=opened.catalog,
            mariadb=identity.mariadb,
            numbered=identity.gtids,
            crash_safe=identity.crash_safe,
            now_ms=now_ms,
        )
        begin = start.after if after is None else None
        stream = MysqlStream(opened.dump, assembler, self._learn, self._explain, begin)
        return Following(stream, target, self._metrics, start.after)

    async def reset(self) -> None:
        """See `cdc.tailer.Source`; the server keeps nothing for us."""

    def _open(self, after: Position | None) -> _Opened:
        target = self._target
        with connect(target) as connection:
            try:
                setup.require(connection, target)
                identity = identify(connection)
                resumption = find_start(connection, target, identity, after)
                known = _catalog(connection, target)
            except pymysql.MySQLError as error:
                raise explain(target, error) from error
        start, auto = resumption.start, resumption.auto
        dump = open_dump(target, start.file, start.offset, None if auto is None else str(auto))
        return _Opened(identity, resumption, known, dump)

    async def _learn(self) -> Catalog:
        return await in_thread(self._look, lambda _: None)

    def _look(self) -> Catalog:
        with connect(self._target) as connection:
            try:
                return _catalog(connection, self._target)
            except pymysql.MySQLError as error:
                raise explain(self._target, error) from error

    def _explain(self, code: int, message: str) -> LivetailError:
        """The server's error while streaming as what the pipeline acts on."""
        where = f"{self._target.alias} ({self._target.where})"
        if code == _READING_FAILED and any(text in message for text in _GONE):
            return PositionLost(
                f"{where}: {message}; to begin anew, start the tailer once with --reset-position"
            )
        return SourceUnavailable(f"{where}: {message}")


def _catalog(connection: Connection, target: Target) -> Catalog:
    tables = {name: catalog.load_table(connection, *name) for name in target.tables}
    hints = {name: table.hints for name, table in tables.items() if table is not None}
    logged = catalog.logs_cascades(connection)
    return Catalog(hints, None if logged else catalog.cascades(connection, target.tables))
