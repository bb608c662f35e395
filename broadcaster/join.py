"""Snapshot and stream meet at a position: the result of a query where the feed stands. (architecture, idea 2)"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeAlias

from broadcaster.errors import RequestError
from broadcaster.evaluation import Evaluation
from broadcaster.feed import Feed
from broadcaster.livequery import LiveQuery
from broadcaster.metrics import Metrics
from broadcaster.order import Order
from broadcaster.overlay import Overlay
from broadcaster.recent import Past
from broadcaster.snapshot.bounds import check_size
from broadcaster.snapshot.reader import Snapshot, SnapshotReader
from broadcaster.subscription import Subscription
from broadcaster.totals import Totals
from broadcaster.window import Head, Window
from cdc.config import Limits
from cdc.errors import CursorExpired, EpochChanged, LogError

log = logging.getLogger(__name__)

Result: TypeAlias = list[bytes]
"""The docs of a query's rows, in order; of an aggregate those of its groups."""

Take: TypeAlias = Callable[[Result], None]
"""Called with the result where the feed stands, before it goes on."""

_PROGRESS_PATIENCE: Final = 10.0
_NUDGE_AFTER: Final = 0.01
_AT_ONCE: Final = 3
"""Reads of one database at a time: fewer than its reader has connections, so that a nudge need not wait for them."""


class _Batch:
    """Subscriptions to equal live queries that came before their snapshot was begun, and share it."""

    def __init__(self) -> None:
        self.members: dict[Subscription, tuple[Take, asyncio.Future[bool]]] = {}
        self.task: asyncio.Task[None] | None = None

    def complain(self, error: RequestError) -> None:
        for subscription in self.members:
            subscription.connection.error(subscription, error)

    def settle(self, result: Result | None, key: Sequence[str]) -> None:
        for subscription, (take, settled) in self.members.items():
            if settled.done():
                continue
            is_taken = result is not None and subscription.stale is None
            if result is not None and is_taken:
                subscription.key = key
                take(result)
            settled.set_result(is_taken)

    def fail(self, error: Exception) -> None:
        for _, settled in self.members.values():
            if not settled.done():
                settled.set_exception(error)


