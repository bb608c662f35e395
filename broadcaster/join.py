"""Snapshot and stream meet at a position: the result of a query where the feed stands. (architecture, idea 2)"""

from __future__ import annotations

import asyncio
import logging

from broadcaster.errors import RequestError
from broadcaster.evaluation import Evaluation
from broadcaster.feed import Feed
from broadcaster.livequery import LiveQuery
from broadcaster.metrics import Metrics
from broadcaster.recent import Past
from broadcaster.snapshot.bounds import check_size
from broadcaster.snapshot.reader import Snapshot, SnapshotReader
from broadcaster.subscription import Overlay, Subscription
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
        if subscription.overlay.broken or earlier.broken:
            return None
        rows = subscription.overlay.over(earlier.over(query.shown_all(snapshot.rows)))
        size = sum(map(len, rows.values()))
        check_size(len(rows), size, self._limits.initial_rows, self._limits.initial_bytes)
        return rows

    async def _unseen(self, query: LiveQuery, snapshot: Snapshot, past: Past, start: int) -> Overlay:
        """What transactions before the overlay's start did that the snapshot does not show. Raises RequestError where
        the log does not tell."""
        feed, overlay = self._feed, Overlay(self._limits.hold_bytes)
        ranges = past.unseen(snapshot.shows)
        if ranges:
            unseen = {last for _, last in ranges}
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
                                if done.last in unseen:
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
