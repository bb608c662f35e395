"""The open stream of a MySQL or MariaDB, and beside it a look now and then at how much binlog it has yet to read."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import pymysql

from cdc.errors import LivetailError
from cdc.event import Batch, Position
from cdc.metrics import DatabaseMetrics
from cdc.mysql.connect import connect, explain
from cdc.mysql.place import end_of_binlog, identify, sizes
from cdc.mysql.status import behind_bytes
from cdc.mysql.stream import MysqlStream
from cdc.mysql.target import Target
from cdc.mysql.threads import in_thread

_EVERY_S: Final = 15.0
_log = logging.getLogger(__name__)


class Following:
    """A `cdc.tailer.Stream`."""

    def __init__(
        self, stream: MysqlStream, target: Target, metrics: DatabaseMetrics, after: Position
    ) -> None:
        """after: up to where the log has everything."""
        self._stream = stream
        self._target = target
        self._metrics = metrics
        self._reached = after
        self._watch = asyncio.create_task(self._look())

    async def take(self) -> Batch:
        """See `cdc.tailer.Stream`."""
        return await self._stream.take()

    def confirm(self, position: Position) -> None:
        """See `cdc.tailer.Stream`."""
        self._reached = position

    async def close(self) -> None:
        """See `cdc.tailer.Stream`."""
        self._watch.cancel()
        await asyncio.wait([self._watch])
        await self._stream.close()

    async def _look(self) -> None:
        while True:
            try:
                self._metrics.source_lag.set(await in_thread(self._behind, lambda _: None))
            except LivetailError as error:  # what it means for the stream, the stream itself finds out
                _log.debug("%s: a look at the binlog failed: %s", self._target.alias, error)
            await asyncio.sleep(_EVERY_S)

    def _behind(self) -> int:
        with connect(self._target) as connection:
            try:
                files, end = sizes(connection), end_of_binlog(connection, identify(connection))
            except pymysql.MySQLError as error:
                raise explain(self._target, error) from error
        return behind_bytes(files, end.file, end.offset, self._reached)
