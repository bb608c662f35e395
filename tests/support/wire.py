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
        self.protocol: asyncio.BaseProtocol | None = None
        self._waiting = b""

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(data)
        if not self.closing:
            self._waiting += data
            if self.stalled and self.protocol is not None:
                self.protocol.pause_writing()
            self.read()

    def read(self) -> None:
        """Let the other end read what waits for it, unless it is stalled."""
        if not self.stalled:
            self.sent, self._waiting = self.sent + self._waiting, b""
            if self.protocol is not None:
                self.protocol.resume_writing()
            if self.closing:
                self._lose()

    def get_write_buffer_size(self) -> int:
        return len(self._waiting)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True
        if not self._waiting:
            self._lose()

    def abort(self) -> None:
        self.closing = True
        self._waiting = b""
        self._lose()

    def _lose(self) -> None:
        """As transports do: later than now, once."""
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            asyncio.get_running_loop().call_soon(protocol.connection_lost, None)


class WiredOutbox(Outbox):
    """`evicted` counts how often its reader was too slow, `lost` how often the transport was closed."""

    def __init__(self, tick: Tick, *, limit: int = 1 << 20, is_chunked: bool = False) -> None:
        self.wire = Wire()
        self.evicted = self.lost = 0

        def evict() -> None:
            self.evicted += 1

        def lose(_: Outbox) -> None:
            self.lost += 1

        super().__init__(
            self.wire, tick=tick, is_chunked=is_chunked, limit=limit, on_evict=evict, on_lost=lose
        )
        self.wire.set_protocol(self)

    @property
    def sent(self) -> bytes:
        """What the client has read."""
        return self.wire.sent
