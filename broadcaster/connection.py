"""One client's stream: its subscriptions, its cursor, and the order in which frames leave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

import msgspec

from broadcaster.audience import Audience
from broadcaster.errors import RequestError
from broadcaster.livequery import LiveQuery, Told
from broadcaster.metrics import Metrics
from broadcaster.outbox import Outbox
from broadcaster.outcome import Outcome
from broadcaster.sse import cursor_prefix, cursor_text, frames, initial_frames
from broadcaster.subscription import Phase, Subscription

_SLOW_BYTES: Final = 1 << 16


class Place(Protocol):
    """How far the stream of one database's log has been dispatched."""

    epoch: str
    place: int


class Connection:
    """Events queue in `_events` until `flush`, so that the last one of a transaction carries the cursor.

    places: for each database of this connection's subscriptions, where its feed stands. coalesces: while its reader is
    behind, changes wait here, merged by row, and no cursor is sent that is past them. on_behind: called with the
    connection when that begins; `release` is to be called once the reader has caught up.
    """

    __slots__ = (
        "_audience",
        "_covered",
        "_deferring",
        "_events",
        "_on_behind",
        "_owes_cursor",
        "_own",
        "_places",
        "_prefix",
        "_replaying",
        "coalesces",
        "metrics",
        "outbox",
        "subscriptions",
    )

    def __init__(
        self,
        outbox: Outbox,
        places: Mapping[str, Place],
        metrics: Metrics,
        *,
        coalesces: bool = False,
        on_behind: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        self.outbox = outbox
        self.coalesces = coalesces
        self.metrics = metrics
        self._on_behind = on_behind
        self._deferring: dict[Subscription, None] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self._places = dict(sorted(places.items()))
        self._replaying: dict[str, int] = {}
        self._covered: set[bytes] = set()
        self._prefix: bytes | None = None
        self._events: list[tuple[bytes, bytes]] = []
        self._owes_cursor = False
        self._audience: Audience | None = None
        self._own: LiveQuery | None = None  # that nobody else had, when last looked at

    def cursor(self) -> bytes:
        """Where this client stands after all events queued so far."""
        if self._replaying:
            offsets = [self._replaying.get(alias, place.place) for alias, place in self._places.items()]
        else:
            offsets = [place.place for place in self._places.values()]
        return cursor_text(self._cursor_prefix(), offsets)

    def _cursor_prefix(self) -> bytes:
        if self._prefix is None:
            self._prefix = cursor_prefix(
                {alias: place.epoch for alias, place in self._places.items()}, self._covered
            )
        return self._prefix

    def cover(self, subscription: Subscription) -> None:
        """From here on the cursor speaks of this subscription too, if the log tells what may be missed of it."""
        self.leave()
        self._own = None
        if subscription.live_query.is_replayable:
            self._covered.add(subscription.digest)
            self._prefix = None

    def uncover(self, subscription: Subscription) -> None:
        """The cursor says nothing about this subscription any more."""
        self.leave()
        self._covered.discard(subscription.digest)
        self._prefix = None

    def replaying(self, database: str, place: int | None) -> None:
        """The database's frames are replayed from the log up to `place`; None: they follow the feed again."""
        self.leave()
        if place is None:
            self._replaying.pop(database, None)
        else:
            self._replaying[database] = place

    def epoch_changed(self) -> None:
        """A log began anew: cursors are made with its new epoch."""
        self.leave()
        self._prefix = None

    # -- audiences --------------------------------------------------------------------------------------------

    def join(self) -> bool:
        """Be told together with all who stand where this connection does, if it lacks nothing and is not alone there.
        Returns whether it is."""
        own = self._own
        if (own is not None and not own.is_shared) or not self._is_settled:
            return False
        subscriptions = self.subscriptions.values()
        self._own = next((one.live_query for one in subscriptions if not one.live_query.is_shared), None)
        if self._own is not None:
            return False
        ids = tuple([(one.id_json, one.live_query) for one in subscriptions])
        key = self._cursor_prefix(), self.outbox.is_chunked, self.coalesces, ids
        audience = ids[0][1].audiences.get(key)
        if audience is None:
            audience = Audience(key, tuple(self._places.values()), self.outbox.tick, self.metrics)
        elif not audience.is_idle:
            return False
        audience.join(self)
        self._audience = audience
        self._prefix = audience.key[0]  # one for all
        for subscription in subscriptions:
            subscription.live_query.subscriptions.discard(subscription)
        return True

    @property
    def _is_settled(self) -> bool:
        if self._events or self._deferring or self._replaying or self._owes_cursor or not self.outbox.is_idle:
            return False
        return all(one.phase is Phase.LIVE for one in self.subscriptions.values())

    def leave(self) -> None:
        """Be told alone from here on, if it was not already."""
        audience = self._audience
        if audience is None:
            return
        self._audience = None
        for subscription in self.subscriptions.values():
            subscription.live_query.subscriptions.add(subscription)
        self._events, payloads = audience.leave(self)
        for payload in payloads:
            self.outbox.send(payload)

    def close(self) -> None:
        """End the stream after what was told so far."""
        self.leave()
        self.outbox.close()

    # -- events -----------------------------------------------------------------------------------------------

    def push(self, event: bytes, data: bytes) -> None:
        """Queue an event; nothing is sent before `flush`."""
        if self._audience is not None:
            self.leave()
        self._events.append((event, data))

    def flush(self, *, with_cursor: bool = True, asked: bool = False) -> None:
        """Send what was pushed; the last event carries the cursor. `asked`: see `Outbox.send`.

        Where a `reset` or an `error` broke in on a transaction, a `progress` carries the cursor that its diffs lack.
        """
        events = self._events
        if self._deferring and with_cursor:
            if not events:
                return
            self._put_deferred_first()
        if not events and with_cursor and self._owes_cursor:
            self.push(b"progress", b"{}")
        if not events:
            return
        self._owes_cursor = not with_cursor and (self._owes_cursor or len(events) > 1)
        self.metrics.frames(events)
        self.outbox.send(frames(events, self.cursor() if with_cursor else None), asked=asked)
        events.clear()

    @property
    def is_behind(self) -> bool:
        """Whether changes are deferred: since the reader is slow, or was and has not got those before."""
        return bool(self._deferring) or self.is_slow

    @property
    def is_slow(self) -> bool:
        """Whether so much waits for the reader that it had better get fewer, larger frames."""
        return self.outbox.unsent > self.slow_bytes

    @property
    def slow_bytes(self) -> int:
        """With more than that unsent, its reader is slow."""
        return min(_SLOW_BYTES, self.outbox.limit // 4)

    def defer(self, subscription: Subscription, outcome: Outcome, before: Told | None) -> None:
        """Keep an outcome until the reader has caught up. Evicts it where that is more than may wait. before: see
        `Subscription.defer`."""
        self.leave()
        begins = not self._deferring
        self._deferring[subscription] = None
        subscription.defer(outcome, before)
        self.metrics.deferred.inc()
        if sum(one.deferred.size for one in self._deferring if one.deferred) > self.outbox.limit:
            self.outbox.evict()
        elif begins:
            self._on_behind(self)

    def release(self) -> None:
        """Send what was deferred, one event for each live query."""
        if self._deferring:
            self._put_deferred_first()
            if not self._events:
                self.push(b"progress", b"{}")
            self.flush()

    def _put_deferred_first(self) -> None:
        data = [(b"diff", told) for one in self._deferring if (told := one.release()) is not None]
        self._deferring.clear()
        self._events[:0] = data

    def forget_deferred(self, subscription: Subscription) -> None:
        """What was deferred for this subscription is worth nothing."""
        self._deferring.pop(subscription, None)
        subscription.deferred = None

    def progress(self) -> None:
        """Tell where the stream stands; also the heartbeat."""
        self.push(b"progress", b"{}")
        self.flush(with_cursor=bool(self._covered))

    def reset(self, subscription: Subscription, reason: str) -> None:
        """Tell the client to forget this live query's rows; an initial result follows."""
        self.uncover(subscription)
        self.forget_deferred(subscription)
        self.push(b"reset", b'{"id":%b,"reason":"%b"}' % (subscription.id_json, reason.encode()))
        self.flush(with_cursor=False)

    def error(self, subscription: Subscription | None, error: RequestError) -> None:
        """Tell what is wrong, with one subscription or with the whole stream."""
        data: dict[str, object] = {} if subscription is None else {"id": subscription.id}
        data |= error.body()
        self.push(b"error", msgspec.json.encode(data))
        self.flush(with_cursor=False)

    async def send_initial(self, subscription: Subscription, docs: Iterable[bytes], frame_bytes: int) -> None:
        """Send the result in parts, no faster than the client reads."""
        for part in initial_frames(subscription.id_json, docs, frame_bytes):
            self.leave()
            self.metrics.frames([(b"initial", part)])
            self.outbox.send(part, asked=True)
            await self.outbox.drain()

    def go_live(self, subscription: Subscription, ready: bytes) -> None:
        """Queue `ready`, then what was held meanwhile; with the next `flush` the cursor covers the subscription."""
        held = subscription.held
        subscription.held = []
        subscription.phase = Phase.LIVE
        self.cover(subscription)
        self.push(b"ready", ready)
        for data in held:
            self.push(b"diff", data)

    def emptied(self, subscription: Subscription, docs: list[bytes], frame_bytes: int) -> None:
        """The collection was truncated: the whole result, which is known, follows."""
        self.forget_deferred(subscription)
        self.push(b"reset", b'{"id":%b,"reason":"truncated"}' % subscription.id_json)
        self.flush(with_cursor=False)
        if not subscription.skip_initial:
            for part in initial_frames(subscription.id_json, docs, frame_bytes):
                self.metrics.frames([(b"initial", part)])
                self.outbox.send(part)
        count = None if subscription.skip_initial else len(docs)
        self.push(b"ready", subscription.ready(count))
