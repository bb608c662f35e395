"""Follows one database's log and dispatches every transaction to the live queries that it touches."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Sequence, Set

from broadcaster.aggregate import Aggregation, Shares
from broadcaster.delivery import Delivery
from broadcaster.evaluate import compile_predicate
from broadcaster.evaluation import Evaluation
from broadcaster.livequery import LiveQuery
from broadcaster.metrics import Metrics
from broadcaster.order import Order
from broadcaster.predicate import Node, canonical
from broadcaster.recent import Recent
from broadcaster.subscription import Phase, Subscription
from broadcaster.view import WHOLE, Projection, View
from cdc.config import Limits
from cdc.errors import CursorExpired, EpochChanged, LogError
from cdc.event import Chunk, Reset
from cdc.log import EventLog, LogReader

log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5
_POLL_SECONDS = 0.01
_QUIET_LOOKS = 50
_LOOK_BACK = 100_000
"""Offsets before the end that are read at start for the ids of transactions that a snapshot might not show yet."""


class Feed:
    """The stream of one database.

    epoch, place: how far everything was dispatched; order: the database's position that this contains.
    reached_end: whether the log was read to its end, and has been readable since; complaint: why it is not now.
    restart: called with a live subscription and a reason when only a fresh result can serve it; refill: with one of
        whose window too few rows are known.
    """

    def __init__(
        self,
        database: str,
        event_log: EventLog,
        metrics: Metrics,
        *,
        restart: Callable[[Subscription, str], None],
        refill: Callable[[Subscription], None],
        limits: Limits,
    ) -> None:
        self.database = database
        self.log = event_log
        self.epoch = ""
        self.place = 0
        self.order: int | None = None
        self.source_epoch: str | None = None
        self.reached_end = False
        self.complaint: str | None = None
        self.recent = Recent()
        self._reset_by: dict[str, str] = {}  # by collection, the transaction that its newest reset is about
        self._metrics = metrics
        self._restart = restart
        self._limits = limits
        self._delivery = Delivery(metrics, restart=restart, refill=refill, limits=limits)
        self._queries: dict[str, LiveQuery] = {}
        self._evaluation = Evaluation()
        self._wanted: frozenset[str] = frozenset()
        self._followed: frozenset[str] | None = None  # by the reader that is open
        self._reading: asyncio.Task[None] | None = None
        self._looked_at: frozenset[str] = frozenset()  # for the transactions in `recent`
        self._boundary = asyncio.Event()
        self._waiting: dict[asyncio.Future[None], int] = {}

    # -- live queries -----------------------------------------------------------------------------------------

    @property
    def queries(self) -> Collection[LiveQuery]:
        """Those with a subscriber."""
        return self._queries.values()

    def intern(
        self,
        collection: str,
        node: Node,
        view: View = WHOLE,
        order: Order | None = None,
        aggregation: Aggregation | None = None,
    ) -> LiveQuery:
        """The live query of this meaning; equal ones are the same object while anyone subscribes to it. aggregation:
        rows are counted rather than shown, so that the view does not matter."""
        key = f"{self.database}\0{collection}\0{canonical(node)}"
        if aggregation is not None:
            key += f"\0\0\0{aggregation.text()}"
        elif not view.is_whole:
            key += f"\0{view.text()}"
        if order is not None:
            key += f"\0\0{order.text()}"
        query = self._queries.get(key)
        if query is not None:
            return query
        return LiveQuery(
            key,
            self.database,
            collection,
            node,
            compile_predicate(node),
            self._limits.transaction_bytes,
            None if view.is_whole or aggregation is not None else Projection(view),
            order,
            None if aggregation is None else Shares(aggregation),
            self._limits.groups,
        )

    def twin(self, query: LiveQuery) -> LiveQuery:
        """The same live query, but one that takes no part in the dispatch."""
        return LiveQuery(
            query.key,
            self.database,
            query.collection,
            query.node,
            query.test,
            self._limits.transaction_bytes,
            query.projection,
            query.order,
            query.shares,
            query.max_groups,
        )

    def attach(self, subscription: Subscription) -> None:
        """Dispatch to this subscription from now on. Call only at a boundary."""
        query = subscription.live_query
        known = self._queries.setdefault(query.key, query)
        if known is not query:
            subscription.live_query = query = known
        if not query.subscribers:
            query.forget()  # nobody has followed it meanwhile
            self._evaluation.add(query)
        query.subscriptions.add(subscription)
        self._metrics.live_queries.set(len(self._queries))

    def detach(self, subscription: Subscription) -> None:
        """Dispatch no more to this subscription."""
        query = subscription.live_query
        subscription.connection.leave()
        if subscription not in query.subscriptions:
            return
        query.subscriptions.discard(subscription)
        if not query.subscribers:
            self._evaluation.remove(query)
            del self._queries[query.key]
        self._metrics.live_queries.set(len(self._queries))

    def is_shown(self, collection: str, shows: Callable[[str], bool]) -> bool:
        """Whether a read shows what the newest reset of the collection is about. One that does not is worth nothing:
        no event tells what it lacks."""
        tx = self._reset_by.get(collection)
        return tx is None or shows(tx)

    async def boundary(self) -> None:
        """Wait until the feed runs, has a position, and stands between two transactions; no other task has run since it
        did."""
        while not self._boundary.is_set():
            await self._boundary.wait()

    async def reach(self, epoch: str, place: int) -> None:
        """Wait until the feed stands at or after an offset that the log has, at a boundary, or the epoch is over."""
        while self.place < place and self.epoch == epoch:
            await asyncio.sleep(_POLL_SECONDS)
            await self.boundary()

    async def meet(self, order: int) -> None:
        """Wait until everything that committed below `order` was dispatched."""
        if self._boundary.is_set() and self.order is not None and self.order >= order:
            return
        met: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[met] = order
        try:
            await met
        finally:
            del self._waiting[met]

    # -- the log ----------------------------------------------------------------------------------------------

    async def follow(self, collections: Set[str]) -> None:
        """Read these collections, too, from now on, and wait until that is so: of the log only what somebody asked for
        is read, since on Kafka each collection is a topic."""
        if not collections <= self._wanted:
            self._wanted |= collections
            self._boundary.clear()
            if self._reading is not None and self._followed is not None:
                self._reading.cancel()
        while self._followed is None or not collections <= self._followed:
            await self._boundary.wait()

    async def run(self) -> None:
        """Follow the log until cancelled; says what is wrong and tries again."""
        while True:
            self._reading = reading = asyncio.create_task(self._read(), name=f"log of {self.database}")
            try:
                await asyncio.wait({reading})
            finally:
                if not reading.done():
                    reading.cancel()
                    await asyncio.wait({reading})
            if not reading.cancelled():  # as it is where there are more collections to follow
                reading.result()

    async def _read(self) -> None:
        """Follow the log until something is wrong with it, or `follow` ends it."""
        reader: LogReader | None = None
        try:
            reader = await self._open()
            self.complaint = None
            while self._followed == self._wanted:
                for chunk in await reader.read():
                    self._dispatch(chunk)
        except EpochChanged:
            log.warning("%s: the event log was started anew; all live queries start over", self.database)
            self._start_over("epoch_changed")
        except CursorExpired:
            log.warning(
                "%s: fell behind what the event log keeps; all live queries start over", self.database
            )
            self._start_over("too_far_behind")
        except LogError as error:
            self.reached_end = False
            if str(error) != self.complaint:
                self.complaint = str(error)
                log.error("%s: %s; trying again", self.database, self.complaint)
            await asyncio.sleep(_RETRY_SECONDS)
        finally:
            self._boundary.clear()
            self._followed = None
            if reader is not None:
                await reader.close()

    async def _open(self) -> LogReader:
        """A reader of what is wanted, from where the feed stands, or from the end; after a look back at the newest
        transactions where that was not done yet for all these collections."""
        looks = 0
        while (state := await self.log.state()) is None:
            looks += 1
            if looks == _QUIET_LOOKS:
                log.warning(
                    "%s: there is no event log yet; waiting for a tailer to begin it (same --log-dir, or --prod too?)",
                    self.database,
                )
            await asyncio.sleep(0.1)
        wanted, begins = self._wanted, not self.epoch
        place = state.newest if begins else self.place
        if begins or wanted != self._looked_at:
            await self._look_back(max(state.oldest, place - _LOOK_BACK), place, wanted)
            self._looked_at = wanted
        reader = await self.log.reader(place, wanted, follows=True)
        if not begins and reader.epoch != self.epoch:
            await reader.close()
            raise EpochChanged
        self.epoch = reader.epoch
        if begins:
            self.place = place
            if state.position is not None:
                self.source_epoch, self.order = state.position.epoch, state.position.order
        self._evaluation.abandon()
        self.reached_end = True
        self._followed = wanted
        if wanted == self._wanted:
            self._reach_boundary()
        return reader

    async def _look_back(self, start: int, end: int, collections: frozenset[str]) -> None:
        recent, self._reset_by = Recent(), {}
        if start < end and collections:
            reader = await self.log.reader(start, collections)
            try:
                past, place = Evaluation(), start
                while place < end:
                    for chunk in await reader.read():
                        self._note(chunk.resets)
                        for done in past.run(chunk):
                            if done.last <= end:
                                recent.add(done.part.tx, done.first, done.last)
                        place = chunk.end
            finally:
                await reader.close()
        self.recent = recent

    def _reach_boundary(self) -> None:
        """A log without a position was only just made: where in the database's log it begins is decided later than now,
        so that nothing that is read now would meet it."""
        if self.order is not None:
            self._boundary.set()

    def _note(self, resets: Sequence[Reset]) -> None:
        self._reset_by |= {reset.collection: reset.tx for reset in resets if reset.tx}

    def _start_over(self, reason: str) -> None:
        self.epoch = ""
        self.order = None
        self.reached_end = False
        self._evaluation.abandon()
        for query in list(self._queries.values()):
            query.disperse()
            for subscription in query.subscriptions:
                subscription.connection.epoch_changed()
            self._lose(query, reason)

    def _lose(self, query: LiveQuery, reason: str) -> None:
        """What subscribers have of it is worth nothing; start them over, in whichever phase they are."""
        query.forget()
        query.disperse()
        if query.overlay is not None:
            query.overlay.broken = True
        for subscription in list(query.subscriptions):
            if subscription.phase is Phase.LIVE:
                self._restart(subscription, reason)
            else:
                subscription.make_stale(reason)

    # -- dispatch ---------------------------------------------------------------------------------------------

    def _dispatch(self, chunk: Chunk) -> None:
        started = time.perf_counter()
        self._note(chunk.resets)
        for reset in chunk.resets:
            for query in list(self._queries.values()):
                if query.collection == reset.collection:
                    self._lose(query, reset.reason)
        for done in self._evaluation.run(chunk):
            self.recent.add(done.part.tx, done.first, done.last)
            self.place = done.last
            if done.outcomes:
                self._delivery.deliver(done)
        if chunk.position is not None:
            self.source_epoch, self.order = chunk.position.epoch, chunk.position.order
        if self._evaluation.in_transaction:
            self._boundary.clear()
        else:
            self.place = chunk.end
            self._reach_boundary()
        if chunk.position is not None:
            for met, order in self._waiting.items():
                if chunk.position.order >= order and not met.done():
                    met.set_result(None)
        self._metrics.dispatched(
            self._evaluation.take_candidates(), len(chunk.entries), time.perf_counter() - started
        )
