"""Who may ask for a snapshot, and what is answered."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import jwt
import pytest
from aiohttp import web

from cdc.config import Config
from cdc.config_parse import parse
from cdc.errors import ConfigError, SourceUnavailable
from cdc.snapshot.ask import ask_for_snapshot
from cdc.snapshot.permit import HEADER, Permit
from cdc.snapshot.progress import Reading
from cdc.snapshot.routes import snapshot_routes

SECRET = "a secret of thirty-two bytes, or more"


class Told:
    """Snapshots that say what a test wants."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.readings = [Reading(rows=5), Reading(rows=9, done=True)]
        self.is_open = True

    def begin(self, collection: str) -> Reading:
        if not self.is_open:
            raise SourceUnavailable("db is not streamed here now; see /readyz")
        self.begun.append(collection)
        return Reading()

    def reading(self, collection: str) -> Reading | None:
        return self.readings.pop(0) if self.readings else None


def config(secret: str | None = None) -> Config:
    live = {"isRealtimeEnabled": True, "rules": {"read": {"rule": "allow"}}}
    crud = {"pg": {"conn": "postgresql://h/d", "collections": {"todos": live, "asleep": {}}}}
    top = {"id": "todo-app", "modules": {"crud": crud}}
    return parse(json.dumps(top if secret is None else {**top, "secret": secret}), {})


@asynccontextmanager
async def tailer(told: Told, secret: str | None = None) -> AsyncIterator[int]:
    app = web.Application()
    app.add_routes(snapshot_routes(config(secret), {"pg": told}))  # type: ignore[dict-item]
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def status(port: int, headers: dict[str, str]) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{port}/v1/snapshot/pg/todos", headers=headers) as response,
    ):
        return response.status


@pytest.mark.parametrize("secret", [None, SECRET])
async def test_it_is_asked_for_and_followed(secret: str | None) -> None:
    told, said = Told(), list[str]()
    async with tailer(told, secret) as port:
        await ask_for_snapshot(config(secret), ("127.0.0.1", port), "pg", "todos", said.append)
    assert told.begun == ["todos"]
    assert said == ["5 rows", "9 rows", "done"]


async def test_what_is_not_there_or_not_now() -> None:
    told = Told()
    async with tailer(told) as port:
        for database, collection in (("pg", "asleep"), ("pg", "none"), ("other", "todos")):
            with pytest.raises(ConfigError, match="no live collection"):
                await ask_for_snapshot(config(), ("127.0.0.1", port), database, collection, print)
        told.readings = []
        with pytest.raises(ConfigError, match="no snapshot was asked for"):
            await ask_for_snapshot(config(), ("127.0.0.1", port), "pg", "todos", print)
        told.is_open = False
        with pytest.raises(SourceUnavailable, match="not streamed here"):
            await ask_for_snapshot(config(), ("127.0.0.1", port), "pg", "todos", print)
    with pytest.raises(SourceUnavailable, match=f"the tailer at 127.0.0.1:{port} does not answer"):
        await ask_for_snapshot(config(), ("127.0.0.1", port), "pg", "todos", print)


async def test_with_a_secret_nobody_else_may_ask() -> None:
    told = Told()
    client = jwt.encode({"sub": "ann", "exp": time.time() + 60}, SECRET)
    wrong = [
        {},
        {HEADER: "1"},
        {HEADER: "1", "Authorization": f"Bearer {client}"},
        Permit(config("b" * 40)).headers(),
        {name: value for name, value in Permit(config(SECRET)).headers().items() if name != HEADER},
    ]
    async with tailer(told, SECRET) as port:
        assert [await status(port, headers) for headers in wrong] == [401] * 5
        assert told.begun == []
        assert await status(port, Permit(config(SECRET)).headers()) == 202


async def test_without_one_only_this_machine_may_and_no_page_in_its_browser() -> None:
    told = Told()
    async with tailer(told) as port:
        assert await status(port, {}) == 401
        assert await status(port, {HEADER: "1", "Host": "evil.example"}) == 401
        assert await status(port, {HEADER: "1", "Host": "localhost"}) == 202
        assert await status(port, {HEADER: "1"}) == 202
