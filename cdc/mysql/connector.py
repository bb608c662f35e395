"""Everything about MySQL and MariaDB that the rest of the tailer asks for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from cdc.config import Config
from cdc.event import Position
from cdc.metrics import DatabaseMetrics
from cdc.mysql import inventory, setup, status
from cdc.mysql.chunks import MysqlChunks
from cdc.mysql.source import MysqlSource
from cdc.mysql.target import Target
from cdc.requirement import Requirement
from cdc.snapshot.reader import ChunkReader
from cdc.status import Fact


class MysqlConnector:
    """See `cdc.connector.Connector`."""

    def __init__(self, config: Config, alias: str) -> None:
        self._config = config
        self._alias = alias

    @property
    def _target(self) -> Target:
        return Target.of(self._config, self._alias)

    def source(self, metrics: DatabaseMetrics) -> MysqlSource:
        return MysqlSource(self._target, metrics)

    def chunks(self) -> Callable[[], ChunkReader]:
        return partial(MysqlChunks, self._target)

    async def requirements(self) -> list[Requirement]:
        return await setup.check(self._target)

    async def inventory(self) -> dict[str, str]:
        return await inventory.inventory(self._target)

    async def status(self, after: Position | None) -> list[Fact]:
        return await status.status(self._target, after)

    def whereabouts(self) -> tuple[str, str]:
        return self._target.where, self._target.database

    def place(self, position: Position) -> str:
        return status.place(position)
