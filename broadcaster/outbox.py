"""One connection's way out: bytes joined once per loop tick, bounded; a reader too slow for it is evicted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from aiohttp.abc import AbstractStreamWriter

from broadcaster.sse import chunked

log = logging.getLogger(__name__)


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


class Outbox:
    """Writes to the connection's transport directly; the response's own writer only serves for flow control.

    tick: of all connections of the loop.
    limit: bytes that may wait unsent; beyond it the connection is aborted and the client resumes from its cursor.
    What the client asked for (a row of an initial result, a replayed transaction) may be larger than that: it waits
    beside the limit, else no attempt of even the fastest reader would ever get it.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        writer: AbstractStreamWriter,
        *,
        tick: Tick,
        is_chunked: bool,
        limit: int,
        on_evict: Callable[[], None],
    ) -> None:
        self.transport = transport
        self._writer = writer
        self.is_chunked = is_chunked
        self.limit = limit
        self._on_evict = on_evict
        self.tick = tick
        self._pending: list[bytes] = []
        self._size = 0
        self._allowance = 0
        self.closed = asyncio.Event()

    @property
    def unsent(self) -> int:
        """Bytes not yet taken by the kernel."""
        return self._size + self.transport.get_write_buffer_size()

    @property
    def is_idle(self) -> bool:
        """Whether the reader got everything, and is there for more."""
        return not (self._pending or self.closed.is_set() or self.transport.get_write_buffer_size())

    def send(self, payload: bytes, *, asked: bool = False) -> None:
        """Queue bytes for the end of this tick; dropped if the connection is closed (the cursor covers them).

        asked: they do not count against the limit until the reader has caught up.
        """
        if self.closed.is_set():
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
        if not self._pending or self.closed.is_set():
            return
        payload = b"".join(self._pending)  # of one alone: itself
        self._pending.clear()
        self._size = 0
        if self.transport.is_closing():
            self.closed.set()
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

    def give_up(self) -> None:
        """Drop the connection, since an exception came of writing to it; call where that is handled."""
        log.exception("a connection cannot be written to; it is closed, the client will resume")
        self.abort()

    def evict(self) -> None:
        """Abort the connection: its reader is too slow."""
        if not self.closed.is_set():
            self._on_evict()
            self.abort()

    async def drain(self) -> None:
        """Wait until the reader has caught up; raises ConnectionResetError when it has gone."""
        self.flush()
        if self.closed.is_set():
            raise ConnectionResetError
        try:
            await self._writer.drain()
        except ConnectionError as error:
            raise ConnectionResetError from error
        if not self._pending:
            self._allowance = 0

    def abort(self) -> None:
        """Drop the connection with all that is unsent."""
        self.closed.set()
        self.transport.abort()

    def close(self) -> None:
        """No more is written; whoever waits on `closed` goes on."""
        self.flush()
        self.closed.set()
