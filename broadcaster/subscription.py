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
from broadcaster.window import Head, Step, Window
from cdc.config import Limits

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

    __slots__ = ("_last", "_limit", "_size", "broken", "cleared")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._last: dict[bytes, Delta] = {}
        self._size = 0
        self.cleared = False
        self.broken = False

    @property
    def deltas(self) -> Iterable[Delta]:
        """The last change of each key."""
        return self._last.values()

    def add(self, outcome: Outcome) -> None:
        if outcome.truncated:
            self._last.clear()
            self._size = 0
            self.cleared = True
        if outcome.overflow:
            self.broken = True
        self.add_deltas(outcome.deltas)

    def add_deltas(self, deltas: Iterable[Delta]) -> None:
        if self.broken:
            return
        for delta in deltas:
            _, key, doc, rank = delta
            previous = self._last.pop(key, None)
            if previous is not None:
                self._size -= len(previous[2] or b"") + len(previous[3])
            self._last[key] = delta
            self._size += len(key) + len(doc or b"") + len(rank)
        if self._size > self._limit:
            self.broken = True
            self._last.clear()

    def over(self, rows: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """The rows (key → doc) with these changes made."""
        result = {} if self.cleared else dict(rows)
        for _, key, doc, _ in self._last.values():
            if doc is None:
                result.pop(key, None)
            else:
                result[key] = doc
        return result


class Subscription:
    """A live query under the client's own id, on one connection.

    key: the names of the primary key's fields; empty until a snapshot told them. window: what is shown of a result that
    has an order, None of one that has none.
    """

    __slots__ = (
        "_hold_limit",
        "_newest",
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
        "window",
    )

    def __init__(
        self,
        subscription_id: str,
        live_query: LiveQuery,
        connection: Connection,
        *,
        skip_initial: bool,
        limits: Limits,
    ) -> None:
        self.id = subscription_id
        self.id_json = msgspec.json.encode(subscription_id)
        self.live_query = live_query
        self.connection = connection
        self.skip_initial = skip_initial
        self.digest = digest(subscription_id, live_query.key)
        self.phase = Phase.NEW
        self._hold_limit = limits.hold_bytes
        self._newest: Outcome | None = None
        self.key: Sequence[str] = ()
        order = live_query.order
        self.window = (
            None if order is None else Window(order.limit, limits.initial_rows, limits.initial_bytes)
        )
        self.overlay = Overlay(limits.hold_bytes)
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

    def lay(self, outcome: Outcome) -> None:
        """Add an outcome to the overlay."""
        self._newest = outcome
        self.overlay.add(outcome)

    def begin_holding(self) -> None:
        """Hold the frames of all changes from here on until `take_held`."""
        self.phase = Phase.SENDING
        self.held = []
        self.held_size = 0
        self.stale = None

    def progress(self, order: int) -> None:
        """The log is complete up to `order`: join, if that is what the snapshot waits for. A window goes on with its
        overlay until it is filled, which may be later."""
        if self.phase is Phase.OVERLAY and self.target is not None and order >= self.target:
            if self.window is None:
                self.begin_holding()
            assert self.joined is not None
            if not self.joined.done():
                self.joined.set_result(None)

    def hold(self, outcome: Outcome) -> None:
        """Keep an outcome's frame until the initial result is sent; `stale` says why that will not do."""
        reason = self.reset_reason(outcome) or ("truncated" if outcome.truncated else None)
        data = self.told(outcome) if reason is None else None
        self.held_size += len(data or b"")
        if self.held_size > self._hold_limit:
            reason = "too_far_behind"
        elif self.window is not None and self.window.is_too_large:
            reason = "window_too_large"
        if reason is not None:
            self.make_stale(reason)
        elif self.stale is None and data is not None:
            self.held.append(data)

    def reset_reason(self, outcome: Outcome) -> str | None:
        """Why this subscriber must start over; None if it need not. A window that misses changes is refilled."""
        return None if self.window is not None and outcome.overflow else outcome.reset_reason

    def make_stale(self, reason: str) -> None:
        """What is held is worth nothing; the subscription must start over."""
        self.stale = self.stale or reason
        self.held = []

    def diff(self, outcome: Outcome) -> bytes:
        """The data of an outcome's `diff` event, of a result without order."""
        return b'{"id":%b,%b' % (self.id_json, outcome.suffix)

    def told(self, outcome: Outcome) -> bytes | None:
        """The data of an outcome's `diff` event; None where there is nothing to tell, or the window is short now."""
        if self.window is None:
            return self.diff(outcome)
        self._newest = outcome
        if outcome.overflow:
            self.window.lose()
        return self._steps(self.window.apply(outcome.deltas))

    def refill(self, head: Head) -> bytes | None:
        """Fill the window anew, with what the overlay holds too: the data of the `diff` event that says so, under the
        name of the newest transaction in it; None where there is nothing to tell."""
        assert self.window is not None
        return self._steps(self.window.refill(head))

    def _steps(self, steps: Sequence[Step]) -> bytes | None:
        if not steps:
            return None
        assert self._newest is not None
        return b'{"id":%b,%b' % (self.id_json, self.live_query.steps_suffix(steps, self._newest))
