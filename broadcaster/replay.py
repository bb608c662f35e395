"""Replays from the log what a cursor missed."""

from __future__ import annotations

import asyncio

from broadcaster.connection import Connection
from broadcaster.evaluation import Evaluation
from broadcaster.feed import Feed
from broadcaster.livequery import Outcome
from broadcaster.subscription import Subscription
from cdc.errors import EpochChanged
from cdc.event import Chunk

_DRAIN_BYTES = 1 << 16


class Replay:
    """Reads a feed's log from a cursor's place to where the feed stood at the start, and sends what it finds.

    room: how many may read at once, however many clients come back at once: each reader costs a thread and some
    descriptors. It is not held while the client is waited for.
    """

    def __init__(
        self,
        connection: Connection,
        feed: Feed,
        subscriptions: list[Subscription],
        place: int,
        limit: int,
        room: asyncio.Semaphore,
    ) -> None:
        self._connection = connection
        self._feed = feed
        self._epoch = feed.epoch
        self._place = place
        self._end = feed.place
        self._limit = limit
        self._room = room
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
        size = 0
        while self._place < self._end:
            for chunk in await self._read():
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

    async def _read(self) -> list[Chunk]:
        """What follows the place."""
        async with self._room:
            reader = await self._feed.log.reader(self._place, self._collections)
            try:
                if reader.epoch != self._epoch:
                    raise EpochChanged
                return await reader.read()
            finally:
                await reader.close()

    def _send(self, subscriptions: list[Subscription], outcome: Outcome) -> None:
        reason = outcome.reset_reason or ("truncated" if outcome.truncated else None)
        for subscription in subscriptions:
            if subscription.stale is not None:  # by what the feed brought meanwhile
                self._connection.uncover(subscription)
            elif reason is not None:
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
