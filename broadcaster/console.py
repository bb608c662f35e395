"""The console: a page on which live queries are written and watched, and what it asks about the server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from aiohttp import hdrs, web

from broadcaster.access import Access
from broadcaster.assets import add_assets
from broadcaster.console_report import queries_report
from broadcaster.errors import RequestError
from broadcaster.hub import Hub
from broadcaster.predicate import TRUE
from broadcaster.rules import read_grant
from broadcaster.sender import check_sender
from cdc import VERSION
from cdc.config import Config
from cdc.errors import LivetailError

Check: TypeAlias = Callable[[str], Awaitable[Sequence[Mapping[str, Any]]]]
"""Every requirement of the database of this alias as it stands: `name`, `ok`, `detail`, `fix`. Raises LivetailError
where it cannot be asked."""

_FILES: Final = ("base.css", "console.css", "console.js", "console-code.js", "console-json.js", "page.js")
_CHECK_SECONDS: Final = 5.0
"""The databases are asked no more often than this, whoever wants to know."""


class Console:
    """host: the name or address that the server listens on, where everybody who reaches it may use the console
    (`livetail dev`); None: `modules.realtime.console` says who may. readiness: as /readyz reports it."""

    def __init__(
        self,
        config: Config,
        hub: Hub,
        access: Access,
        readiness: Callable[[], Mapping[str, Any]],
        check: Check,
        host: str | None,
    ) -> None:
        self._config = config
        self._hub = hub
        self._access = access
        self._readiness = readiness
        self._check = check
        self._host = host
        self._checking = asyncio.Lock()
        self._checked: tuple[float, dict[str, Any]] | None = None

    def add_to(self, app: web.Application) -> None:
        """Add the page at `/console`, and at `/` if that is free, and what it needs below `/console/`."""
        is_free = all(resource.canonical != "/" for resource in app.router.resources())
        pages = dict.fromkeys(("/console", "/") if is_free else ("/console",), "console.html")
        add_assets(app, pages | {f"/console/{name}": name for name in _FILES})
        app.router.add_get("/console/status", self._status)
        app.router.add_get("/console/check", self._requirements)

    async def _status(self, request: web.Request) -> web.Response:
        await self._admit(request)
        report = self._readiness()
        tailers = report.get("tailer", {}).get("databases", {})
        databases = [
            {
                "alias": alias,
                "type": self._config.databases[alias].type,
                "collections": self._config.realtime_collections(alias),
                "offset": self._hub.feeds[alias].place,
                **state,
                "tailer": tailers.get(alias),
            }
            for alias, state in report["databases"].items()
        ]
        queries = [query for feed in self._hub.feeds.values() for query in feed.queries]
        return _answer(
            {
                "project": self._config.id,
                "version": VERSION,
                "databases": databases,
                "queries": queries_report(queries),
            }
        )

    async def _requirements(self, request: web.Request) -> web.Response:
        await self._admit(request)
        async with self._checking:
            if self._checked is None or time.monotonic() - self._checked[0] > _CHECK_SECONDS:
                found = {alias: await self._requirements_of(alias) for alias in self._hub.feeds}
                self._checked = time.monotonic(), found
        return _answer(self._checked[1])

    async def _requirements_of(self, alias: str) -> Sequence[Mapping[str, Any]]:
        try:
            return await self._check(alias)
        except LivetailError as error:
            return [{"name": "reachable", "ok": False, "detail": str(error), "fix": ""}]

    async def _admit(self, request: web.Request) -> None:
        """Raises RequestError for who may not use the console."""
        if self._host is not None:
            check_sender(request, self._host)
            return
        identity = await self._access.identify(request)
        claims = None if identity is None else identity.claims
        try:
            grant = read_grant(self._config.realtime.console, None, claims)
        except RequestError as refused:
            raise RequestError(
                refused.code, "the console is not for you (modules.realtime.console)"
            ) from None
        if grant.rows != TRUE:
            raise RequestError("access_denied", "the console is not for you (modules.realtime.console)")


def _answer(body: Mapping[str, Any]) -> web.Response:
    return web.json_response(body, headers={hdrs.CACHE_CONTROL: "no-store"})
