"""Replays from the log what cursors missed."""

from __future__ import annotations

import asyncio

from broadcaster.connection import Connection
from broadcaster.evaluation import Done, Evaluation
from broadcaster.feed import Feed
from broadcaster.livequery import LiveQuery
from broadcaster.outcome import Outcome
from broadcaster.patience import patiently
from broadcaster.subscription import Subscription
from cdc.errors import CursorExpired, EpochChanged
from cdc.event import Chunk

_DRAIN_BYTES = 1 << 16
_SENT_AT_ONCE = 500
"""Frames after which the others of the event loop have their turn."""


class _Replay:
    """What one connection misses: the offsets `place` < offset <= `end`. size: bytes of log read for it so far;
    turn: done when it shall go on by itself, or is at its end."""

    def __init__(
        self, connection: Connection, subscriptions: list[Subscription], place: int, end: int
    ) -> None:
        self.connection = connection
        self.place = place
        self.end = end
        self.size = 0
        self.turn: asyncio.Future[None]
        self.by_query: dict[str, list[Subscription]] = {}
        for subscription in subscriptions:
            self.by_query.setdefault(subscription.live_query.key, []).append(subscription)

    @property
    def queries(self) -> list[LiveQuery]:
        return [subscriptions[0].live_query for subscriptions in self.by_query.values()]

    def send(self, query: LiveQuery, outcome: Outcome) -> None:
        reason = outcome.reset_reason or ("truncated" if outcome.truncated else None)
        for subscription in self.by_query[query.key]:
            if subscription.stale is not None:  # by what the feed brought meanwhile
                self.connection.uncover(subscription)
            elif reason is not None:
                self._lose(subscription, reason)
            else:
                self.connection.push(b"diff", subscription.diff(outcome))

    def reach(self, database: str, place: int) -> None:
        """All up to `place` was sent."""
        self.place = place
        self.connection.replaying(database, place)

    def lose_all(self, reason: str, collection: str | None = None) -> None:
        for subscriptions in self.by_query.values():
            for subscription in subscriptions:
                if collection in (None, subscription.live_query.collection):
                    self._lose(subscription, reason)

    def _lose(self, subscription: Subscription, reason: str) -> None:
        """Cursors sent from here on must not cover what is not replayed."""
        subscription.make_stale(reason)
        self.connection.uncover(subscription)


class Replays:
    """All replays of one feed. However many clients come back at once, the log is read once for all that are in
    one *pass* over it, and every live query is evaluated once.

    A client that reads slower than the pass goes leaves it, and joins the next one. limit: bytes of log for one client.
    """

    def __init__(self, feed: Feed, limit: int) -> None:
        self._feed = feed
        self._limit = limit
        self._waiting: list[_Replay] = []
        self._pass: asyncio.Task[None] | None = None

    async def run(self, connection: Connection, subscriptions: list[Subscription], place: int) -> None:
        """Send what followed `place`, up to where the feed stands at the call. Raises CursorExpired, EpochChanged, and
        LogError where the log cannot be read for long; subscriptions that cannot be served are made stale."""
        replay = _Replay(connection, subscriptions, place, self._feed.place)
        epoch = self._feed.epoch
        try:
            while replay.place < replay.end:
                await patiently(self._feed.database, lambda: self._take_part(replay, epoch))
                await connection.outbox.drain()
        finally:
            replay.end = replay.place  # in case it was cancelled
            if replay in self._waiting:
                self._waiting.remove(replay)

    async def _take_part(self, replay: _Replay, epoch: str) -> None:
        """In a pass; one that fails leaves the replay where it was, between two transactions."""
        if self._feed.epoch != epoch:
            raise EpochChanged
        replay.turn = asyncio.get_running_loop().create_future()
        self._waiting.append(replay)
        if self._pass is None:
            self._pass = asyncio.create_task(self._run())
        await replay.turn

    async def _run(self) -> None:
        try:
            while self._waiting:
                current = _Pass(self._feed, self._limit, self._waiting)
                try:
                    await current.run()
                except Exception as error:  # each of them deals with it
                    current.fail(list(current.members), error)
        finally:
            self._pass = None


