"""Deletes position records that need not be kept: what is not reachable by them is no part of the log any more."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from cdc.errors import LogError
from cdc.log.kafka.frame import Frame
from cdc.log.kafka.link import Link, persist
from cdc.log.kafka.search import PATIENCE, PositionTopic
from cdc.log.kafka.topics import trim

_SECONDS: Final = 30.0
_PART: Final = 20
"""Trimming waits for a twentieth of what is kept."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Retention:
    """How much the log keeps: what was written in the last `seconds`, and of this the newest `size` bytes; None: no
    bound."""

    seconds: float | None
    size: int | None


class Trim:
    """In the background, since the log is right with or without it. It never takes a part of a transaction, nor the
    last position record."""

    def __init__(self, link: Link, positions: PositionTopic, retention: Retention) -> None:
        self._link = link
        self._positions = positions
        self._retention = retention
        self._next_at = 0.0
        self._total = 0
        self._task: asyncio.Task[None] | None = None

    def consider(self, last: Frame, now: float) -> None:
        """After an append; `last` is the log's last frame, `now` in Unix seconds."""
        keep = self._retention
        old = keep.seconds is not None and now >= self._next_at
        large = keep.size is not None and last.total - self._total > keep.size // _PART
        if not (old or large) or (self._task is not None and not self._task.done()):
            return
        if keep.seconds is not None:
            self._next_at = now + min(_SECONDS, keep.seconds / _PART)
        self._total = last.total
        self._task = asyncio.create_task(self._run(last, int(now * 1000)))

    async def _run(self, last: Frame, now_ms: int) -> None:
        keep = self._retention
        oldest_ms = 0 if keep.seconds is None else now_ms - int(keep.seconds * 1000)
        smallest = 0 if keep.size is None else last.total - keep.size

        def is_kept(frame: Frame) -> bool:
            return frame.epoch == last.epoch and frame.stored_ms >= oldest_ms and frame.whole >= smallest

        try:
            bounds = await self._positions.bounds()
            cut = await self._positions.find(is_kept, bounds) or bounds.last
            if cut is None or bounds.first is None:
                return
            whole = cut.frame.whole  # its transaction is kept from its first frame on
            begin = await self._positions.find(
                lambda frame: frame.epoch == last.epoch and frame.whole >= whole, bounds
            )
            if begin is not None and begin.offset > bounds.first.offset:
                await self.until(begin.offset)
        except LogError as error:
            _log.warning("the log could not be trimmed: %s", error)

    async def until(self, offset: int) -> None:
        """Delete the position records before this Kafka offset. Raises LogError."""
        await persist(lambda: trim(self._link, self._positions.partition[0], offset), PATIENCE)

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
