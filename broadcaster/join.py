"""Snapshot and stream meet at a position: the result of a query where the feed stands. (architecture, idea 2)"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right

from broadcaster.errors import RequestError
from broadcaster.evaluation import Evaluation
from broadcaster.feed import Feed
from broadcaster.livequery import LiveQuery
from broadcaster.metrics import Metrics
from broadcaster.recent import Past
from broadcaster.snapshot.bounds import check_size
from broadcaster.snapshot.reader import Snapshot, SnapshotReader
from broadcaster.subscription import Overlay, Subscription
from broadcaster.window import Head
from cdc.config import Limits
from cdc.errors import CursorExpired, EpochChanged, LogError

log = logging.getLogger(__name__)

_PROGRESS_PATIENCE = 10.0
_NUDGE_AFTER = 0.01


class Join:
    """Joins snapshots of one database with its feed."""

    def __init__(self, feed: Feed, reader: SnapshotReader, limits: Limits, metrics: Metrics) -> None:
        self._feed = feed
        self._reader = reader
        self._limits = limits
        self._metrics = metrics

    async def rows(self, subscription: Subscription) -> dict[bytes, bytes] | None:
        """The result at a position that the feed has reached; from then on frames are held. The subscription has begun
        its overlay and is attached to the feed.

        None if the stream did not let a consistent result come about; worth another try.
        """
        snapshot, earlier = await self._joined(subscription)
        if subscription.overlay.broken or earlier.broken:
            return None
        shown = subscription.live_query.shown_all(snapshot.rows)
        rows = subscription.overlay.over(earlier.over(shown))
        size = sum(map(len, rows.values()))
        check_size(len(rows), size, self._limits.initial_rows, self._limits.initial_bytes)
        return rows

    async def head(self, subscription: Subscription) -> Head | None:
        """As `rows`, the head of a result that has an order, where the feed stands now; the overlay goes on."""
        snapshot, earlier = await self._joined(subscription)
        query, overlay = subscription.live_query, subscription.overlay
        for name in snapshot.key:
            if query.hides(name):
                raise RequestError(
                    "access_denied", f"the rules hide {name!r} of the primary key, by which rows are ordered"
                )
        if overlay.broken or earlier.broken:
            return None
        docs = query.shown_all(snapshot.rows)
        head = Head({key: (rank, docs[key]) for key, rank in snapshot.ranks.items()}, snapshot.bound)
        head = head.overlaid(earlier.deltas, cleared=earlier.cleared)
        head = head.overlaid(overlay.deltas, cleared=overlay.cleared)
        assert query.order is not None
        limit = query.order.limit
        if limit is None:
            check_size(len(head.rows), 0, self._limits.initial_rows, self._limits.initial_bytes)
        elif head.bound is not None and len(head.rows) < limit:
            return None
        return head

    async def _joined(self, subscription: Subscription) -> tuple[Snapshot, Overlay]:
        """A snapshot whose position the feed has reached, and what lies below the subscription's own overlay."""
        query, feed = subscription.live_query, self._feed
        start = feed.place
        past = feed.recent.until(start)
        with self._metrics.snapshot_seconds.time():
            snapshot = await self._reader.read(query, self._limits.initial_rows, self._limits.initial_bytes)
            subscription.key = [name for name in snapshot.key if not query.hides(name)]
            if feed.source_epoch is not None and snapshot.epoch != feed.source_epoch:
                raise RequestError(
                    "database_unavailable",
                    f"`{query.database}` is another server than the one that is tailed",
                )
            earlier = await self._unseen(query, snapshot, past, start)
            await self._meet(subscription, snapshot)
        return snapshot, earlier

    async def _unseen(self, query: LiveQuery, snapshot: Snapshot, past: Past, start: int) -> Overlay:
        """What transactions before the overlay's start did that the snapshot does not show. Raises RequestError where
        the log does not tell."""
        feed, overlay = self._feed, Overlay(self._limits.hold_bytes)
        if not feed.is_shown(query.collection, snapshot.shows):
            overlay.broken = True
            return overlay
        ranges = past.unseen(snapshot.shows)
        if ranges:
            firsts = [first for first, _ in ranges]
            alone = feed.twin(query)
            evaluation = Evaluation()
            evaluation.add(alone)
            place = ranges[0][0] - 1
            try:
                reader = await feed.log.reader(place, {query.collection})
                try:
                    while place < start:
                        for chunk in await reader.read():
                            for done in evaluation.run(chunk):
                                # Of one collection alone a transaction may begin later, and end earlier.
                                at = bisect_right(firsts, done.first) - 1
                                if at >= 0 and done.last <= ranges[at][1]:
                                    for _, outcome in done.outcomes:
                                        overlay.add(outcome)
                            place = chunk.end
                finally:
                    await reader.close()
            except (CursorExpired, EpochChanged, LogError) as error:
                log.warning(
                    "%s: the log's recent past is needed and cannot be read: %s", feed.database, error
                )
                raise RequestError(
                    "not_ready", f"the event log of `{feed.database}` cannot be read now; waiting for it"
                ) from error
        feed.recent.prune(snapshot.shows)
        return overlay

    async def _meet(self, subscription: Subscription, snapshot: Snapshot) -> None:
        """Wait until the feed has reached the snapshot's position, nudging the database where nothing moves."""
        feed = self._feed
        joining = asyncio.ensure_future(feed.join(subscription, snapshot.order))
        try:
            for patience in (_NUDGE_AFTER, _PROGRESS_PATIENCE):
                done, _ = await asyncio.wait({joining}, timeout=patience)
                if done:
                    break
                if patience == _NUDGE_AFTER:
                    await self._reader.nudge()
                else:
                    subscription.connection.error(
                        subscription,
                        RequestError(
                            "not_ready", f"the tailer of `{feed.database}` has not caught up; waiting for it"
                        ),
                    )
            await joining
        finally:
            joining.cancel()
