"""Subscribes: hold the stream, read the snapshot, lay one over the other, go live; or replay what a cursor missed.

Architecture, idea 2: snapshot and stream meet at a position.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from broadcaster.connection import Connection, ready_data
from broadcaster.errors import RequestError
from broadcaster.evaluation import Evaluation
from broadcaster.feed import Feed
from broadcaster.livequery import LiveQuery, Outcome
from broadcaster.metrics import Metrics
from broadcaster.recent import PRUNE_AT, Past
from broadcaster.snapshot.reader import Snapshot, SnapshotReader
from broadcaster.sse import Cursor
from broadcaster.subscription import Overlay, Subscription
from cdc.config import Limits
from cdc.errors import CursorExpired, EpochChanged, LogError

log = logging.getLogger(__name__)

_PROGRESS_PATIENCE = 10.0
_NUDGE_AFTER = 0.02
_BOUNDARY_PATIENCE = 5.0
_RETRY_FIRST, _RETRY_MOST = 0.2, 5.0
_WATCH_SECONDS = 2.0
_DRAIN_BYTES = 1 << 16
_RESTART_SECONDS = 1.0
"""A subscription starts over no more often than this, however often it has to."""


class Hub:
    """The feeds and readers of all databases, and the tasks that bring subscriptions to life.

    complaints: for each database why it cannot be asked now; None if it can.
    """

    def __init__(
        self,
        feeds: Mapping[str, Feed],
        readers: Mapping[str, SnapshotReader],
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self.feeds = feeds
        self._readers = readers
        self._limits = limits
        self._metrics = metrics
        self.complaints: dict[str, str | None] = dict.fromkeys(feeds, "not asked yet")
        self._tasks: dict[Connection, set[asyncio.Task[None]]] = {}

    async def run(self) -> None:
        """Follow all logs until cancelled."""
        async with asyncio.TaskGroup() as group:
            for feed in self.feeds.values():
                group.create_task(feed.run(), name=f"feed {feed.database}")
                group.create_task(self._watch(feed), name=f"watch {feed.database}")

    async def _watch(self, feed: Feed) -> None:
        """Ask the database now and then: can it be reached, and which transactions can be forgotten."""
        complaint: str | None = None
        while True:
            try:
                shows = await self._readers[feed.database].shows()
                if complaint is not None:
                    log.info("%s: the database answers again", feed.database)
                complaint = None
                if len(feed.recent) > PRUNE_AT:
                    feed.recent.prune(shows)
            except RequestError as error:
                if complaint is None:
                    log.warning("%s: %s; live queries wait for it", feed.database, error)
                complaint = str(error)
            self.complaints[feed.database] = complaint
            await asyncio.sleep(_WATCH_SECONDS)

    async def close(self) -> None:
        """Release the readers' connections."""
        for reader in self._readers.values():
            await reader.close()

    # -- connections ------------------------------------------------------------------------------------------

    def start(
        self, connection: Connection, subscriptions: Sequence[Subscription], cursor: Cursor | None
    ) -> None:
        """Bring a new connection's subscriptions to life: resume those that the cursor covers, start the others.

        cursor: None without one; one without places where it could not be read.
        """
        self._tasks[connection] = set()
        for alias in {s.live_query.database for s in subscriptions}:
            mine = [s for s in subscriptions if s.live_query.database == alias]
            self._spawn(connection, self._begin(connection, self.feeds[alias], mine, cursor))

    def restart(self, subscription: Subscription, reason: str) -> None:
        """A live subscription must start over."""
        connection = subscription.connection
        if connection in self._tasks:
            subscription.begin_overlay()
            subscription.overlay.broken = True
            connection.reset(subscription, reason)
            self._metrics.resets.labels(reason).inc()
            now = asyncio.get_running_loop().time()
            pause = max(0.0, subscription.restarted_at + _RESTART_SECONDS - now)
            subscription.restarted_at = now + pause
            self._spawn(connection, self._establish(subscription, pause))

    def stop(self, connection: Connection) -> None:
        """The connection is closed: nothing more is done for it."""
        for task in self._tasks.pop(connection, set()):
            task.cancel()
        for subscription in connection.subscriptions.values():
            self.feeds[subscription.live_query.database].detach(subscription)
        connection.subscriptions.clear()

    def _spawn(self, connection: Connection, work: Coroutine[Any, Any, None]) -> None:
        tasks = self._tasks[connection]
        task = asyncio.create_task(self._guard(connection, work))
        tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            work.close()  # not even begun where the task was cancelled before it was

        task.add_done_callback(done)

    async def _guard(self, connection: Connection, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except ConnectionResetError:
            connection.outbox.close()
        except Exception:
            log.exception("a subscription failed; its connection is closed, the client will resume")
            connection.error(None, RequestError("internal", "the server made a mistake; reconnect"))
            connection.outbox.close()

    async def _begin(
        self, connection: Connection, feed: Feed, subscriptions: list[Subscription], cursor: Cursor | None
    ) -> None:
        fresh: list[tuple[Subscription, str | None]]
        if cursor is None:
            fresh = [(s, None) for s in subscriptions]
        else:
            covered = [s for s in subscriptions if s.digest in cursor.covered]
            fresh = [
                (s, "not_in_cursor" if cursor.places else "cursor_invalid")
                for s in subscriptions
                if s.digest not in cursor.covered
            ]
            if covered:
                fresh += await self._resume(connection, feed, covered, cursor.places.get(feed.database))
        for subscription, reason in fresh:
            if reason is not None:
                connection.reset(subscription, reason)
                self._metrics.resumes.labels("reset").inc()
            self._spawn(connection, self._establish(subscription))

    # -- snapshot and stream ----------------------------------------------------------------------------------

    async def _establish(self, subscription: Subscription, pause: float = 0.0) -> None:
        """Bring one subscription to life from a fresh snapshot, as often as it takes; `pause` seconds first."""
        await asyncio.sleep(pause)
        connection, feed = subscription.connection, self.feeds[subscription.live_query.database]
        delay, complained = _RETRY_FIRST, False
        while True:
            await self._boundary(connection, feed, [subscription])
            subscription.begin_overlay()
            feed.attach(subscription)
            try:
                if not subscription.skip_initial:
                    rows = await self._rows(subscription, feed)
                    if rows is None:
                        delay = await self._back_off(delay)
                        continue
                    docs = list(rows.values())
                    await connection.send_initial(subscription, docs, self._limits.frame_bytes)
                    count: int | None = len(docs)
                else:
                    subscription.begin_holding()
                    count = None
            except RequestError as error:
                if not error.retryable:
                    self._give_up(subscription, error)
                    return
                if not complained:
                    connection.error(subscription, error)
                    complained = True
                feed.detach(subscription)
                delay = await self._back_off(delay)
                continue
            await feed.boundary()
            if subscription.stale is None:
                connection.go_live(subscription, ready_data(subscription, count))
                connection.flush(asked=True)
                return
            connection.reset(subscription, subscription.stale)
            self._metrics.resets.labels(subscription.stale).inc()
            delay = await self._back_off(delay)

    async def _boundary(
        self, connection: Connection, feed: Feed, subscriptions: Sequence[Subscription]
    ) -> None:
        """`Feed.boundary`; tells the client where that takes long, as without a log or with one that cannot be read."""
        try:
            async with asyncio.timeout(_BOUNDARY_PATIENCE):
                await feed.boundary()
        except TimeoutError:
            for subscription in subscriptions:
                connection.error(
                    subscription,
                    RequestError(
                        "not_ready", f"the event log of `{feed.database}` is not there; waiting for it"
                    ),
                )
            await feed.boundary()

    async def _back_off(self, delay: float) -> float:
        await asyncio.sleep(random.uniform(delay / 2, delay))
        return min(delay * 2, _RETRY_MOST)

    def _give_up(self, subscription: Subscription, error: RequestError) -> None:
        self._metrics.rejections.labels(error.code).inc()
        self.feeds[subscription.live_query.database].detach(subscription)
        subscription.connection.error(subscription, error)

    async def _rows(self, subscription: Subscription, feed: Feed) -> dict[bytes, bytes] | None:
        """The result at a position that the feed has reached; from then on frames are held.

        None if the stream did not let a consistent result come about; worth another try.
        """
        query, start = subscription.live_query, feed.place
        past = feed.recent.until(start)
        with self._metrics.snapshot_seconds.time():
            snapshot = await self._readers[query.database].read(query, self._limits.initial_rows)
            subscription.key = snapshot.key
            if feed.source_epoch is not None and snapshot.epoch != feed.source_epoch:
                raise RequestError(
                    "database_unavailable",
                    f"`{query.database}` is another server than the one that is tailed",
                )
            earlier = await self._unseen(feed, query, snapshot, past, start)
            await self._join(subscription, feed, snapshot)
        if subscription.overlay.broken or earlier.broken:
            return None
        rows = subscription.overlay.over(earlier.over(snapshot.rows))
        if len(rows) > self._limits.initial_rows:
            raise RequestError(
                "result_too_large", f"the result has more than {self._limits.initial_rows} rows (initialRows)"
            )
        return rows

    async def _unseen(
        self, feed: Feed, query: LiveQuery, snapshot: Snapshot, past: Past, start: int
    ) -> Overlay:
        """What transactions before the overlay's start did that the snapshot does not show. Raises RequestError where
        the log does not tell."""
        overlay = Overlay(self._limits.hold_bytes)
        ranges = past.unseen(snapshot.shows)
        if ranges:
            unseen = {last for _, last in ranges}
            alone = feed.evaluator_of(query.key, query.collection, query.node)
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

    async def _join(self, subscription: Subscription, feed: Feed, snapshot: Snapshot) -> None:
        """Wait until the feed has reached the snapshot's position, nudging the database where nothing moves."""
        joining = asyncio.ensure_future(feed.join(subscription, snapshot.order))
        try:
            for patience in (_NUDGE_AFTER, _PROGRESS_PATIENCE):
                done, _ = await asyncio.wait({joining}, timeout=patience)
                if done:
                    break
                if patience == _NUDGE_AFTER:
                    await self._readers[feed.database].nudge()
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

    # -- replay -----------------------------------------------------------------------------------------------

    async def _resume(
        self,
        connection: Connection,
        feed: Feed,
        subscriptions: list[Subscription],
        place: tuple[str, int] | None,
    ) -> list[tuple[Subscription, str | None]]:
        """Replay what followed the cursor. Returns the subscriptions that must start over, and why."""
        await self._boundary(connection, feed, subscriptions)
        if place is None or place[0] != feed.epoch:
            return [(s, "epoch_changed") for s in subscriptions]
        try:
            state = await feed.log.state()
        except LogError as error:
            log.error("%s: cannot tell whether a cursor is right, starting over: %s", feed.database, error)
            return [(s, "log_unreadable") for s in subscriptions]
        await feed.boundary()
        if state is None or place[1] > max(state.newest, feed.place):
            return [(s, "cursor_invalid") for s in subscriptions]
        await feed.reach(*place)
        if place[0] != feed.epoch:
            return [(s, "epoch_changed") for s in subscriptions]
        for subscription in subscriptions:
            subscription.begin_holding()
            feed.attach(subscription)
            connection.cover(subscription)
        connection.replaying(feed.database, place[1])
        try:
            await _Replay(connection, feed, subscriptions, place[1], self._limits.replay_bytes).run()
        except (CursorExpired, EpochChanged) as error:
            reason = "cursor_expired" if isinstance(error, CursorExpired) else "epoch_changed"
            for subscription in subscriptions:
                subscription.make_stale(reason)
        except LogError as error:
            log.error("%s: replay failed, starting over: %s", feed.database, error)
            for subscription in subscriptions:
                subscription.make_stale("log_unreadable")
        await feed.boundary()
        connection.replaying(feed.database, None)
        over: list[tuple[Subscription, str | None]] = []
        for subscription in subscriptions:
            if subscription.stale is None:
                connection.go_live(subscription, ready_data(subscription, resumed=True))
                self._metrics.resumes.labels("replayed").inc()
            else:
                feed.detach(subscription)
                connection.uncover(subscription)
                over.append((subscription, subscription.stale))
        connection.flush(asked=True)
        return over


class _Replay:
    """Reads a feed's log from a cursor's place to where the feed stood at the start, and sends what it finds."""

    def __init__(
        self, connection: Connection, feed: Feed, subscriptions: list[Subscription], place: int, limit: int
    ) -> None:
        self._connection = connection
        self._feed = feed
        self._place = place
        self._end = feed.place
        self._limit = limit
        self._evaluation = Evaluation()
        self._by_query: dict[str, list[Subscription]] = {}
        for subscription in subscriptions:
            query = subscription.live_query
            if query.key not in self._by_query:
                self._by_query[query.key] = []
                self._evaluation.add(feed.evaluator_of(query.key, query.collection, query.node))
            self._by_query[query.key].append(subscription)
        self._collections = frozenset(s.live_query.collection for s in subscriptions)

    async def run(self) -> None:
        """Raises CursorExpired, EpochChanged, LogError; subscriptions that cannot be served are made stale."""
        if self._place >= self._end:
            self._place = max(self._place, self._end)
            return
        reader = await self._feed.log.reader(self._place, self._collections)
        size = 0
        try:
            while self._place < self._end:
                for chunk in await reader.read():
                    size += sum(len(value or b"") for _, _, _, value in chunk.entries)
                    if size > self._limit:
                        self._lose_all("too_far_behind")
                        return
                    for reset in chunk.resets:
                        self._lose_all(reset.reason, reset.collection)
                    for done in self._evaluation.run(chunk):
                        if done.last > self._end:
                            return
                        for query, outcome in done.outcomes:
                            self._send(self._by_query[query.key], outcome)
                        self._connection.replaying(self._feed.database, done.last)
                        self._connection.flush(asked=True)
                        if self._connection.outbox.unsent > _DRAIN_BYTES:
                            await self._connection.outbox.drain()
                    self._place = chunk.end
                await self._connection.outbox.drain()
        finally:
            await reader.close()

    def _send(self, subscriptions: list[Subscription], outcome: Outcome) -> None:
        reason = outcome.reset_reason or ("truncated" if outcome.truncated else None)
        for subscription in subscriptions:
            if subscription.stale is not None:
                continue
            if reason is not None:
                self._lose(subscription, reason)
            else:
                self._connection.push(b"diff", subscription.diff(outcome))

    def _lose(self, subscription: Subscription, reason: str) -> None:
        """Cursors sent from here on must not cover what is not replayed."""
        subscription.make_stale(reason)
        self._connection.uncover(subscription)

    def _lose_all(self, reason: str, collection: str | None = None) -> None:
        for subscriptions in self._by_query.values():
            for subscription in subscriptions:
                if collection in (None, subscription.live_query.collection):
                    self._lose(subscription, reason)
