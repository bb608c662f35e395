"""Everything about MongoDB that the rest of the tailer asks for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cdc.config import Config
from cdc.event import Position
from cdc.metrics import DatabaseMetrics
from cdc.mongo import inventory, setup, status
from cdc.mongo.chunks import MongoChunks
from cdc.mongo.connect import describe
from cdc.mongo.source import MongoSource
from cdc.mongo.target import Target, database_name
from cdc.requirement import Requirement
from cdc.snapshot.reader import ChunkReader
from cdc.status import Fact


class MongoConnector:
    """See `cdc.connector.Connector`."""

    def __init__(self, config: Config, alias: str) -> None:
        self._config = config
        self._alias = alias

    @property
    def _target(self) -> Target:
        return Target.of(self._config, self._alias)

    def source(self, metrics: DatabaseMetrics) -> MongoSource:
        return MongoSource(self._target)

    def chunks(self) -> Callable[[], ChunkReader]:
        return partial(MongoChunks, self._target)

    async def requirements(self) -> list[Requirement]:
        return await setup.check(self._target)

    async def inventory(self) -> dict[str, str]:
        return await inventory.inventory(self._target)

    async def status(self, after: Position | None) -> list[Fact]:
        return await status.status(self._target, after)

    def whereabouts(self) -> tuple[str, str]:
        conn = self._config.databases[self._alias].conn.reveal()
        return describe(conn), database_name(conn)

    def place(self, position: Position) -> str:
        return status.place(position)
