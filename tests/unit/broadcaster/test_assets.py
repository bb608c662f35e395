"""Files for browsers."""

from __future__ import annotations

import aiohttp
import pytest
from test_app import BASE, serving


@pytest.mark.parametrize(
    ("path", "kind", "word"),
    [("/livetail.js", "text/javascript", "export class API"), ("/livetail.d.ts", "text/plain", "class API")],
)
async def test_the_client_is_for_pages_of_all_origins(path: str, kind: str, word: str) -> None:
    async with serving() as server, aiohttp.ClientSession() as session:
        headers = {"Origin": "https://elsewhere.example"}
        async with session.get(server.url + path, headers=headers) as response:
            assert response.status == 200
            assert response.content_type == kind
            assert response.headers["Access-Control-Allow-Origin"] == "*"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert word in await response.text()
            tag = response.headers["ETag"]
        async with session.get(server.url + path, headers={"If-None-Match": tag}) as response:
            assert response.status == 304
            assert await response.read() == b""


async def test_of_several_live_queries_the_one_that_is_refused_is_named() -> None:
    subscriptions = [{"id": name, "db": "pg", "col": name} for name in ("todos", "secrets")]
    async with serving() as server, aiohttp.ClientSession() as session:
        async with session.post(server.url + BASE, json={"subscriptions": subscriptions}) as response:
            assert response.status == 403
            assert (await response.json())["error"]["path"] == "$.subscriptions[1]"
        async with session.get(f"{server.url}{BASE}/pg/secrets") as response:
            assert "path" not in (await response.json())["error"]
