"""One client's active live query: from overlay to live.

A subscription begins to collect changes (OVERLAY) before its snapshot is read. Once the log's progress has reached
the snapshot's position the two are joined, and what follows is held while the initial result is sent (SENDING).
Then it is LIVE.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING

import msgspec

from broadcaster.change import Delta
from broadcaster.livequery import LiveQuery, Outcome
from broadcaster.sse import digest

if TYPE_CHECKING:
    from broadcaster.connection import Connection


class Phase(Enum):
    NEW = auto()
    OVERLAY = auto()
    SENDING = auto()
    LIVE = auto()


class Overlay:
    """Changes by key, last wins, to lay over a snapshot. `cleared`: the collection was emptied meanwhile, so
    nothing of the snapshot stands. `broken`: it does not hold all changes, and the snapshot must be read again;
    until then nothing more is kept."""

    __slots__ = ("_limit", "_rows", "_size", "broken", "cleared")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: dict[bytes, bytes | None] = {}
        self._size = 0
        self.cleared = False
        self.broken = False

    def add(self, outcome: Outcome) -> None:
        if outcome.truncated:
            self._rows.clear()
            self._size = 0
            self.cleared = True
        if outcome.overflow:
            self.broken = True
        self.add_deltas(outcome.deltas)

    def add_deltas(self, deltas: Iterable[Delta]) -> None:
        if self.broken:
            return
        for _, key, doc in deltas:
            previous = self._rows.pop(key, b"")
            self._rows[key] = doc
            self._size += len(key) + len(doc or b"") - len(previous or b"")
        if self._size > self._limit:
            self.broken = True
            self._rows.clear()

    def over(self, rows: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """The rows (key → doc) with these changes made."""
        result = {} if self.cleared else dict(rows)
        for key, doc in self._rows.items():
            if doc is None:
                result.pop(key, None)
            else:
                result[key] = doc
        return result


class Subscription:
    """A live query under the client's own id, on one connection.

    key: the names of the primary key's fields; empty until a snapshot told them.
    """

    __slots__ = (
        "_hold_limit",
        "connection",
        "digest",
        "held",
        "held_size",
        "id",
        "id_json",
        "joined",
        "key",
        "live_query",
        "overlay",
        "phase",
        "restarted_at",
        "skip_initial",
        "stale",
        "target",
    )

    def __init__(
        self,
        subscription_id: str,
        live_query: LiveQuery,
        connection: Connection,
        *,
        skip_initial: bool,
        hold_limit: int,
    ) -> None:
        self.id = subscription_id
        self.id_json = msgspec.json.encode(subscription_id)
        self.live_query = live_query
        self.connection = connection
        self.skip_initial = skip_initial
        self.digest = digest(subscription_id, live_query.key)
        self.phase = Phase.NEW
        self._hold_limit = hold_limit
        self.key: Sequence[str] = ()
        self.overlay = Overlay(hold_limit)
        self.target: int | None = None
        self.joined: asyncio.Future[None] | None = None
        self.held: list[bytes] = []
        self.held_size = 0
        self.stale: str | None = None
        self.restarted_at = float("-inf")

    def begin_overlay(self) -> None:
        """Collect changes from here on, to be laid over a snapshot that is read after this."""
        self.phase = Phase.OVERLAY
        self.overlay = Overlay(self._hold_limit)
        self.target = None
        self.joined = asyncio.get_running_loop().create_future()
        self.stale = None

    def begin_holding(self) -> None:
        """Hold the frames of all changes from here on until `take_held`."""
        self.phase = Phase.SENDING
        self.held = []
        self.held_size = 0
        self.stale = None

    def progress(self, order: int) -> None:
        """The log is complete up to `order`: join, if that is what the snapshot waits for."""
        if self.phase is Phase.OVERLAY and self.target is not None and order >= self.target:
            self.begin_holding()
            assert self.joined is not None
            if not self.joined.done():
                self.joined.set_result(None)

    def hold(self, outcome: Outcome) -> None:
        """Keep an outcome's frame until the initial result is sent; `stale` says why that will not do."""
        reason = outcome.reset_reason or ("truncated" if outcome.truncated else None)
        data = self.diff(outcome)
        self.held_size += len(data)
        if self.held_size > self._hold_limit:
            reason = "too_far_behind"
        if reason is not None:
            self.make_stale(reason)
        elif self.stale is None:
            self.held.append(data)

    def make_stale(self, reason: str) -> None:
        """What is held is worth nothing; the subscription must start over."""
        self.stale = self.stale or reason
        self.held = []

    def diff(self, outcome: Outcome) -> bytes:
        """The data of an outcome's `diff` event."""
        return b'{"id":%b,%b' % (self.id_json, outcome.suffix)
