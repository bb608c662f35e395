"""Tells subscribers what a transaction did to their live queries."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy

from broadcaster.audience import Audience
from broadcaster.connection import Connection
from broadcaster.evaluation import Done
from broadcaster.livequery import LiveQuery, Told
from broadcaster.metrics import Metrics
from broadcaster.outcome import Outcome
from broadcaster.subscription import Phase, Subscription
from cdc.config import Limits


class Delivery:
    """From one feed to all its subscribers.

    restart: called with a live subscription and a reason when only a fresh result can serve it; refill: with one of
        whose window too few rows are known.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        restart: Callable[[Subscription, str], None],
        refill: Callable[[Subscription], None],
        limits: Limits,
    ) -> None:
        self._metrics = metrics
        self._restart = restart
        self._refill = refill
        self._limits = limits

    def deliver(self, done: Done) -> None:
        """Queue what is to be sent. Call once for each transaction, in order; the feed's place is after it."""
        alone: dict[Connection, None] = {}
        together: dict[Audience, None] = {}
        for query, outcome in done.outcomes:
            if query.overlay is not None:
                query.overlay.add(outcome)
            _gather(query)
            before = copy(query.told) if query.is_filled and _begins_to_defer(query) else None
            told = query.fold(outcome)
            if told is None:
                continue
            if not told.is_plain:
                query.disperse()
            for audience in query.audiences.values():
                audience.tell(query, told)
                together[audience] = None
            self._tell_each(query, told, before, alone)
        for audience in together:
            audience.end()
        for connection in alone:
            connection.flush()
        if together or alone:
            self._metrics.delivery_seconds.observe(max(0.0, time.time() - done.part.time / 1000))

    def _tell_each(
        self, query: LiveQuery, told: Outcome, before: Told | None, touched: dict[Connection, None]
    ) -> None:
        """To those who are in no audience; touched: connections that are to be flushed."""
        diffs: dict[bytes, bytes] = {}  # by the id that the client gave
        is_plain = told.is_plain
        for subscription in list(query.subscriptions):
            if subscription.phase is Phase.LIVE:
                connection = subscription.connection
                if not is_plain:
                    self._to_live(subscription, told)
                elif connection.coalesces and connection.is_behind:
                    connection.defer(subscription, told, before)
                else:
                    id_json = subscription.id_json
                    data = diffs.get(id_json) or diffs.setdefault(id_json, subscription.diff(told))
                    connection.push(b"diff", data)
                touched[connection] = None
            elif subscription.phase is Phase.SENDING:
                subscription.hold(told)

    def _to_live(self, subscription: Subscription, outcome: Outcome) -> None:
        """What a diff cannot tell."""
        reason = outcome.reset_reason
        if reason is not None:
            self._restart(subscription, reason)
        elif outcome.is_short:
            subscription.freeze()
            self._refill(subscription)
        else:
            docs = subscription.live_query.docs
            docs = _left(outcome) if docs is None else docs
            subscription.connection.emptied(subscription, docs, self._limits.frame_bytes)


def _gather(query: LiveQuery) -> None:
    """Have those told together who can be, and those by themselves who coalesce and have more coming than a reader may
    be behind."""
    if not query.is_shared:
        return
    for audience in list(query.audiences.values()):
        if audience.is_to_defer:
            audience.disperse()
    for subscription in list(query.subscriptions):
        subscription.connection.join()


def _begins_to_defer(query: LiveQuery) -> bool:
    """Whether a subscriber's reader fell behind that has been told everything so far."""
    return any(
        one.connection.coalesces and one.deferred is None and one.connection.is_behind
        for one in query.subscriptions
    )


def _left(outcome: Outcome) -> list[bytes]:
    """The rows of a live query whose collection was emptied first."""
    rows: dict[bytes, bytes] = {}
    for _, key, doc, _ in outcome.deltas:
        rows.pop(key, None)
        if doc is not None:
            rows[key] = doc
    return list(rows.values())
