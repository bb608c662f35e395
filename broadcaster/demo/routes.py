"""The demo's page, and the small routes by which the page writes to the demo's table."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, TypeVar

import msgspec
from aiohttp import web

from broadcaster.assets import add_assets
from broadcaster.demo import todos
from broadcaster.demo.database import DemoDatabaseDown, DemoDatabaseRefuses, DemoTable, Todos
from broadcaster.errors import RequestError
from broadcaster.sender import check_sender

_WRITER_PAUSE: Final = (0.15, 0.5)
_WRITER_RETRY_SECONDS: Final = 1.0
_T = TypeVar("_T")


class _New(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    priority: int = 2


class _Changed(msgspec.Struct, forbid_unknown_fields=True):
    title: str | msgspec.UnsetType = msgspec.UNSET
    done: bool | msgspec.UnsetType = msgspec.UNSET
    priority: int | msgspec.UnsetType = msgspec.UNSET

    def values(self) -> dict[str, Any]:
        """The columns to set."""
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: value for name, value in given.items() if value is not msgspec.UNSET}


class _Writer(msgspec.Struct, forbid_unknown_fields=True):
    on: bool


class DemoRoutes:
    """table: the demo's; facts: what the page is to know and to show; host: the name or address that the demo listens
    on."""

    def __init__(self, table: DemoTable, facts: Mapping[str, Any], host: str) -> None:
        self._table = table
        self._facts = facts
        self._host = host
        self._writer: asyncio.Task[None] | None = None

    def add_to(self, app: web.Application) -> None:
        """Add the page at `/` and its routes."""
        add_assets(app, {"/": "demo.html", "/demo.css": "demo.css", "/demo.js": "demo.js"})
        app.router.add_get("/demo/facts", self._get_facts)
        app.router.add_post("/demo/todos", self._insert)
        todo = f"/demo/todos/{{id:{self._table.key_pattern}}}"
        app.router.add_patch(todo, self._update)
        app.router.add_delete(todo, self._delete)
        app.router.add_post("/demo/writer", self._switch)
        app.on_cleanup.append(self._stop)

    async def _get_facts(self, request: web.Request) -> web.Response:
        check_sender(request, self._host)
        return web.json_response({**self._facts, "writer": self._writer is not None})

    async def _insert(self, request: web.Request) -> web.Response:
        new = await self._body(request, _New)
        values = _fit({"title": new.title, "priority": new.priority})
        async with self._todos() as table:
            todo = await table.insert(values["title"], values["priority"], todos.OWNER)
        return web.json_response({"id": todo}, status=201)

    async def _update(self, request: web.Request) -> web.Response:
        values = _fit((await self._body(request, _Changed)).values())
        if not values:
            raise RequestError("bad_request", "nothing to change: give title, done or priority", "$")
        todo = self._table.key(request.match_info["id"])
        async with self._todos() as table:
            if not await table.update([todo], values):
                raise web.HTTPNotFound(reason="That todo is gone")
        return web.json_response({"id": todo})

    async def _delete(self, request: web.Request) -> web.Response:
        check_sender(request, self._host)
        todo = self._table.key(request.match_info["id"])
        async with self._todos() as table:
            if not await table.delete([todo]):
                raise web.HTTPNotFound(reason="That todo is gone")
        return web.json_response({"id": todo})

    async def _switch(self, request: web.Request) -> web.Response:
        switch = await self._body(request, _Writer)
        await self._stop(request.app)
        if switch.on:
            self._writer = asyncio.create_task(self._write())
        return web.json_response({"on": switch.on})

    async def _write(self) -> None:
        chance = random.Random()
        while True:
            # The database may restart, and whoever plays with it may lock or drop the table.
            with contextlib.suppress(DemoDatabaseDown, DemoDatabaseRefuses):
                async with self._table.connection() as table:
                    while True:
                        await todos.random_step(table, chance)
                        await asyncio.sleep(chance.uniform(*_WRITER_PAUSE))
            await asyncio.sleep(_WRITER_RETRY_SECONDS)

    async def _stop(self, _: web.Application) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.cancel()
            await asyncio.wait({writer})

    @contextlib.asynccontextmanager
    async def _todos(self) -> AsyncIterator[Todos]:
        try:
            async with self._table.connection() as table:
                yield table
        except DemoDatabaseDown as error:
            raise RequestError("database_unavailable", str(error)) from error
        except DemoDatabaseRefuses as error:
            raise RequestError("bad_request", str(error)) from error

    async def _body(self, request: web.Request, kind: type[_T]) -> _T:
        check_sender(request, self._host)
        if request.content_type != "application/json":
            raise web.HTTPUnsupportedMediaType(reason="Send application/json")
        try:
            return msgspec.json.decode(await request.read(), type=kind)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise RequestError("bad_request", str(error), "$") from error


def _fit(values: dict[str, Any]) -> dict[str, Any]:
    """The values as the table takes them. Raises RequestError."""
    if "title" in values:
        values["title"] = title = values["title"].strip()
        if not 0 < len(title) <= todos.TITLE_CHARS or "\0" in title:
            raise RequestError("bad_request", f"a title has 1 to {todos.TITLE_CHARS} characters", "$.title")
    if values.get("priority", todos.PRIORITIES[0]) not in todos.PRIORITIES:
        raise RequestError(
            "bad_request", f"a priority is {todos.PRIORITIES[0]} to {todos.PRIORITIES[-1]}", "$.priority"
        )
    return values
