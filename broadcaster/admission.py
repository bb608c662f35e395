"""Who may come in while there is room: connections, and live queries for each token. (pure)"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
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

    def admitted(self, claims: Mapping[str, Any] | None, subscriptions: int) -> Admitted:
        """A connection with so many live queries is in. claims: of its token, None without one. Raises RequestError:
        too_many_connections, too_many_subscriptions."""
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
        return Admitted(self, holder, subscriptions)

    def leave(self, holder: str | None, subscriptions: int) -> None:
        """One that was in is not any more."""
        self._connections -= 1
        if holder is not None:
            self._subscriptions[holder] -= subscriptions
            if not self._subscriptions[holder]:
                del self._subscriptions[holder]


class Admitted:
    """A connection that is in. As a context manager it leaves at the end, unless it is to `stay` until `leave`."""

    __slots__ = ("_admission", "_holder", "_stays", "_subscriptions")

    def __init__(self, admission: Admission, holder: str | None, subscriptions: int) -> None:
        self._admission = admission
        self._holder = holder
        self._subscriptions = subscriptions
        self._stays = False

    def stay(self) -> None:
        """What comes of it is not known at the end of the `with`."""
        self._stays = True

    def leave(self) -> None:
        """There is room for another. Call once, of one that stayed."""
        self._admission.leave(self._holder, self._subscriptions)

    def __enter__(self) -> Admitted:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._stays:
            self.leave()


def _holder(claims: Mapping[str, Any]) -> str:
    """A text that the tokens of one client share, renewed ones too."""
    kept = {name: value for name, value in claims.items() if name not in _OF_ONE_TOKEN}
    return json.dumps(kept, sort_keys=True, default=str)
