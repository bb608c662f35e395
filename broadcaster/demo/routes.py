"""The demo's page, and the small routes by which the page writes to the demo's table."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Any, Final, TypeVar

import msgspec
import psycopg
from aiohttp import web

from broadcaster.demo import todos

_WRITER_PAUSE: Final = (0.15, 0.5)
_TITLE_CHARS: Final = 200
_T = TypeVar("_T")


class _New(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    priority: int = 2


class _Changed(msgspec.Struct, forbid_unknown_fields=True):
    title: str | msgspec.UnsetType = msgspec.UNSET
    done: bool | msgspec.UnsetType = msgspec.UNSET
    priority: int | msgspec.UnsetType = msgspec.UNSET


class _Writer(msgspec.Struct, forbid_unknown_fields=True):
    on: bool


class DemoRoutes:
    """url: the demo's database; facts: what the page shows (`psql`, `curl`, `version`)."""

    def __init__(self, url: str, facts: dict[str, str]) -> None:
        self._url = url
        self._facts = facts
        self._writer: asyncio.Task[None] | None = None

    def add_to(self, app: web.Application) -> None:
        """Add the page at `/` and its routes."""
        app.router.add_get("/", self._page)
        app.router.add_get("/demo/facts", self._get_facts)
        app.router.add_post("/demo/todos", self._insert)
        app.router.add_patch("/demo/todos/{id:\\d{1,18}}", self._update)
        app.router.add_delete("/demo/todos/{id:\\d{1,18}}", self._delete)
        app.router.add_post("/demo/writer", self._switch)
        app.on_cleanup.append(self._stop)

    async def _page(self, _: web.Request) -> web.Response:
        text = files("broadcaster").joinpath("static/demo.html").read_text("utf-8")
        return web.Response(
            text=text,
            content_type="text/html",
            headers={
                "Content-Security-Policy": "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
                "Cache-Control": "no-cache",
            },
        )

    async def _get_facts(self, request: web.Request) -> web.Response:
        if refusal := _foreign(request):
            return refusal
        return web.json_response(self._facts | {"writer": self._writer is not None})

    async def _insert(self, request: web.Request) -> web.Response:
        new = await _body(request, _New)
        if isinstance(new, web.Response):
            return new
        if refusal := _unfit(new.title, new.priority):
            return refusal
        async with self._connection() as connection:
            await todos.insert(connection, new.title.strip(), new.priority)
        return web.json_response({})

    async def _update(self, request: web.Request) -> web.Response:
        changed = await _body(request, _Changed)
        if isinstance(changed, web.Response):
            return changed
        values: dict[str, Any] = {
            name: value
            for name, value in msgspec.structs.asdict(changed).items()
            if value is not msgspec.UNSET
        }
        if refusal := _unfit(values.get("title", "-"), values.get("priority", 1)):
            return refusal
        if not values:
            return _refuse(400, "nothing to change: give title, done or priority")
        async with self._connection() as connection:
            found = await todos.update(connection, int(request.match_info["id"]), values)
        return web.json_response({}) if found else _refuse(404, "there is no such row any more")

    async def _delete(self, request: web.Request) -> web.Response:
        if refusal := _foreign(request):
            return refusal
        async with self._connection() as connection:
            found = await todos.delete(connection, int(request.match_info["id"]))
        return web.json_response({}) if found else _refuse(404, "there is no such row any more")

    async def _switch(self, request: web.Request) -> web.Response:
        switch = await _body(request, _Writer)
        if isinstance(switch, web.Response):
            return switch
        await self._stop(request.app)
        if switch.on:
            self._writer = asyncio.create_task(self._write())
        return web.json_response({"on": switch.on})

    async def _write(self) -> None:
        chance = random.Random()
        while True:
            with contextlib.suppress(psycopg.Error):
                async with self._connection() as connection:
                    while True:
                        await todos.random_step(connection, chance)
                        await asyncio.sleep(chance.uniform(*_WRITER_PAUSE))
            await asyncio.sleep(1)

    async def _stop(self, _: web.Application) -> None:
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.wait({self._writer})
            self._writer = None

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        async with await psycopg.AsyncConnection.connect(
            self._url, autocommit=True, application_name="livetail demo page"
        ) as connection:
            yield connection


async def _body(request: web.Request, kind: type[_T]) -> _T | web.Response:
    if refusal := _foreign(request):
        return refusal
    if request.content_type != "application/json":
        return _refuse(415, "send application/json")
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        return _refuse(400, str(error))


def _foreign(request: web.Request) -> web.Response | None:
    """These routes write without asking who is there, so other sites' pages must not reach them."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.host:
        return _refuse(403, "only the demo's own page may do this")
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return _refuse(403, "only the demo's own page may do this")
    return None


def _unfit(title: str, priority: int) -> web.Response | None:
    if not title.strip() or len(title) > _TITLE_CHARS or "\0" in title:
        return _refuse(400, f"a title has 1 to {_TITLE_CHARS} characters")
    if not 1 <= priority <= 4:
        return _refuse(400, "a priority is 1 to 4")
    return None


def _refuse(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"message": message}}, status=status)
