"""One source into one log: take, append, confirm; again after every failure that may pass."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from cdc.errors import LivetailError, LogError, LogInUse, PositionLost, SetupError, SourceUnavailable
from cdc.event import Batch
from cdc.health import SourceHealth, State
from cdc.log import EventLog, LogWriter
from cdc.metrics import DatabaseMetrics
from cdc.snapshot.progress import without
from cdc.snapshot.snapshots import Snapshots
from cdc.tailer import Source, Stream

FIRST_DELAY: Final = 0.1
LONGEST_DELAY: Final = 10.0
STANDBY_DELAY: Final = 1.0
"""A standby looks so often whether it may take over."""
STABLE: Final = 30.0  # after streaming for this long a failure is a new one
MOST_LOST: Final = 3
LOST_WITHIN: Final = 3600.0
_log = logging.getLogger(__name__)


class Pipeline:
    """Runs one source until it is cancelled or the source says that trying again is of no use.

    `snapshots`: reads collections into the log meanwhile. `reset_position`: give up the log's position once, before the
    first start; `begins_anew`: also where it turns out to be lost, but no more than `MOST_LOST` times in `LOST_WITHIN`.
    `clock` (Unix s), `sleep` and `jitter` (0 … 1) are arguments for the sake of tests.
    """

    def __init__(
        self,
        alias: str,
        source: Source,
        log: EventLog,
        health: SourceHealth,
        metrics: DatabaseMetrics,
        *,
        snapshots: Snapshots | None = None,
        reset_position: bool = False,
        begins_anew: bool = False,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._alias = alias
        self._source = source
        self._event_log = log
        self._health = health
        self._metrics = metrics
        self._snapshots = snapshots
        self._reset_position = reset_position
        self._begins_anew = begins_anew
        self._lost_at: deque[float] = deque(maxlen=MOST_LOST)
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._streaming_since: float | None = None

    async def run(self) -> None:
        """Never returns. Raises PositionLost or ProtocolError when an operator must act; the position is kept."""
        attempt = 0
        failure: LivetailError
        while True:
            self._streaming_since = None
            try:
                await self._session()
            except (SourceUnavailable, LogError) as error:
                failure = error
            except PositionLost as error:
                if not self._may_begin_anew():
                    self._stop("position_lost", error)
                    raise
                failure, self._reset_position = error, True
            except Exception as error:
                self._stop("error", error)
                raise
            finally:
                self._metrics.connected.set(0)
            attempt = 1 if self._was_stable() else attempt + 1
            self._metrics.retried(_reason(failure))
            self._enter(State.RETRYING, str(failure))
            _log.debug("%s: attempt %d failed: %s", self._alias, attempt, failure)
            if isinstance(failure, LogInUse):
                await self._sleep(STANDBY_DELAY)
            else:
                await self._sleep(self._jitter() * min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempt - 1)))

    def _stop(self, reason: str, error: Exception) -> None:
        self._metrics.stopped(reason)
        self._enter(State.FAILED, str(error))

    def _may_begin_anew(self) -> bool:
        """Whether a lost position is to be given up, rather than an operator asked; counted."""
        if not self._begins_anew:
            return False
        now = self._clock()
        if len(self._lost_at) == MOST_LOST and now - self._lost_at[0] < LOST_WITHIN:
            _log.error(
                "%s: the position was lost %d times in %.0f s", self._alias, MOST_LOST, now - self._lost_at[0]
            )
            return False
        self._lost_at.append(now)
        return True

    def _was_stable(self) -> bool:
        since = self._streaming_since
        return since is not None and self._clock() - since >= STABLE

    async def _session(self) -> None:
        """From opening the log to the first failure."""
        self._enter(State.CONNECTING)
        writer = await self._event_log.writer()
        try:
            if self._reset_position:
                await self._source.reset()
                await writer.start_over(None)
                self._reset_position = False
                _log.warning("%s: the position was reset; the log begins anew", self._alias)
            stream: Stream = await self._source.open(without(writer.position))
            if self._snapshots is not None:
                stream = self._snapshots.around(stream, writer.position, self._event_log)
            try:
                await self._pump(stream, writer)
            finally:
                if self._snapshots is not None:
                    self._snapshots.closed()
                await stream.close()
        finally:
            await writer.close()

    async def _pump(self, stream: Stream, writer: LogWriter) -> None:
        """What comes up while one batch is appended is the next batch, so commits group themselves."""
        self._enter(State.STREAMING)
        self._metrics.connected.set(1)
        self._streaming_since = self._clock()
        while True:
            batch = await stream.take()
            begun = self._health.appending_since = self._clock()
            await writer.append(batch)
            if batch.position is not None:
                stream.confirm(batch.position)
            self._appended(batch, begun)

    def _appended(self, batch: Batch, begun: float) -> None:
        now = self._clock()
        self._health.appending_since = None
        self._health.events += len(batch.records)
        self._metrics.append_seconds.observe(max(0.0, now - begun))
        self._metrics.appended(batch.records)
        for reset in batch.resets:
            self._metrics.reset(reset.collection)
            _log.warning("%s: collection %s begins anew: %s", self._alias, reset.collection, reset.reason)
        if batch.position is not None:
            self._health.lag = max(0.0, now - batch.ts_ms / 1000)
            self._metrics.lag.set(self._health.lag)
            self._metrics.position_time.set(batch.ts_ms / 1000)

    def _enter(self, state: State, reason: str = "") -> None:
        if not self._health.enter(state, reason):
            return
        if state is State.RETRYING:
            _log.warning("%s: %s; trying again", self._alias, reason)
        elif state is State.FAILED:
            _log.error("%s: stopped: %s", self._alias, reason)
        else:
            _log.info("%s: %s", self._alias, state.value)


def _reason(error: LivetailError) -> str:
    """The kind of a failure, for the metric's label."""
    if isinstance(error, SetupError):
        return "setup"
    if isinstance(error, PositionLost):
        return "position_lost"
    if isinstance(error, LogInUse):
        return "log_in_use"
    return "log" if isinstance(error, LogError) else "source"
