"""A TCP proxy on a free loopback port, between a client and a server, that does what networks do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
CHUNK = 1 << 16
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER, 0 s: close() sends RST, socket(7)


class Proxy:
    """Forwards every connection to `target` (host, port). To be made and used in one event loop.

        async with Proxy((host, port)) as proxy:
            connect to proxy.port

    `cut` resets what is open, `refuse` also refuses what is new, `stall` keeps all sockets open and forwards nothing,
    `resume` ends both. port: to listen on, 0 for any; address: where it listens, kept while it refuses.
    """

    def __init__(self, target: tuple[str, int], port: int = 0) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._address: tuple[str, int] = (HOST, port)
        self._links: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._flowing = asyncio.Event()
        self._flowing.set()

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) to connect to."""
        return self._address

    @property
    def port(self) -> int:
        """The port to connect to."""
        return self._address[1]

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._links)

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.refuse()

    async def cut(self) -> None:
        """Reset all connections, on both sides; what was on its way is lost. New ones are welcome."""
        links = dict(self._links)
        for link, writers in links.items():
            for writer in writers:
                _reset(writer)
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)

    async def refuse(self) -> None:
        """Cut, and refuse new connections until `resume`."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    def stall(self) -> None:
        """Forward nothing until `resume`. Connections stay open and new ones are accepted, as with a dead cable."""
        self._flowing.clear()

    async def resume(self) -> None:
        """Forward and accept again; what was held up while stalled goes on."""
        self._flowing.set()
        if self._server is None:
            await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, *self._address)
        self._address = self._server.sockets[0].getsockname()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers = [writer]
        link = asyncio.create_task(self._link(reader, writers))
        self._links[link] = writers
        link.add_done_callback(self._ended)

    async def _link(self, reader: asyncio.StreamReader, writers: list[asyncio.StreamWriter]) -> None:
        await self._flowing.wait()
        try:
            upstream, upstream_writer = await asyncio.open_connection(*self._target)
            writers.append(upstream_writer)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forward(reader, upstream_writer))
                group.create_task(self._forward(upstream, writers[0]))
        except* OSError:  # either side's reset, or no server there: the other side learns it
            for writer in writers:
                _reset(writer)

    def _ended(self, link: asyncio.Task[None]) -> None:
        for writer in self._links.pop(link):
            writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        await self._flowing.wait()
        with contextlib.suppress(OSError):  # closed by its other direction meanwhile
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    own = writer.get_extra_info("socket")
    if own is not None and own.fileno() >= 0:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    writer.transport.abort()
