"""Who may ask what: a request's identity, and the predicate of what it wants and may read."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from typing import TypeAlias

from aiohttp import web

from broadcaster.auth import Authenticator
from broadcaster.checks import Checks, Found
from broadcaster.errors import RequestError
from broadcaster.identity import Identity
from broadcaster.order import Order
from broadcaster.predicate import Node, conjunction, leaves
from broadcaster.query import QueryLimits, parse_where
from broadcaster.request import Wanted
from broadcaster.rules import asks_others, read_grant
from broadcaster.view import View
from broadcaster.worker import Worker
from cdc.config import Config
from cdc.rule import Rule

Grants: TypeAlias = Sequence[tuple[Wanted, tuple[Node, View]]]
"""What is wanted, each with the predicate and the view that were granted for it."""


class Access:
    """The rules of one project. feeds: the aliases of the databases that are live; found: whether a collection has a
    row that matches, as `Hub.found`; worker: which one this is, of several."""

    def __init__(
        self, config: Config, feeds: Collection[str], found: Found, worker: Worker | None = None
    ) -> None:
        self._config = config
        self._feeds = feeds
        self._checks = Checks(config.id, found)
        limits = config.realtime.limits
        self._query_limits = QueryLimits(
            limits.where_depth, limits.where_conditions, limits.in_items, limits.pattern_characters
        )
        self._authenticator = (
            None if config.auth is None else Authenticator(config.auth, config.realtime.cors_origins, worker)
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
        await self._checks.close()
        if self._authenticator is not None:
            await self._authenticator.close()

    async def until_changed(self, granted: Grants, identity: Identity | None) -> tuple[Wanted, RequestError]:
        """Ask again, every `recheck` seconds, until one of these is granted something else; what the client is told."""
        while True:
            await asyncio.sleep(self._config.realtime.recheck)
            for one, before in granted:
                try:
                    if await self.grant(one, identity) != before:
                        changed = RequestError("access_changed", "what you may read has changed; reconnect")
                        return one, changed
                except RequestError as refused:
                    return one, refused

    def asks_others(self, one: Wanted) -> bool:
        """Whether the answer may be another in a while: the rules ask other collections or services."""
        return bool(asks_others(self._rule(one.database, one.collection)))

    def _rule(self, database: str, collection: str) -> Rule | None:
        """The rule that decides."""
        given = self._config.databases[database]
        own = given.collections[collection].read
        return given.default_read if own is None else own

    async def grant(self, one: Wanted, identity: Identity | None) -> tuple[Node, View]:
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
        rule = self._rule(one.database, one.collection)
        if claims is None:  # what then passes does so whatever is asked for, so that strangers cost nothing
            read_grant(rule, None, None)
        await asyncio.sleep(0)
        where = parse_where(one.where, self._query_limits, f"{one.path}.where")
        answers = await self._checks.answers(asks_others(rule), claims, where, one)
        try:
            grant = read_grant(rule, None, claims, where, answers)
        except RequestError as denied:
            if None in answers.values():
                raise RequestError(
                    "rules_unavailable", "who may read this cannot be found out now"
                ) from denied
            raise
        view = View(one.select, grant.hidden, grant.forced)
        for leaf in leaves(where):
            if view.hides(leaf.path):
                raise RequestError(
                    "access_denied",
                    f"the rules hide {leaf.path!r}: it cannot be asked for",
                    f"{one.path}.where",
                )
        if one.order is not None:
            at = one.path if one.path == "$" else f"{one.path}.options"
            self._check_order(one.order, view, at)
        for field in () if one.aggregation is None else one.aggregation.paths:
            if view.hides(field) or view.forces(field):
                raise RequestError(
                    "access_denied",
                    f"the rules hide {field!r}: it cannot be aggregated",
                    one.path if one.path == "$" else f"{one.path}.options",
                )
        return conjunction(where, grant.rows), view

    def _check_order(self, order: Order, view: View, path: str) -> None:
        """Places tell what rows are ordered by, so nothing may decide them that the client does not see as it is."""
        most = self._config.realtime.limits.initial_rows
        if order.limit is not None and order.limit > most:
            raise RequestError("bad_limit", f"at most {most} (initialRows)", f"{path}.limit")
        for field in order.sort:
            if view.hides(field.path) or view.forces(field.path):
                raise RequestError(
                    "access_denied",
                    f"the rules hide {field.path!r}: rows cannot be sorted by it",
                    f"{path}.sort",
                )
