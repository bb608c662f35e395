"""The console's routes: what they tell, and to whom."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from cdc.errors import SourceUnavailable
from support.console import bearer, serving

ADMIN = {"rule": "match", "eval": "==", "type": "string", "f1": "args.auth.role", "f2": "admin"}


async def get(url: str, **headers: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as response:
        return response.status, await response.json()


async def test_it_tells_of_databases_and_live_queries() -> None:
    async with serving() as (url, _, _), aiohttp.ClientSession() as session:
        where = {"done": False, "$or": [{"b": None}, {"a": {"$gt": 1}}]}
        bodies = [
            {"id": "a", "db": "pg", "col": "todos", "where": where},
            {"id": "b", "db": "pg", "col": "todos", "options": {"sort": ["-a"], "limit": 3}},
            {"id": "c", "db": "pg", "col": "todos", "where": where},
        ]
        stream = f"{url}/v1/api/todo-app/realtime"
        async with session.post(stream, json={"subscriptions": bodies}) as response:
            seen = b""
            while seen.count(b"event: ready") < 3:
                seen += await response.content.readany()
            status, body = await get(f"{url}/console/status")
    assert status == 200
    [database] = body["databases"]
    assert database["alias"] == "pg"
    assert database["type"] == "postgres"
    assert database["collections"] == ["todos"]
    assert database["tailer"]["lagSeconds"] == 0.004
    assert body["project"] == "todo-app"
    assert body["queries"]["count"] == 2
    first, second = body["queries"]["most"]
    assert (first["subscribers"], first["index"], first["where"]) == (2, "equality", where)
    assert (second["subscribers"], second["index"], second["where"]) == (1, "scan", {})
    assert (second["sort"], second["limit"]) == (["-a"], 3)


async def test_the_databases_are_asked_once_however_many_want_to_know() -> None:
    async with serving() as (url, _, requirements):
        for _ in range(3):
            assert (await get(f"{url}/console/check"))[1]["pg"][0]["detail"] == "18"
        assert requirements.asked == 1


async def test_a_database_that_cannot_be_asked_is_told() -> None:
    async with serving() as (url, _, requirements):
        requirements.error = SourceUnavailable("the database cannot be reached")
        [found] = (await get(f"{url}/console/check"))[1]["pg"]
        assert not found["ok"]
        assert found["detail"] == "the database cannot be reached"


@pytest.mark.parametrize("path", ["/console/status", "/console/check"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "elsewhere.example"},
    ],
)
async def test_other_sites_learn_nothing(path: str, headers: dict[str, str]) -> None:
    async with serving() as (url, _, _):
        status, body = await get(url + path, **headers)
        assert (status, body["error"]["code"]) == (403, "access_denied")


async def test_the_page_may_load_nothing_from_elsewhere() -> None:
    files = ("base.css", "console.css", "console.js", "console-code.js", "console-json.js", "page.js")
    async with serving() as (url, _, _), aiohttp.ClientSession() as session:
        for path in ("/", "/console", *(f"/console/{name}" for name in files)):
            async with session.get(url + path) as response:
                assert response.status == 200, path
                policy = response.headers["Content-Security-Policy"]
                assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
                assert "require-trusted-types-for 'script'" in policy
                assert "http://" not in (await response.text()).replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("console", "headers", "code"),
    [
        (True, {}, "unauthenticated"),
        (True, {"Authorization": "Bearer nonsense"}, "unauthenticated"),
        (True, bearer(), None),
        (ADMIN, bearer(), "access_denied"),
        (ADMIN, bearer(role="admin"), None),
        ({**ADMIN, "f1": "args.doc.role"}, bearer(role="admin"), "access_denied"),
        ({"rule": "allow"}, {}, None),
    ],
)
async def test_in_production_a_rule_decides(console: Any, headers: dict[str, str], code: str | None) -> None:
    async with serving(console, None) as (url, _, _):
        for path in ("status", "check"):
            status, body = await get(f"{url}/console/{path}", **headers)
            assert body.get("error", {}).get("code") == code
            assert (status == 200) == (code is None)
