"""One client's active live query: from its snapshot to live.

A subscription waits for its snapshot (WAITING), which many may share (`broadcaster.join`). What follows is held while
the initial result is sent (SENDING). Then it is LIVE.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING

import msgspec

from broadcaster.deferred import Deferred
from broadcaster.livequery import LiveQuery, Told
from broadcaster.outcome import Outcome
from broadcaster.sse import digest
from cdc.config import Limits

if TYPE_CHECKING:
    from broadcaster.connection import Connection


class Phase(Enum):
    NEW = auto()
    WAITING = auto()
    SENDING = auto()
    LIVE = auto()


class Subscription:
    """A live query under the client's own id, on one connection.

    key: the names of the primary key's fields; empty until a snapshot told them. frozen: of a window or an aggregate
    that must be read anew, what was told of it. deferred: what its reader, who is behind, was not told yet.
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
        self.deferred: Deferred | None = None
        self.frozen: Told | None = None
        self.held: list[bytes] = []
        self.held_size = 0
        self.stale: str | None = None
        self.restarted_at = float("-inf")

    def begin_waiting(self) -> None:
        """What comes is of no use until there is a snapshot."""
        self.connection.leave()
        self.phase = Phase.WAITING
        self.stale = None

    def begin_holding(self) -> None:
        """Hold the frames of all changes from here on until `take_held`."""
        self.phase = Phase.SENDING
        self.frozen = None
        self.held = []
        self.held_size = 0
        self.stale = None

    def hold(self, outcome: Outcome) -> None:
        """Keep an outcome's frame until the initial result is sent; `stale` says why that will not do."""
        reason = outcome.reset_reason or ("truncated" if outcome.truncated else None)
        if reason is None and outcome.is_short:
            self.freeze()
        elif reason is None and self.stale is None and self.frozen is None:
            data = self.diff(outcome)
            self.held.append(data)
            self.held_size += len(data)
            if self.held_size > self._hold_limit:
                reason = "too_far_behind"
        if reason is not None:
            self.make_stale(reason)

    def make_stale(self, reason: str) -> None:
        """What is held is worth nothing; the subscription must start over."""
        self.stale = self.stale or reason
        self.held = []

    def ready(self, count: int | None = None, *, resumed: bool = False) -> bytes:
        """The data of a `ready` event. count: rows of the initial result; None where none were sent. It names the key's
        fields where it is known, so that the client can tell rows apart before the first change does; an aggregate
        without groups has none."""
        what = b'"skippedInitial":true' if count is None else b'"count":%d' % count
        if resumed:
            what = b'"resumed":true'
        if self.key or self.live_query.shares is not None:
            what += b',"key":' + msgspec.json.encode(self.key)
        indexed = b"true" if self.live_query.is_indexed else b"false"
        return b'{"id":%b,%b,"indexed":%b}' % (self.id_json, what, indexed)

    def diff(self, outcome: Outcome) -> bytes:
        """The data of an outcome's `diff` event."""
        return b'{"id":%b,%b' % (self.id_json, outcome.suffix)

    def freeze(self) -> None:
        """Too little is known of what is shown: nothing is told until it was read again."""
        if self.frozen is None:
            self.frozen = self.live_query.told
        if self.deferred is not None and self.deferred.before is not None:
            self.frozen = self.deferred.before
            self.connection.forget_deferred(self)

    def defer(self, outcome: Outcome, before: Told | None) -> None:
        """Keep what an outcome changes for a later frame: its reader is behind. before: what a window or an aggregate
        showed before it, where it is the first of those that are kept."""
        if self.deferred is None:
            self.deferred = Deferred(before)
        self.deferred.add(outcome)

    def release(self) -> bytes | None:
        """The data of the `diff` event of all that was deferred; None where that comes to nothing."""
        deferred, self.deferred = self.deferred, None
        assert deferred is not None
        query, tx, time = self.live_query, deferred.tx, deferred.time
        suffix: bytes | None = None
        if deferred.before is not None:
            suffix = query.difference_suffix(deferred.before, tx, time)
        elif deltas := deferred.deltas:
            suffix = query.deltas_suffix(deltas, tx, time)
        if suffix is None:
            return None
        several = b'"transactions":%d,' % deferred.transactions if deferred.transactions > 1 else b""
        return b'{"id":%b,%b%b' % (self.id_json, several, suffix)

    def refill(self) -> bytes | None:
        """Show what there is now: the data of the `diff` event that says so, under the name of the newest transaction
        in it; None where there is nothing to tell."""
        before, self.frozen = self.frozen, None
        assert before is not None
        suffix = self.live_query.difference_suffix(before, *self.live_query.newest)
        return None if suffix is None else b'{"id":%b,%b' % (self.id_json, suffix)
