"""The HTTP side over real sockets, on a memory log and a reader that answers from a table."""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
from prometheus_client import CollectorRegistry

from broadcaster.app import App
from broadcaster.metrics import Metrics
from cdc.config_parse import parse
from support.hub_world import World

CONFIG = """
id: todo-app
modules:
  realtime:
    heartbeat: 200ms
    cors: {origins: ["https://app.example.com"]}
    limits: {subscriptionsPerConnection: 3, requestBytes: 2KiB, unsentBytes: 64KiB, connections: 4}
  crud:
    pg:
      conn: postgresql://u:p@localhost/app
      collections:
        todos: {isRealtimeEnabled: true, rules: {read: {rule: allow}}}
        secrets: {isRealtimeEnabled: true, rules: {read: {rule: deny}}}
        silent: {isRealtimeEnabled: true}
        plain: {}
"""
BASE = "/v1/api/todo-app/realtime"


class Server:
    def __init__(self, world, url, app, runner, registry):
        self.world, self.url, self.app, self.runner, self.registry = world, url, app, runner, registry


@asynccontextmanager
async def serving(ready=True):
    config = parse(CONFIG, {})
    async with World() as world:
        registry = CollectorRegistry()
        metrics = Metrics(registry)
        app = App(config, world.hub, metrics, registry, lambda: {"ready": ready, "databases": {}})
        runner = app.runner(app.web_app())
        await runner.setup()
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        try:
            yield Server(world, f"http://127.0.0.1:{port}", app, runner, registry)
        finally:
            await runner.cleanup()


async def frames(response, count):
    """The first `count` events as (event, data, id)."""
    out, fields = [], {}
    async with asyncio.timeout(5):
        async for raw in response.content:
            line = raw.decode().rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "event" in fields:
                out.append((fields["event"], json.loads(fields["data"]), fields.get("id")))
                fields = {}
                if len(out) == count:
                    return out
            else:
                fields = {}
    return out
