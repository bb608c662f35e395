"""Many clients of one server in one thread: sockets that are read and whose frames are counted, nothing more."""

from __future__ import annotations

import contextlib
import select
import socket
import time
from types import TracebackType
from typing import Self

MARK = b"~"
"""Stands once in every frame that is counted, and nowhere else."""
PATIENCE_S = 60
_RECEIVE = 1 << 16


class Sink:
    """`count` connections that have each sent `request` and got the begin of the response; a context manager.

    ready: what the response holds once the server has this client on its list.
    """

    def __init__(self, address: tuple[str, int], request: bytes, ready: bytes, count: int) -> None:
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._buffer = bytearray(_RECEIVE)
        for _ in range(count):
            self._connect(address, request)
        self._await(ready, count)

    def _connect(self, address: tuple[str, int], request: bytes) -> None:
        connection = socket.create_connection(address, timeout=PATIENCE_S)
        connection.sendall(request)
        connection.setblocking(False)
        self._sockets[connection.fileno()] = connection
        self._epoll.register(connection, select.EPOLLIN)

    def _await(self, ready: bytes, count: int) -> None:
        heads: dict[int, bytes] = {}
        deadline = time.monotonic() + PATIENCE_S
        while count:
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"{count} clients are not ready after {PATIENCE_S} s; one has {heads}"[:2000]
                )
            for fd, _ in self._epoll.poll(1.0):
                head = heads.get(fd, b"") + self._read(fd)
                count -= ready in head and ready not in heads.get(fd, b"")
                heads[fd] = head

    def _read(self, fd: int) -> bytes:
        with contextlib.suppress(BlockingIOError):
            part = self._sockets[fd].recv(_RECEIVE)
            if not part:
                raise SystemExit("the server closed a connection")
            return part
        return b""

    def take(self, frames: int) -> None:
        """Read until so many frames in all have come."""
        poll, sockets, buffer = self._epoll.poll, self._sockets, self._buffer
        count = buffer.count
        deadline = time.monotonic() + PATIENCE_S
        while frames > 0:
            ready = poll(1.0)
            if not ready and time.monotonic() > deadline:
                raise SystemExit(f"{frames} frames are missing after {PATIENCE_S} s")
            for fd, _ in ready:
                size = sockets[fd].recv_into(buffer)
                if not size:
                    raise SystemExit("the server closed a connection")
                frames -= count(MARK, 0, size)
        if frames:
            raise SystemExit(f"{-frames} frames too many")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._epoll.close()
        for connection in self._sockets.values():
            connection.close()
