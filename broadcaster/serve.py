"""Wires a broadcaster together: feeds on the logs, readers on the databases, the hub between, HTTP in front."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from broadcaster.app import App
from broadcaster.console import Console
from broadcaster.feed import Feed
from broadcaster.hub import Hub
from broadcaster.metrics import Metrics
from broadcaster.snapshot.reader import SnapshotReader
from broadcaster.subscription import Subscription
from broadcaster.worker import Worker
from cdc.config import Config
from cdc.connector import connector_of
from cdc.log import EventLog
from cdc.process import listen

Report = Callable[[], Mapping[str, Any]]


async def serve(
    config: Config,
    logs: Callable[[str], EventLog],
    registry: CollectorRegistry,
    address: tuple[str, int],
    *,
    on_ready: Callable[[], None] | None = None,
    extend: Callable[[web.Application], None] | None = None,
    tailer: Report | None = None,
    worker: Worker | None = None,
    open_console: bool = False,
) -> None:
    """Serve until cancelled.

    on_ready: called once, when the server listens and all logs are read to their end; extend: adds routes;
    tailer: the readiness report of tailers in the same process; worker: which one this is, of several on the address;
    open_console: the console is for everybody, not for those whom the configuration lets use it.
    Raises ConfigError where the address cannot be used.
    """
    metrics = Metrics(registry)
    limits = config.realtime.limits

    def restart(subscription: Subscription, reason: str) -> None:
        hub.restart(subscription, reason)

    def refill(subscription: Subscription) -> None:
        hub.refill(subscription)

    feeds = {
        alias: Feed(
            alias,
            logs(alias),
            metrics,
            restart=restart,
            refill=refill,
            limits=limits,
        )
        for alias in config.databases
        if config.realtime_collections(alias)
    }
    hub = Hub(feeds, {alias: _reader(config, alias) for alias in feeds}, limits, metrics)
    app = App(config, hub, metrics, registry, lambda: _readiness(hub, tailer), worker)
    application = app.web_app()
    if extend is not None:
        extend(application)
    if open_console or config.realtime.console is not None:
        Console(
            config,
            hub,
            app.access,
            lambda: _readiness(hub, tailer),
            lambda alias: _requirements(config, alias),
            address[0] if open_console else None,
        ).add_to(application)
    runner = app.runner(application)
    try:
        async with contextlib.nullcontext() if app.siblings is None else app.siblings.told():
            await listen(runner, address, shared=worker is not None)
            async with asyncio.TaskGroup() as group:
                group.create_task(hub.run())
                if on_ready is not None:
                    for feed in feeds.values():
                        await feed.boundary()
                    on_ready()
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(runner.cleanup())
        await hub.close()


def _reader(config: Config, alias: str) -> SnapshotReader:
    """The reader of this database. What it needs is imported here: no driver is loaded that nobody uses."""
    if config.databases[alias].type == "mongo":
        from broadcaster.snapshot.mongo import MongoReader
        from cdc.mongo.target import Target as MongoTarget

        return MongoReader(MongoTarget.of(config, alias))
    if config.databases[alias].type == "mysql":
        from broadcaster.snapshot.mysql import MysqlReader
        from cdc.mysql.target import Target as MysqlTarget

        return MysqlReader(MysqlTarget.of(config, alias))
    from broadcaster.snapshot.postgres import PostgresReader
    from cdc.postgres.target import Target

    target = Target.of(config, alias)
    tables = {collection: name for name, collection in target.tables.items()}
    return PostgresReader(alias, target.conn, target.publication, tables)


async def _requirements(config: Config, alias: str) -> list[dict[str, Any]]:
    return [asdict(requirement) for requirement in await connector_of(config, alias).requirements()]


def base_url(address: tuple[str, int]) -> str:
    """Where a browser on this machine finds what listens there. (pure)"""
    host, port = address
    if host in ("127.0.0.1", "0.0.0.0", "::", "::1"):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _readiness(hub: Hub, tailer: Report | None) -> dict[str, Any]:
    databases: dict[str, Any] = {}
    for alias, feed in hub.feeds.items():
        complaint = hub.complaints[alias]
        databases[alias] = {"logRead": feed.reached_end, "reachable": complaint is None}
        if reasons := [reason for reason in (complaint, feed.complaint) if reason is not None]:
            databases[alias]["reason"] = "; ".join(reasons)
    report: dict[str, Any] = {
        "ready": all(one["logRead"] and one["reachable"] for one in databases.values()),
        "databases": databases,
    }
    if tailer is not None:
        report["tailer"] = tailer()
        report["ready"] = report["ready"] and report["tailer"]["ready"]
    return report