class Join:
    """Joins snapshots of one database with its feed. Few are read at a time; equal live queries that are waited for
    share one, and of an aggregate that somebody follows already none is read."""

    def __init__(self, feed: Feed, reader: SnapshotReader, limits: Limits, metrics: Metrics) -> None:
        self._feed = feed
        self._reader = reader
        self._limits = limits
        self._metrics = metrics
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._waiting: dict[str, _Batch] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}

    @property
    def waiting(self) -> int:
        """Reads that are wanted and not begun."""
        return len(self._waiting)

    async def result(self, subscription: Subscription, take: Take) -> bool:
        """The result at a position that the feed has reached, read after this was called. The subscription is attached
        to the feed, and waits.

        False if the stream did not let a consistent result come about; worth another try. Raises RequestError.
        """
        query = subscription.live_query
        batch = self._waiting.get(query.key)
        if batch is None:
            batch = self._waiting[query.key] = _Batch()
            batch.task = asyncio.create_task(self._run(query, batch), name=f"snapshot of {query.collection}")
        else:
            self._metrics.snapshots_shared.inc()
        settled: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        batch.members[subscription] = take, settled
        try:
            return await settled
        finally:
            del batch.members[subscription]
            if not batch.members and batch.task is not None:
                if self._waiting.get(query.key) is batch:
                    del self._waiting[query.key]
                batch.task.cancel()

    async def _run(self, query: LiveQuery, batch: _Batch) -> None:
        """Read for a batch, once its turn has come."""
        before = self._reading.get(query.key)
        if before is not None:
            await asyncio.wait({before})
        async with self._room:
            await self._feed.boundary()
            del self._waiting[query.key]
            assert batch.task is not None
            self._reading[query.key] = batch.task
            try:
                batch.settle(*await self._result(query, batch))
            except Exception as error:  # each of them deals with it
                batch.fail(error)
            finally:
                query.overlay = None
                del self._reading[query.key]

    async def _result(self, query: LiveQuery, batch: _Batch) -> tuple[Result | None, Sequence[str]]:
        """The result where the feed stands, None where that cannot be told; and the fields of the key."""
        if query.is_filled:
            await self._past_now(query, batch)
            return query.docs, query.key_fields
        query.overlay = overlay = Overlay(self._limits.hold_bytes)
        snapshot, earlier = await self._joined(query, batch)
        if query.order is not None:
            for name in snapshot.key:
                if query.hides(name):
                    raise RequestError(
                        "access_denied",
                        f"the rules hide {name!r} of the primary key, by which rows are ordered",
                    )
        key = [name for name in snapshot.key if not query.hides(name)]
        if overlay.broken or earlier.broken:
            return None, key
        if query.order is not None:
            head = self._head(query.order, query.shown_all(snapshot.rows), snapshot, earlier, overlay)
            if head is None:
                return None, key
            limits = self._limits
            query.show(Window(query.order.limit, limits.initial_rows, limits.initial_bytes), head, key)
            return query.docs, key
        if snapshot.totals is not None:
            query.fill(_overlaid(query, snapshot.totals, snapshot.rows, (earlier, overlay)))
            return query.docs, query.key_fields
        rows = overlay.over(earlier.over(query.shown_all(snapshot.rows)))
        size = sum(map(len, rows.values()))
        check_size(len(rows), size, self._limits.initial_rows, self._limits.initial_bytes)
        return list(rows.values()), key

    def _head(
        self,
        order: Order,
        docs: Mapping[bytes, bytes],
        snapshot: Snapshot,
        earlier: Overlay,
        overlay: Overlay,
    ) -> Head | None:
        head = Head({key: (rank, docs[key]) for key, rank in snapshot.ranks.items()}, snapshot.bound)
        head = head.overlaid(earlier.deltas, cleared=earlier.cleared)
        head = head.overlaid(overlay.deltas, cleared=overlay.cleared)
        if order.limit is None:
            check_size(len(head.rows), 0, self._limits.initial_rows, self._limits.initial_bytes)
        elif head.bound is not None and len(head.rows) < order.limit:
            return None
        return head

    async def _past_now(self, query: LiveQuery, batch: _Batch) -> None:
        """Wait until the feed is past everything that is committed now. Raises RequestError."""
        epoch, order = await self._reader.position()
        self._check(query, epoch)
        await self._meet(order, batch.complain)

    def _check(self, query: LiveQuery, epoch: str) -> None:
        if self._feed.source_epoch is not None and epoch != self._feed.source_epoch:
            raise RequestError(
                "database_unavailable", f"`{query.database}` is another server than the one that is tailed"
            )

    async def _joined(self, query: LiveQuery, batch: _Batch) -> tuple[Snapshot, Overlay]:
        """A snapshot whose position the feed has reached, and what lies below the query's own overlay."""
        feed = self._feed
        start = feed.place
        past = feed.recent.until(start)
        with self._metrics.snapshot_seconds.time():
            snapshot = await self._reader.read(query, self._limits.initial_rows, self._limits.initial_bytes)
            self._check(query, snapshot.epoch)
            earlier = await self._unseen(query, snapshot, past, start)
            await self._meet(snapshot.order, batch.complain)
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

    async def _meet(self, order: int, complain: Callable[[RequestError], None]) -> None:
        """Wait until the feed has reached a position, nudging the database where nothing moves."""
        feed = self._feed
        meeting = asyncio.ensure_future(feed.meet(order))
        try:
            for patience in (_NUDGE_AFTER, _PROGRESS_PATIENCE):
                done, _ = await asyncio.wait({meeting}, timeout=patience)
                if done:
                    break
                if patience == _NUDGE_AFTER:
                    await self._reader.nudge()
                else:
                    complain(
                        RequestError(
                            "not_ready", f"the tailer of `{feed.database}` has not caught up; waiting for it"
                        )
                    )
            await meeting
        finally:
            meeting.cancel()


def _overlaid(
    query: LiveQuery, totals: Totals, rows: Mapping[bytes, bytes], layers: Iterable[Overlay]
) -> Totals:
    """What an aggregate comes to where these changes by key are made in the rows (key → share) that were counted."""
    changed: dict[bytes, bytes | None] = {}
    for layer in layers:
        if layer.cleared:
            totals, rows, changed = query.new_totals(), {}, {}
        totals.lay(rows, changed, layer.deltas)
    return totals
