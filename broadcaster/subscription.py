"""One client's active live query: from its snapshot to live.

A subscription waits for its snapshot (WAITING), which many may share (`broadcaster.join`). What follows is held while
the initial result is sent (SENDING). Then it is LIVE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from broadcaster.deferred import Deferred
from broadcaster.livequery import LiveQuery
from broadcaster.outcome import Outcome
from broadcaster.sse import digest
from broadcaster.window import Head, Step, Window
from cdc.config import Limits

if TYPE_CHECKING:
    from broadcaster.connection import Connection


Result: TypeAlias = "Sequence[bytes] | Head"
"""The docs of a query's rows (of an aggregate, those of its groups), or the head of a result that has an order."""


class Phase(Enum):
    NEW = auto()
    WAITING = auto()
    SENDING = auto()
    LIVE = auto()


class Subscription:
    """A live query under the client's own id, on one connection.

    key: the names of the primary key's fields; empty until a snapshot told them. window: what is shown of a result that
    has an order, None of one that has none. frozen: of an aggregate that must be read anew, what was told of it (find →
    doc). deferred: what its reader, who is behind, was not told yet.
    """

    __slots__ = (
        "_hold_limit",
        "connection",
        "deferred",
        "digest",
        "frozen",
        "held",
        "held_size",
        "id",
        "id_json",
        "key",
        "live_query",
        "phase",
        "restarted_at",
        "skip_initial",
        "stale",
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
        self.key: Sequence[str] = ()
        order = live_query.order
        self.window = (
            None if order is None else Window(order.limit, limits.initial_rows, limits.initial_bytes)
        )
        self.deferred: Deferred | None = None
        self.frozen: Mapping[bytes, bytes] | None = None
        self.held: list[bytes] = []
        self.held_size = 0
        self.stale: str | None = None
        self.restarted_at = float("-inf")

    @property
    def is_short(self) -> bool:
        """Whether what is shown must be read again, since too little is known."""
        return self.frozen is not None or (self.window is not None and self.window.is_short)

    def begin_waiting(self) -> None:
        """What comes is of no use until there is a snapshot."""
        self.phase = Phase.WAITING
        self.stale = None

    def begin(self, result: Result) -> Sequence[bytes]:
        """Show this: the docs of the initial result. What follows is held until it is sent."""
        self.begin_holding()
        self.frozen = None
        if not isinstance(result, Head):
            return result
        assert self.window is not None
        self.window.clear()
        self.window.refill(result)
        return self.window.docs

    def begin_holding(self) -> None:
        """Hold the frames of all changes from here on until `take_held`."""
        self.phase = Phase.SENDING
        self.held = []
        self.held_size = 0
        self.stale = None

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
        """The data of an outcome's `diff` event; None where there is nothing to tell, or too little is known now."""
        if self.frozen is not None:
            return None
        if outcome.is_short:
            self.frozen = self.live_query.told
            return None
        if self.window is None:
            return self.diff(outcome)
        if outcome.overflow:
            self.window.lose()
        return self._steps(self.window.apply(outcome.deltas))

    def defer(self, outcome: Outcome) -> None:
        """Keep what an outcome changes for a later frame: its reader is behind."""
        if self.deferred is None:
            self.deferred = Deferred()
        if self.window is None:
            self.deferred.add(outcome)
            return
        self.deferred.count(outcome)
        if outcome.overflow:
            self.window.lose()
        self.window.note(outcome.deltas)

    def release(self) -> bytes | None:
        """The data of the `diff` event of all that was deferred; None where that comes to nothing."""
        deferred, self.deferred = self.deferred, None
        assert deferred is not None
        query = self.live_query
        if self.window is not None:
            steps = self.window.show()
            suffix = query.steps_suffix(steps) if steps else None
        else:
            deltas = deferred.deltas
            suffix = query.deltas_suffix(deltas, deferred.tx, deferred.time) if deltas else None
        if suffix is None:
            return None
        several = b'"transactions":%d,' % deferred.transactions if deferred.transactions > 1 else b""
        return b'{"id":%b,%b%b' % (self.id_json, several, suffix)

    def refill(self, result: Result) -> bytes | None:
        """Show what there is now: the data of the `diff` event that says so, under the name of the newest transaction
        in it; None where there is nothing to tell."""
        if isinstance(result, Head):
            assert self.window is not None
            return self._steps(self.window.refill(result))
        before, self.frozen = self.frozen, None
        assert before is not None
        suffix = self.live_query.difference_suffix(before)
        return None if suffix is None else b'{"id":%b,%b' % (self.id_json, suffix)

    def _steps(self, steps: Sequence[Step]) -> bytes | None:
        return b'{"id":%b,%b' % (self.id_json, self.live_query.steps_suffix(steps)) if steps else None
