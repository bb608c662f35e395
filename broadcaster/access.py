"""Who may ask what: a request's identity, and the predicate of what it wants and may read."""

from __future__ import annotations

from collections.abc import Collection

from aiohttp import web

from broadcaster.auth import Authenticator, Identity
from broadcaster.errors import RequestError
from broadcaster.predicate import Node, conjunction, leaves
from broadcaster.query import QueryLimits, parse_where
from broadcaster.request import Wanted
from broadcaster.rules import read_grant
from broadcaster.view import View
from cdc.config import Config


class Access:
    """The rules of one project. feeds: the aliases of the databases that are live."""

    def __init__(self, config: Config, feeds: Collection[str]) -> None:
        self._config = config
        self._feeds = feeds
        limits = config.realtime.limits
        self._query_limits = QueryLimits(
            limits.where_depth, limits.where_conditions, limits.in_items, limits.pattern_characters
        )
        self._authenticator = (
            None if config.auth is None else Authenticator(config.auth, config.realtime.cors_origins)
        )

    @property
    def takes_cookies(self) -> bool:
        """Whether browsers may send the token in a cookie."""
        return self._config.auth is not None and self._config.auth.cookie is not None

    async def identify(self, request: web.Request) -> Identity | None:
        """Who asks; None without a token, and where the project has none. Raises RequestError."""
        return None if self._authenticator is None else await self._authenticator.identify(request)

    def ticket(self, identity: Identity | None) -> str:
        """A ticket for this client. Raises RequestError."""
        if self._authenticator is None or identity is None:
            raise RequestError("unauthenticated", "a ticket is given for a token")
        return self._authenticator.ticket(identity)

    async def close(self) -> None:
        """Release connections."""
        if self._authenticator is not None:
            await self._authenticator.close()

    def grant(self, one: Wanted, identity: Identity | None) -> tuple[Node, View]:
        """The predicate of what the client wants and may read, and what of the rows it sees. Raises RequestError."""
        database = self._config.databases.get(one.database)
        if database is None or one.database not in self._feeds:
            known = ", ".join(self._feeds) or "none"
            raise RequestError(
                "unknown_database", f"no live database {one.database!r}; there is {known}", f"{one.path}.db"
            )
        collection = database.collections.get(one.collection)
        if collection is None:
            raise RequestError(
                "unknown_collection",
                f"`{one.database}` has no collection {one.collection!r}",
                f"{one.path}.col",
            )
        if not collection.is_realtime:
            raise RequestError(
                "not_realtime",
                f"{one.collection!r} is not live: set `isRealtimeEnabled: true` in the configuration",
                f"{one.path}.col",
            )
        claims = None if identity is None else identity.claims
        where = parse_where(one.where, self._query_limits, f"{one.path}.where")
        grant = read_grant(collection.read, database.default_read, claims, where)
        view = View(one.select, grant.hidden, grant.forced)
        for leaf in leaves(where):
            if view.hides(leaf.path):
                raise RequestError(
                    "access_denied",
                    f"the rules hide {leaf.path!r}: it cannot be asked for",
                    f"{one.path}.where",
                )
        return conjunction(where, grant.rows), view
