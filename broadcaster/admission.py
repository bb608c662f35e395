"""Who may come in while there is room: connections, and live queries for each token. (pure)"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from broadcaster.errors import RequestError
from cdc.config import Limits

_OF_ONE_TOKEN: Final = frozenset({"exp", "iat", "nbf", "jti"})
"""The claims by which a renewed token differs from the one before."""


class Admission:
    """Counts who is in."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._connections = 0
        self._subscriptions: Counter[str] = Counter()

    def check(self) -> None:
        """Raises RequestError `too_many_connections` where there is no room for another one."""
        most = self._limits.connections
        if self._connections >= most:
            raise RequestError("too_many_connections", f"at most {most} (connections)")

    @contextmanager
    def admitted(self, claims: Mapping[str, Any] | None, subscriptions: int) -> Iterator[None]:
        """A connection with so many live queries, as long as this lasts. claims: of its token, None without one. Raises
        RequestError: too_many_connections, too_many_subscriptions."""
        self.check()
        holder = None if claims is None else _holder(claims)
        most = self._limits.subscriptions_per_token
        if holder is not None and self._subscriptions[holder] + subscriptions > most:
            raise RequestError(
                "too_many_subscriptions",
                f"at most {most} for one token, all streams together (subscriptionsPerToken)",
            )
        self._connections += 1
        if holder is not None:
            self._subscriptions[holder] += subscriptions
        try:
            yield
        finally:
            self._connections -= 1
            if holder is not None:
                self._subscriptions[holder] -= subscriptions
                if not self._subscriptions[holder]:
                    del self._subscriptions[holder]


def _holder(claims: Mapping[str, Any]) -> str:
    """A text that the tokens of one client share, renewed ones too."""
    kept = {name: value for name, value in claims.items() if name not in _OF_ONE_TOKEN}
    return json.dumps(kept, sort_keys=True, default=str)