class _Pass:
    """One reading of the log, from the least of the places on. waiting: from here come those who join it."""

    def __init__(self, feed: Feed, limit: int, waiting: list[_Replay]) -> None:
        self._feed = feed
        self._limit = limit
        self._waiting = waiting
        self._place = min(replay.place for replay in waiting)
        self._epoch = feed.epoch
        self._evaluation = Evaluation()
        self._alone: dict[str, LiveQuery] = {}
        self._by_query: dict[str, dict[_Replay, None]] = {}
        self.members: dict[_Replay, None] = {}
        self._sent = 0

    async def run(self) -> None:
        self._admit()
        while self.members:
            try:
                chunks = await self._read()
            except CursorExpired as error:
                self.fail([replay for replay in self.members if replay.place <= self._place], error)
                self._place = min((replay.place for replay in self.members), default=self._place)
                self._evaluation.abandon()
                continue
            for chunk in chunks:
                await self._replay(chunk)
            if not self._evaluation.in_transaction:
                self._admit()

    def _admit(self) -> None:
        """Let those in who miss nothing of what is still to be read."""
        for replay in [replay for replay in self._waiting if replay.place >= self._place]:
            self._waiting.remove(replay)
            self.members[replay] = None
            for query in replay.queries:
                if query.key not in self._alone:
                    alone = self._feed.twin(query)
                    self._alone[query.key] = alone
                    self._by_query[query.key] = {}
                    self._evaluation.add(alone)
                self._by_query[query.key][replay] = None

    def _release(self, replay: _Replay) -> None:
        """Its way goes on without this pass."""
        del self.members[replay]
        for query in replay.queries:
            members = self._by_query[query.key]
            del members[replay]
            if not members:
                del self._by_query[query.key]
                self._evaluation.remove(self._alone.pop(query.key))
        if not replay.turn.done():
            replay.turn.set_result(None)

    def fail(self, replays: list[_Replay], error: Exception) -> None:
        """They cannot go on, here or elsewhere."""
        for replay in replays:
            if not replay.turn.done():
                replay.turn.set_exception(error)
            self._release(replay)

    async def _read(self) -> list[Chunk]:
        """What follows the place."""
        wanted = frozenset(query.collection for query in self._alone.values())
        reader = await self._feed.log.reader(self._place, wanted)
        try:
            if reader.epoch != self._epoch:
                raise EpochChanged
            return await reader.read()
        finally:
            await reader.close()

    async def _replay(self, chunk: Chunk) -> None:
        size = sum(len(value or b"") for _, _, _, value in chunk.entries)
        for replay in [replay for replay in self.members if replay.place < chunk.end]:
            replay.size += size
            if replay.size > self._limit:
                replay.lose_all("too_far_behind")
                replay.end = replay.place
                self._release(replay)
                continue
            for reset in chunk.resets:
                replay.lose_all(reset.reason, reset.collection)
        for done in self._evaluation.run(chunk):
            self._send(done)
            if self._sent >= _SENT_AT_ONCE:
                self._sent = 0
                await asyncio.sleep(0)
        if not self._evaluation.in_transaction:
            for replay in list(self.members):
                if replay.place < chunk.end:
                    replay.reach(self._feed.database, min(chunk.end, replay.end))
                if replay.place >= replay.end:
                    self._release(replay)
        self._place = chunk.end
        await asyncio.sleep(0)

    def _send(self, done: Done) -> None:
        """A transaction to all who miss it: whose place lies before its first entry. Its last one tells nothing, for
        which that is depends on whose collections are read: to a client that was alone it may have been an earlier."""
        touched: dict[_Replay, None] = {}
        for query, outcome in done.outcomes:
            for replay in self._by_query.get(query.key, ()):
                if replay.place < done.first and done.last <= replay.end:
                    replay.send(query, outcome)
                    touched[replay] = None
        for replay in touched:
            self._sent += 1
            replay.reach(self._feed.database, done.last)
            replay.connection.flush(asked=True)
            outbox = replay.connection.outbox
            if outbox.unsent > _DRAIN_BYTES:
                outbox.flush()
                if outbox.unsent > _DRAIN_BYTES or outbox.is_closed:
                    self._release(replay)
