"""The demo's routes, as far as they need no database: who may send what."""

from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from broadcaster.app import App
from broadcaster.demo.postgres_todos import PostgresTable
from broadcaster.demo.routes import DemoRoutes
from broadcaster.metrics import Metrics
from cdc.config_parse import parse
from tests.support.hub_world import World

NOWHERE = "postgresql://u:p@127.0.0.1:1/app?connect_timeout=2"
CONFIG = """
id: todo-app
modules:
  realtime: {enabled: true}
  crud: {pg: {conn: "postgresql://u:p@localhost/app", collections: {todos: {isRealtimeEnabled: true}}}}
"""
FACTS = {"product": "Postgres", "change": "psql …", "curl": "curl …", "examples": ["TRUNCATE"]}


@asynccontextmanager
async def serving():
    config = parse(CONFIG, {})
    async with World() as world:
        registry = CollectorRegistry()
        metrics = Metrics(registry)
        app = App(config, world.hub, metrics, registry, lambda: {"ready": True})
        application = app.web_app()
        DemoRoutes(PostgresTable(NOWHERE, NOWHERE), FACTS, "demo.example").add_to(application)
        runner = app.runner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
                yield session
        finally:
            await runner.cleanup()


async def refusal(response):
    """(status, message, path) of a refused request."""
    error = (await response.json())["error"]
    return response.status, error["message"], error.get("path")


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/demo.css", "text/css"), ("/demo.js", "text/javascript")],
)
async def test_the_page_needs_nothing_from_elsewhere(path, kind):
    async with serving() as session, session.get(path) as response:
        assert response.status == 200
        assert response.content_type == kind
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        text = (await response.text()).replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in text
        assert "http://" not in text


@pytest.mark.parametrize("path", ["/demo.py", "/demo.html", "/demo/../demo.js/", "/demoXjs"])
async def test_nothing_else_is_served(path):
    async with serving() as session, session.get(path) as response:
        assert response.status == 404


async def test_facts():
    async with serving() as session, session.get("/demo/facts") as response:
        assert await response.json() == {**FACTS, "writer": False}


@pytest.mark.parametrize(
    ("body", "message", "path"),
    [
        (b"", "truncated", "$"),
        (b"[]", "Expected `object`", "$"),
        (b'{"priority": 1}', "missing required field `title`", "$"),
        (b'{"title": 7}', "Expected `str`", "$"),
        (b'{"title": "a", "owner": "x"}', "unknown field `owner`", "$"),
        (b'{"title": "a\xff"}', "", "$"),
        (b'{"title": "a\\ud800"}', "", "$"),
        (b'{"title": "  "}', "1 to 200 characters", "$.title"),
        (b'{"title": "a\\u0000b"}', "1 to 200 characters", "$.title"),
        (b'{"title": "%s"}' % (b"a" * 201), "1 to 200 characters", "$.title"),
        (b'{"title": "a", "priority": 0}', "1 to 4", "$.priority"),
        (b'{"title": "a", "priority": 5}', "1 to 4", "$.priority"),
        (b'{"title": "a", "priority": true}', "Expected `int`", "$"),
    ],
)
async def test_a_bad_todo_is_refused_with_its_reason(body, message, path):
    headers = {"Content-Type": "application/json"}
    async with serving() as session, session.post("/demo/todos", data=body, headers=headers) as response:
        status, given, where = await refusal(response)
        assert (status, where) == (400, path)
        assert message in given


async def test_a_change_of_nothing_is_refused():
    async with serving() as session, session.patch("/demo/todos/1", json={}) as response:
        assert await refusal(response) == (400, "nothing to change: give title, done or priority", "$")


async def test_only_json_is_taken():
    async with serving() as session, session.post("/demo/todos", data={"title": "a form"}) as response:
        assert response.status == 415
        assert "application/json" in (await refusal(response))[1]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "evil.example", "Origin": "http://evil.example"},  # a name that resolves to this machine
        {"Host": "evil.example"},
    ],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/demo/facts"),
        ("POST", "/demo/todos"),
        ("PATCH", "/demo/todos/1"),
        ("DELETE", "/demo/todos/1"),
        ("POST", "/demo/writer"),
    ],
)
async def test_other_sites_are_refused(method, path, headers):
    async with serving() as session:
        async with session.request(method, path, json={"title": "a"}, headers=headers) as response:
            assert (await refusal(response))[:2] == (403, "only this server's own page may do this")


@pytest.mark.parametrize("host", ["localhost:4122", "127.0.0.1", "[::1]:4122", "demo.example:4122"])
async def test_the_demos_own_names_are_fine(host):
    headers = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    async with serving() as session, session.get("/demo/facts", headers=headers) as response:
        assert response.status == 200


async def test_a_database_that_is_down_is_told_without_its_password():
    async with serving() as session, session.post("/demo/todos", json={"title": "a"}) as response:
        assert response.headers["Retry-After"]
        assert await refusal(response) == (503, "the demo's Postgres does not answer", None)


async def test_the_writer_waits_for_a_database_that_is_down_and_stops_with_the_server():
    async with serving() as session:
        for _ in range(2):
            async with session.post("/demo/writer", json={"on": True}) as response:
                assert await response.json() == {"on": True}
        async with session.get("/demo/facts") as response:
            assert (await response.json())["writer"] is True
