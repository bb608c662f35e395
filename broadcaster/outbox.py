"""One connection's way out: bytes joined once per loop tick, bounded; a reader too slow for it is evicted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp.abc import AbstractStreamWriter

from broadcaster.sse import chunked


class Outbox:
    """Writes to the connection's transport directly; the response's own writer only serves for flow control.

    limit: bytes that may wait unsent; beyond it the connection is aborted and the client resumes from its cursor.
    What the client asked for (a row of an initial result, a replayed transaction) may be larger than that: it waits
    beside the limit, else no attempt of even the fastest reader would ever get it.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        writer: AbstractStreamWriter,
        *,
        is_chunked: bool,
        limit: int,
        on_evict: Callable[[], None],
    ) -> None:
        self._transport = transport
        self._writer = writer
        self._is_chunked = is_chunked
        self._limit = limit
        self._on_evict = on_evict
        self._loop = asyncio.get_running_loop()
        self._pending: list[bytes] = []
        self._size = 0
        self._allowance = 0
        self.closed = asyncio.Event()

    @property
    def unsent(self) -> int:
        """Bytes not yet taken by the kernel."""
        return self._size + self._transport.get_write_buffer_size()

    def send(self, payload: bytes, *, asked: bool = False) -> None:
        """Queue bytes for the end of this tick; dropped if the connection is closed (the cursor covers them).

        asked: they do not count against the limit until the reader has caught up.
        """
        if self.closed.is_set():
            return
        if asked:
            self._allowance += len(payload)
        if not self._pending:
            self._loop.call_soon(self.flush)
        self._pending.append(payload)
        self._size += len(payload)

    def flush(self) -> None:
        """Write what is queued; evict the connection if too much remains unsent."""
        if not self._pending or self.closed.is_set():
            return
        payload = b"".join(self._pending)
        self._pending.clear()
        self._size = 0
        if self._transport.is_closing():
            self.closed.set()
            return
        self._transport.write(chunked(payload) if self._is_chunked else payload)
        waiting = self._transport.get_write_buffer_size()
        if waiting <= self._limit:
            self._allowance = 0
        elif waiting > self._limit + self._allowance:
            self.closed.set()
            self._on_evict()
            self._transport.abort()

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

    def close(self) -> None:
        """No more is written; whoever waits on `closed` goes on."""
        self.flush()
        self.closed.set()
