"""Rules that only others can answer: is there such a row, and does a service say yes?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

import aiohttp

from broadcaster.errors import RequestError
from broadcaster.predicate import Node
from broadcaster.query import parse_where
from broadcaster.request import Wanted
from broadcaster.rules import Answers, wanted_of
from cdc.rule import Query, Webhook

log = logging.getLogger(__name__)

Found: TypeAlias = Callable[[str, str, Node], Awaitable[bool]]
"""(database, collection, predicate) -> whether a row matches."""

_SECONDS: Final = 5.0


class Checks:
    """Asks on behalf of one project. What cannot be answered within 5 s, or at all, is answered with None."""

    def __init__(self, project: str, found: Found) -> None:
        self._project = project
        self._found = found
        self._session: aiohttp.ClientSession | None = None

    async def answers(
        self,
        rules: Iterable[Query | Webhook],
        claims: Mapping[str, Any] | None,
        where: Node,
        wanted: Wanted,
    ) -> Answers:
        """What each rule says about this client, who asks for `wanted`. Not asked, and left out, is what speaks of
        something that neither the claims nor `where` have."""
        if claims is None:
            return {}
        finds = {
            rule: None if isinstance(rule, Webhook) else wanted_of(rule, claims, where) for rule in rules
        }
        asked = [rule for rule, find in finds.items() if find is not None or isinstance(rule, Webhook)]
        said = await asyncio.gather(*(self._ask(rule, finds[rule], claims, wanted) for rule in asked))
        return dict(zip(asked, said, strict=True))

    async def close(self) -> None:
        """Release connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask(
        self, rule: Query | Webhook, find: object, claims: Mapping[str, Any], wanted: Wanted
    ) -> bool | None:
        try:
            async with asyncio.timeout(_SECONDS):
                if isinstance(rule, Webhook):
                    return await self._call(rule.url, claims, wanted)
                return await self._found(rule.database, rule.collection, parse_where(find))
        except (RequestError, aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            what = rule.url if isinstance(rule, Webhook) else f"{rule.database}.{rule.collection}"
            log.warning(
                "a rule of %s cannot be answered and does not pass: %s: %s", wanted.collection, what, error
            )
            return None

    async def _call(self, url: str, claims: Mapping[str, Any], wanted: Wanted) -> bool:
        """Raises aiohttp.ClientError where the service itself fails, which is no answer."""
        if self._session is None:
            self._session = aiohttp.ClientSession()
        body = {
            "project": self._project,
            "db": wanted.database,
            "col": wanted.collection,
            "op": "read",
            "auth": claims,
            "find": wanted.where,
        }
        async with self._session.post(url, json=body, allow_redirects=False) as response:
            if response.status >= 500:
                response.raise_for_status()
            return 200 <= response.status < 300
