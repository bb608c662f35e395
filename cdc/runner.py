"""Runs all tailers of a configuration."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from cdc.config import Config
from cdc.connector import connector_of
from cdc.errors import ConfigError
from cdc.health import Health, SourceHealth
from cdc.heap import keep_heap
from cdc.log import EventLog
from cdc.metrics import Metrics
from cdc.pipeline import Pipeline
from cdc.progress import tell_progress
from cdc.snapshot.snapshots import Snapshots


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
            connector_of(config, alias).source(own),
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
        found[alias] = Snapshots(alias, connector_of(config, alias).chunks(), live, initial)
    return found
