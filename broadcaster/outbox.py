"""One connection's way out: bytes joined once per loop tick, bounded; a reader too slow for it is evicted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from broadcaster.sse import LAST_CHUNK, chunked

log = logging.getLogger(__name__)

_LINGER_SECONDS: Final = 10.0
"""How long a stream that has ended waits for a slow reader to take the rest."""


class Tick:
    """Calls all that have something to send at the end of the loop's tick, in the order in which they came."""

    def __init__(self) -> None:
        self._due: list[Callable[[], None]] = []

    def add(self, flush: Callable[[], None]) -> None:
        """Call this once. It raises nothing."""
        if not self._due:
            asyncio.get_running_loop().call_soon(self._flush)
        self._due.append(flush)

    def _flush(self) -> None:
        due, self._due = self._due, []
        for flush in due:
            flush()


class Outbox(asyncio.Protocol):
    """The protocol of a connection's transport from the head of its response on. What the client sends is read away;
    where it ends its side, it is gone.

    tick: of all connections of the loop. is_chunked: whether payloads are sent as chunks of HTTP/1.1.
    limit: bytes that may wait unsent; beyond it the connection is aborted and the client resumes from its cursor.
    What the client asked for (a row of an initial result, a replayed transaction) may be larger than that: it waits
    beside the limit, else no attempt of even the fastest reader would ever get it.
    on_lost: called once, when the transport is closed, whoever closed it.
    """

    __slots__ = (
        "_allowance",
        "_drains",
        "_is_paused",
        "_on_evict",
        "_on_lost",
        "_pending",
        "_size",
        "is_chunked",
        "is_closed",
        "limit",
        "tick",
        "transport",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        tick: Tick,
        is_chunked: bool,
        limit: int,
        on_evict: Callable[[], None],
        on_lost: Callable[[Outbox], None],
    ) -> None:
        self.transport = transport
        self.tick = tick
        self.is_chunked = is_chunked
        self.limit = limit
        self.is_closed = False
        self._on_evict = on_evict
        self._on_lost = on_lost
        self._pending: list[bytes] = []
        self._size = 0
        self._allowance = 0
        self._is_paused = False
        self._drains: list[asyncio.Future[None]] = []

    # -- the transport's protocol -----------------------------------------------------------------------------

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        self._on_lost(self)

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._wake()

    # -- the way out ------------------------------------------------------------------------------------------

    @property
    def unsent(self) -> int:
        """Bytes not yet taken by the kernel."""
        return self._size + self.transport.get_write_buffer_size()

    @property
    def is_idle(self) -> bool:
        """Whether the reader got everything, and is there for more."""
        return not (self._pending or self.is_closed or self.transport.get_write_buffer_size())

    def send(self, payload: bytes, *, asked: bool = False) -> None:
        """Queue bytes for the end of this tick; dropped if the connection is closed (the cursor covers them).

        asked: they do not count against the limit until the reader has caught up.
        """
        if self.is_closed:
            return
        if asked:
            self._allowance += len(payload)
        if not self._pending:
            self.tick.add(self._flush)
        self._pending.append(payload)
        self._size += len(payload)

    def _flush(self) -> None:
        try:
            self.flush()
        except Exception:
            self.give_up()

    def flush(self) -> None:
        """Write what is queued; evict the connection if too much remains unsent."""
        if not self._pending or self.is_closed:
            return
        payload = b"".join(self._pending)  # of one alone: itself
        self._pending.clear()
        self._size = 0
        if self.transport.is_closing():
            self._end()
            return
        self.transport.write(chunked(payload) if self.is_chunked else payload)
        self.check()

    def check(self) -> None:
        """Evict the connection if more is unsent than may be."""
        waiting = self.transport.get_write_buffer_size()
        if waiting <= self.limit:
            self._allowance = 0
        elif waiting > self.limit + self._allowance:
            self.evict()

    def evict(self) -> None:
        """Abort the connection: its reader is too slow."""
        if not self.is_closed:
            self._on_evict()
            self.abort()

    def give_up(self) -> None:
        """Drop the connection, since an exception came of writing to it; call where that is handled."""
        log.exception("a connection cannot be written to; it is closed, the client will resume")
        self.abort()

    async def drain(self) -> None:
        """Wait until the reader has caught up; raises ConnectionResetError when it has gone."""
        self.flush()
        while self._is_paused and not self.is_closed:
            drained: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._drains.append(drained)
            await drained
        if self.is_closed:
            raise ConnectionResetError
        if not self._pending:
            self._allowance = 0

    def abort(self) -> None:
        """Drop the connection with all that is unsent."""
        self._end()
        self.transport.abort()

    def close(self) -> None:
        """End the stream: what was queued is the last that the client gets, if it reads it soon."""
        self.flush()
        if self.is_closed:
            return
        self._end()
        if self.is_chunked:
            self.transport.write(LAST_CHUNK)
        if self.transport.get_write_buffer_size():
            asyncio.get_running_loop().call_later(_LINGER_SECONDS, self.transport.abort)
        self.transport.close()

    def _end(self) -> None:
        self.is_closed = True
        self._wake()

    def _wake(self) -> None:
        drains, self._drains = self._drains, []
        for drained in drains:
            if not drained.done():
                drained.set_result(None)
