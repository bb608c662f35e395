"""Runs tailers with their HTTP beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import web
from prometheus_client import CollectorRegistry

from cdc.config import Config
from cdc.health import Health
from cdc.log import EventLog
from cdc.metrics import Metrics
from cdc.process import listen
from cdc.runner import run_tailer, snapshots_of
from cdc.snapshot.routes import snapshot_routes
from cdc.web import application


async def serve_tailers(
    config: Config,
    databases: Sequence[str] | None,
    logs: Callable[[str], EventLog],
    address: tuple[str, int],
    *,
    reset_position: bool = False,
) -> None:
    """Tail `databases` (None: all that are live) until cancelled, or until no source can go on.

    Raises ConfigError, PositionLost, ProtocolError.
    """
    registry = CollectorRegistry()
    health, metrics = Health(config.realtime.ready_lag), Metrics(registry)
    snapshots = snapshots_of(config, databases)
    app = application(health, registry)
    app.add_routes(snapshot_routes(config, snapshots))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    try:
        await listen(runner, address)
        await run_tailer(
            config,
            databases,
            logs,
            metrics,
            health,
            snapshots,
            reset_position=reset_position,
        )
    finally:
        await runner.cleanup()
