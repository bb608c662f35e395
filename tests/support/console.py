"""The console on a hub without network and database, and tokens for it."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from prometheus_client import CollectorRegistry

from broadcaster.app import App
from broadcaster.console import Console
from broadcaster.metrics import Metrics
from cdc.config_parse import parse
from support.hub_world import World

SECRET = "a secret of more than thirty-two bytes"
CONFIG: dict[str, Any] = {
    "id": "todo-app",
    "secret": SECRET,
    "modules": {
        "crud": {
            "pg": {
                "conn": "postgresql://u:p@localhost/app",
                "collections": {"todos": {"isRealtimeEnabled": True, "rules": {"read": {"rule": "allow"}}}},
            }
        }
    },
}


class Requirements:
    """What a check would find, and how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Exception | None = None

    async def of(self, alias: str) -> Sequence[Mapping[str, Any]]:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return [{"name": f"{alias} version", "ok": True, "detail": "18", "fix": ""}]


@asynccontextmanager
async def serving(
    console: Any = None, host: str | None = "127.0.0.1"
) -> AsyncIterator[tuple[str, World, Requirements]]:
    """The server's address. console: as in the configuration; host: None: who may use it is told there."""
    realtime = {} if console is None else {"console": console}
    config = parse(json.dumps({**CONFIG, "modules": {**CONFIG["modules"], "realtime": realtime}}), {})
    report = {
        "ready": True,
        "databases": {"pg": {"logRead": True, "reachable": True}},
        "tailer": {"databases": {"pg": {"state": "streaming", "ready": True, "lagSeconds": 0.004}}},
    }
    requirements = Requirements()
    async with World() as world:
        registry = CollectorRegistry()
        app = App(config, world.hub, Metrics(registry), registry, lambda: report)
        application = app.web_app()
        Console(config, world.hub, app.access, lambda: report, requirements.of, host).add_to(application)
        runner = app.runner(application)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}", world, requirements
        finally:
            await runner.cleanup()


def bearer(**claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {jwt.encode({'exp': time.time() + 3600, **claims}, SECRET)}"}
