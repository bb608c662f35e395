"""A transport whose other end reads when it is told to, and an outbox on it."""

from __future__ import annotations

import asyncio

from broadcaster.outbox import Outbox, Tick


class Wire(asyncio.Transport):
    """`sent` is what the other end has read; while `stalled` it reads nothing. writes: what was written, as it was."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.stalled = False
        self.closing = False
        self.writes: list[bytes | bytearray | memoryview] = []
        self._waiting = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(data)
        if not self.closing:
            self._waiting += data
            self.read()

    def read(self) -> None:
        """Let the other end read what waits for it, unless it is stalled."""
        if not self.stalled:
            self.sent, self._waiting = self.sent + self._waiting, b""

    def get_write_buffer_size(self) -> int:
        return len(self._waiting)

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True
        self._waiting = b""


class Writer:
    """A response's flow control: `drain` waits until the transport is empty."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    async def drain(self) -> None:
        while self._transport.get_write_buffer_size():
            if self._transport.is_closing():
                raise ConnectionError("Connection lost")  # what aiohttp says of a peer's RST
            await asyncio.sleep(0)


class WiredOutbox(Outbox):
    """`evicted` counts how often its reader was too slow."""

    def __init__(self, tick: Tick, *, limit: int = 1 << 20, is_chunked: bool = False) -> None:
        self.wire = Wire()
        self.evicted = 0

        def evict() -> None:
            self.evicted += 1

        super().__init__(
            self.wire,
            Writer(self.wire),  # type: ignore[arg-type]
            tick=tick,
            is_chunked=is_chunked,
            limit=limit,
            on_evict=evict,
        )

    @property
    def sent(self) -> bytes:
        """What the client has read."""
        return self.wire.sent
