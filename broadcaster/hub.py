"""Brings subscriptions to life: from a snapshot (`join`), or from where a cursor stands (`replay`)."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from broadcaster.connection import Connection
from broadcaster.errors import RequestError
from broadcaster.feed import Feed
from broadcaster.join import Join, Result
from broadcaster.metrics import Metrics
from broadcaster.patience import patiently
from broadcaster.predicate import Node
from broadcaster.recent import PRUNE_AT
from broadcaster.replay import Replays
from broadcaster.snapshot.reader import SnapshotReader
from broadcaster.sse import Cursor
from broadcaster.subscription import Phase, Subscription
from cdc.config import Limits
from cdc.errors import CursorExpired, EpochChanged, LogError

log = logging.getLogger(__name__)

_BOUNDARY_PATIENCE = 5.0
_RETRY_FIRST, _RETRY_MOST = 0.2, 5.0
_WATCH_SECONDS = 2.0
_LOOK_SECONDS = 0.02
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
        self._joins = {alias: Join(feed, readers[alias], limits, metrics) for alias, feed in feeds.items()}
        self.complaints: dict[str, str | None] = dict.fromkeys(feeds, "not asked yet")
        self._replays = {alias: Replays(feed, limits.replay_bytes) for alias, feed in feeds.items()}
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
                why = str(error.__cause__ or error)
                if complaint is None:
                    log.warning("%s: %s; live queries wait for it", feed.database, why)
                complaint = why
            self.complaints[feed.database] = complaint
            await asyncio.sleep(_WATCH_SECONDS)

    async def found(self, database: str, collection: str, node: Node) -> bool:
        """Whether the collection has a row that matches now. Raises RequestError where it cannot be asked."""
        query = self.feeds[database].intern(collection, node)
        try:
            return bool((await self._readers[database].read(query, 1, self._limits.initial_bytes)).rows)
        except RequestError as error:
            if error.code != "result_too_large":
                raise
            return True

    async def close(self) -> None:
        """Release the readers' connections."""
        for reader in self._readers.values():
            await reader.close()

    def check_room(self, databases: Iterable[str]) -> None:
        """Raises RequestError `overloaded` where so many initial results of one of these wait to be read that no other
        should. Who comes with a cursor is let in: to resume takes no read."""
        for database in databases:
            if self._joins[database].waiting >= self._limits.waiting_snapshots:
                raise RequestError("overloaded", f"too many initial results of `{database}` wait to be read")

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
        if subscription.connection in self._tasks:
            pause = self._suspend(subscription)
            self._reset(subscription, reason)
            self._spawn(subscription.connection, self._establish(subscription, pause))

    def refill(self, subscription: Subscription) -> None:
        """What a live subscription shows must be read again."""
        if subscription.connection in self._tasks:
            pause = self._suspend(subscription)
            self._spawn(subscription.connection, self._refill(subscription, pause))

    def _suspend(self, subscription: Subscription) -> float:
        """What comes is of no use until the next snapshot; returns the seconds until it may be read."""
        subscription.begin_waiting()
        now = asyncio.get_running_loop().time()
        pause = max(0.0, subscription.restarted_at + _RESTART_SECONDS - now)
        subscription.restarted_at = now + pause
        return pause

    def _reset(self, subscription: Subscription, reason: str) -> None:
        subscription.connection.reset(subscription, reason)
        self._metrics.resets.labels(reason).inc()

    def catch_up(self, connection: Connection) -> None:
        """The connection's reader is behind; what it was not told is sent once it has caught up."""
        if connection in self._tasks:
            self._spawn(connection, self._catch_up(connection))

    async def _catch_up(self, connection: Connection) -> None:
        while connection.is_slow:
            await connection.outbox.drain()
            await asyncio.sleep(_LOOK_SECONDS)
        connection.release()

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
            connection.close()
        except Exception:
            log.exception("a subscription failed; its connection is closed, the client will resume")
            connection.error(None, RequestError("internal", "the server made a mistake; reconnect"))
            connection.close()

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
            subscription.begin_waiting()
            feed.attach(subscription)
            docs: list[Sequence[bytes]] = []
            try:
                if subscription.skip_initial:
                    subscription.begin_holding()
                else:
                    take = partial(_take, subscription, docs)
                    if not await self._joins[feed.database].result(subscription, take):
                        delay = await self._back_off(delay)
                        continue
                    await connection.send_initial(subscription, docs[0], self._limits.frame_bytes)
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
                count = len(docs[0]) if docs else None
                connection.go_live(subscription, subscription.ready(count))
                connection.flush(asked=True)
                if subscription.frozen is not None:
                    self.refill(subscription)
                return
            self._reset(subscription, subscription.stale)
            delay = await self._back_off(delay)

    async def _refill(self, subscription: Subscription, pause: float) -> None:
        """Read again what is shown. The client is told nothing until then, and then what leads from what it shows to
        what there is now; only where the rows it has are worth nothing does it start over."""
        await asyncio.sleep(pause)
        connection, feed = subscription.connection, self.feeds[subscription.live_query.database]
        delay, complained, done = _RETRY_FIRST, False, False
        while not done:
            await self._boundary(connection, feed, [subscription])
            reason = subscription.stale
            if reason is not None:
                self._reset(subscription, reason)
                await self._establish(subscription)
                return
            try:
                done = await self._joins[feed.database].result(
                    subscription, partial(self._refilled, subscription)
                )
            except RequestError as error:
                if not error.retryable:
                    self._give_up(subscription, error)
                    return
                if not complained:
                    connection.error(subscription, error)
                    complained = True
            if not done:
                delay = await self._back_off(delay)

    def _refilled(self, subscription: Subscription, _: Result) -> None:
        data = subscription.refill()
        subscription.phase = Phase.LIVE
        self._metrics.refills.inc()
        if data is not None:
            subscription.connection.push(b"diff", data)
            subscription.connection.flush(asked=True)

    async def _boundary(
        self, connection: Connection, feed: Feed, subscriptions: Sequence[Subscription]
    ) -> None:
        """`Feed.boundary`, with their collections followed; tells the client where that takes long, as without a log or
        with one that cannot be read."""
        collections = {subscription.live_query.collection for subscription in subscriptions}
        try:
            async with asyncio.timeout(_BOUNDARY_PATIENCE):
                await feed.follow(collections)
                await feed.boundary()
        except TimeoutError:
            for subscription in subscriptions:
                connection.error(
                    subscription,
                    RequestError(
                        "not_ready", f"the event log of `{feed.database}` is not there; waiting for it"
                    ),
                )
            await feed.follow(collections)
            await feed.boundary()

    async def _back_off(self, delay: float) -> float:
        await asyncio.sleep(random.uniform(delay / 2, delay))
        return min(delay * 2, _RETRY_MOST)

    def _give_up(self, subscription: Subscription, error: RequestError) -> None:
        self._metrics.rejections.labels(error.code).inc()
        self.feeds[subscription.live_query.database].detach(subscription)
        subscription.connection.forget_deferred(subscription)
        subscription.connection.error(subscription, error)

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
            state = await patiently(feed.database, feed.log.state)
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
            await self._replays[feed.database].run(connection, subscriptions, place[1])
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
                connection.go_live(subscription, subscription.ready(resumed=True))
                self._metrics.resumes.labels("replayed").inc()
            else:
                feed.detach(subscription)
                connection.uncover(subscription)
                over.append((subscription, subscription.stale))
        connection.flush(asked=True)
        return over


def _take(subscription: Subscription, docs: list[Sequence[bytes]], result: Result) -> None:
    subscription.begin_holding()
    docs.append(result)
