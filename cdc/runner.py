"""Runs all tailers of a configuration; the one place in here where a database's type picks its source."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from cdc.config import Config
from cdc.errors import ConfigError
from cdc.event import Position
from cdc.health import Health, SourceHealth
from cdc.heap import keep_heap
from cdc.log import EventLog
from cdc.metrics import DatabaseMetrics, Metrics
from cdc.pipeline import Pipeline
from cdc.progress import tell_progress
from cdc.requirement import Requirement
from cdc.snapshot.reader import ChunkReader
from cdc.snapshot.snapshots import Snapshots
from cdc.status import Fact
from cdc.tailer import Source


def tailed(config: Config, only: Sequence[str] | None = None) -> list[str]:
    """The aliases of the databases that have a realtime collection, or those of `only`.

    Raises ConfigError for an alias that is not configured or has nothing to tail.
    """
    live = [alias for alias in config.databases if config.realtime_collections(alias)]
    for alias in only or ():
        if alias not in live:
            raise ConfigError(
                f"database {alias!r} has no realtime-enabled collection; those that have: {', '.join(live) or 'none'}"
            )
    return list(dict.fromkeys(only)) if only else live


async def run_tailer(
    config: Config,
    databases: Sequence[str] | None,
    logs: Callable[[str], EventLog],
    metrics: Metrics,
    health: Health,
    snapshots: Mapping[str, Snapshots],
    *,
    reset_position: bool = False,
) -> None:
    """Run the pipelines of `databases` (None: all that are live) until cancelled; `logs` gives each alias its log,
    `snapshots` are those of `snapshots_of`.

    One that fails for good does not disturb the others; once all have, the first failure is raised.
    """
    keep_heap()
    pipelines: dict[str, Pipeline] = {}
    for alias in tailed(config, databases):
        own, own_health = metrics.database(alias), health.source(alias)
        own.ready.set_function(partial(_ready, own_health, health.ready_lag))
        pipelines[alias] = Pipeline(
            alias,
            source_of(config, alias, own),
            logs(alias),
            own_health,
            own,
            snapshots=snapshots.get(alias),
            reset_position=reset_position,
            begins_anew=config.databases[alias].begins_anew,
        )
    failures: list[Exception] = []

    async def run(pipeline: Pipeline) -> None:
        try:
            await pipeline.run()
        except Exception as error:
            failures.append(error)

    async with asyncio.TaskGroup() as group:
        telling = group.create_task(tell_progress(health, snapshots))
        async with asyncio.TaskGroup() as running:
            for pipeline in pipelines.values():
                running.create_task(run(pipeline))
        telling.cancel()
    if failures:
        raise failures[0]


def _ready(health: SourceHealth, ready_lag: float) -> float:
    return float(health.ready(time.time(), ready_lag))


def snapshots_of(config: Config, databases: Sequence[str] | None = None) -> dict[str, Snapshots]:
    """By alias the snapshots of each of these databases. Raises as `tailed`."""
    found: dict[str, Snapshots] = {}
    for alias in tailed(config, databases):
        database = config.databases[alias]
        live = config.realtime_collections(alias)
        initial = [name for name in live if database.collections[name].is_snapshotted]
        found[alias] = Snapshots(alias, _chunks_of(config, alias), live, initial)
    return found


def _chunks_of(config: Config, alias: str) -> Callable[[], ChunkReader]:
    if config.databases[alias].type == "mongo":
        from cdc.mongo.chunks import MongoChunks
        from cdc.mongo.target import Target as MongoTarget

        return partial(MongoChunks, MongoTarget.of(config, alias))
    if config.databases[alias].type == "mysql":
        from cdc.mysql.chunks import MysqlChunks
        from cdc.mysql.target import Target as MysqlTarget

        return partial(MysqlChunks, MysqlTarget.of(config, alias))
    from cdc.postgres.chunks import PostgresChunks
    from cdc.postgres.target import Target

    return partial(PostgresChunks, Target.of(config, alias))


def source_of(config: Config, alias: str, metrics: DatabaseMetrics) -> Source:
    """The source of this database. Raises ConfigError if its connection string cannot be used."""
    match config.databases[alias].type:
        case "mongo":
            from cdc.mongo.source import MongoSource
            from cdc.mongo.target import Target as MongoTarget

            return MongoSource(MongoTarget.of(config, alias))
        case "mysql":
            from cdc.mysql.source import MysqlSource
            from cdc.mysql.target import Target as MysqlTarget

            return MysqlSource(MysqlTarget.of(config, alias), metrics)
        case _:
            from cdc.postgres.source import PostgresSource
            from cdc.postgres.target import Target

            return PostgresSource(Target.of(config, alias), metrics)


async def requirements_of(config: Config, alias: str) -> list[Requirement]:
    """Every requirement of this database as it stands. Raises ConfigError, SourceUnavailable."""
    match config.databases[alias].type:
        case "mongo":
            from cdc.mongo.setup import check as check_mongo
            from cdc.mongo.target import Target as MongoTarget

            return await check_mongo(MongoTarget.of(config, alias))
        case "mysql":
            from cdc.mysql.setup import check as check_mysql
            from cdc.mysql.target import Target as MysqlTarget

            return await check_mysql(MysqlTarget.of(config, alias))
        case _:
            from cdc.postgres.setup import check
            from cdc.postgres.target import Target

            return await check(Target.of(config, alias))


def whereabouts_of(config: Config, alias: str) -> tuple[str, str]:
    """(where this database is and as whom we are there, without any secret; its name, empty if `conn` gives none).
    Raises ConfigError."""
    conn = config.databases[alias].conn.reveal()
    match config.databases[alias].type:
        case "mongo":
            from cdc.mongo.connect import describe as describe_mongo
            from cdc.mongo.target import database_name

            return describe_mongo(conn), database_name(conn)
        case "mysql":
            from cdc.mysql.target import Target

            target = Target.of(config, alias)
            return target.where, target.database
        case _:
            from cdc.postgres.connect import describe
            from cdc.postgres.connect import parse as parameters

            return describe(conn), str(parameters(conn).get("dbname") or "")


async def inventory_of(config: Config, alias: str) -> dict[str, str]:
    """The collections that this database has: by name, how `requirements_of` calls each. Raises ConfigError,
    SourceUnavailable."""
    match config.databases[alias].type:
        case "mongo":
            from cdc.mongo.inventory import inventory as mongo_inventory
            from cdc.mongo.target import Target as MongoTarget

            return await mongo_inventory(MongoTarget.of(config, alias))
        case "mysql":
            from cdc.mysql.inventory import inventory as mysql_inventory
            from cdc.mysql.target import Target as MysqlTarget

            return await mysql_inventory(MysqlTarget.of(config, alias))
        case _:
            from cdc.postgres.inventory import inventory
            from cdc.postgres.target import Target

            return await inventory(Target.of(config, alias))


async def status_of(config: Config, alias: str, after: Position | None) -> list[Fact]:
    """How this database stands to its tailer, whose log ends at `after`. Raises ConfigError, SourceUnavailable."""
    match config.databases[alias].type:
        case "mongo":
            from cdc.mongo.status import status as mongo_status
            from cdc.mongo.target import Target as MongoTarget

            return await mongo_status(MongoTarget.of(config, alias), after)
        case "mysql":
            from cdc.mysql.status import status as mysql_status
            from cdc.mysql.target import Target as MysqlTarget

            return await mysql_status(MysqlTarget.of(config, alias), after)
        case _:
            from cdc.postgres.status import status
            from cdc.postgres.target import Target

            return await status(Target.of(config, alias), after)


def place_of(config: Config, alias: str, position: Position) -> str:
    """A position of this database as it writes it."""
    match config.databases[alias].type:
        case "mongo":
            from cdc.mongo.status import place as mongo_place

            return mongo_place(position)
        case "mysql":
            from cdc.mysql.status import place as mysql_place

            return mysql_place(position)
        case _:
            from cdc.postgres.status import place

            return place(position)
