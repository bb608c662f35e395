"""What each kind of database gives: everything in here that differs between them behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from cdc.config import Config
from cdc.event import Position
from cdc.metrics import DatabaseMetrics
from cdc.requirement import Requirement
from cdc.snapshot.reader import ChunkReader
from cdc.status import Fact
from cdc.tailer import Source


class Connector(Protocol):
    """One configured database. All raise ConfigError where its connection string cannot be used; what asks the server
    also SourceUnavailable."""

    def source(self, metrics: DatabaseMetrics) -> Source:
        """What tails it."""

    def chunks(self) -> Callable[[], ChunkReader]:
        """What makes readers of its rows, for snapshots."""

    async def requirements(self) -> list[Requirement]:
        """Every requirement as it stands."""

    async def inventory(self) -> dict[str, str]:
        """The collections that it has: by name, how `requirements` calls each."""

    async def status(self, after: Position | None) -> list[Fact]:
        """How it stands to its tailer, whose log ends at `after`."""

    def whereabouts(self) -> tuple[str, str]:
        """(where it is and as whom we are there, without any secret; its name, empty if `conn` gives none)."""

    def place(self, position: Position) -> str:
        """A position as the database writes it."""


def connector_of(config: Config, alias: str) -> Connector:
    """The one place where a database's type is looked at."""
    match config.databases[alias].type:
        case "mongo":
            from cdc.mongo.connector import MongoConnector

            return MongoConnector(config, alias)
        case "mysql":
            from cdc.mysql.connector import MysqlConnector

            return MysqlConnector(config, alias)
        case _:
            from cdc.postgres.connector import PostgresConnector

            return PostgresConnector(config, alias)
