"""Tailers and broadcaster in one process, over the embedded log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from aiohttp import web
from prometheus_client import CollectorRegistry

from broadcaster.serve import serve
from cdc.config import Config
from cdc.health import Health
from cdc.logs import Logs
from cdc.metrics import Metrics
from cdc.runner import run_tailer, snapshots_of
from cdc.snapshot.routes import snapshot_routes


async def serve_dev(
    config: Config,
    *,
    listen: tuple[str, int],
    log_dir: Path,
    reset_position: bool = False,
    on_ready: Callable[[], None] | None = None,
    extend: Callable[[web.Application], None] | None = None,
) -> None:
    """Tail and serve until cancelled. Raises ConfigError where it cannot be, PositionLost when an operator must
    choose. `on_ready` and `extend` are those of `serve`."""
    registry = CollectorRegistry()
    health = Health(config.realtime.ready_lag)
    logs = Logs(config, log_dir)
    snapshots = snapshots_of(config)

    def add_routes(app: web.Application) -> None:
        app.add_routes(snapshot_routes(config, snapshots))
        if extend is not None:
            extend(app)

    async with asyncio.TaskGroup() as group:
        group.create_task(
            run_tailer(
                config, None, logs, Metrics(registry), health, snapshots, reset_position=reset_position
            )
        )
        group.create_task(
            serve(
                config,
                logs,
                registry,
                listen,
                on_ready=on_ready,
                extend=add_routes,
                open_console=True,
                tailer=lambda: health.report(time.time()),
            )
        )
