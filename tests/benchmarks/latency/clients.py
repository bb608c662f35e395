"""Many clients in one thread, which take the time of every row that they are told of."""

from __future__ import annotations

import re
import select
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.latency.system import System

PATIENCE_S = 60
_SENT = re.compile(rb'"sent":"(\d+)"')
_LONGEST = 40
"""Bytes of what `_SENT` finds, at the most."""
_RECEIVE = 1 << 16


class Clients:
    """`count` of them, subscribed; a context manager."""

    def __init__(self, system: System, count: int) -> None:
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._tails: dict[int, bytes] = {}
        self._begun = 0
        for number in range(count):
            connection = socket.create_connection(system.address, timeout=PATIENCE_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            system.subscribe(connection, number)
            self._sockets[connection.fileno()] = connection
            self._epoll.register(connection, select.EPOLLIN)
        self._await(system.ready, count)

    def _await(self, ready: bytes, count: int) -> None:
        heads = dict.fromkeys(self._sockets, b"")
        deadline = time.monotonic() + PATIENCE_S
        while count:
            if time.monotonic() > deadline:
                raise SystemExit(
                    f"{count} clients are not ready after {PATIENCE_S} s; one was told {heads}"[:2000]
                )
            for fd, _ in self._epoll.poll(1.0):
                head = heads[fd] + self._sockets[fd].recv(_RECEIVE)
                count -= ready in head and ready not in heads[fd]
                heads[fd] = head

    def times(self, writer: Sequence[str | Path]) -> tuple[list[float], float]:
        """Run the writer: the seconds from each row's `sent` until it was here, in no order; the seconds between the
        first arrival and the last. Every row that the writer tells of must come."""
        times: list[float] = []
        self._begun = time.monotonic_ns()
        process = subprocess.Popen(writer, stdout=subprocess.PIPE)
        assert process.stdout is not None
        end = process.stdout.fileno()
        self._epoll.register(end, select.EPOLLIN)
        expected, first, heard = float("inf"), 0.0, time.monotonic()
        while len(times) < expected:
            if time.monotonic() > heard + PATIENCE_S:
                raise SystemExit(f"clients were told of {len(times)} rows; {expected} were written")
            for fd, _ in self._epoll.poll(1.0):
                if fd == end:
                    expected = self._end(process)
                    continue
                times += self._read(fd)
                heard = time.monotonic()
                first = first or heard
        if len(times) > expected:
            raise SystemExit(f"clients were told of {len(times)} rows; {expected} were written")
        return times, heard - first

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        assert process.stdout is not None
        self._epoll.unregister(process.stdout)
        output, _ = process.communicate()
        if process.returncode:
            raise SystemExit("the writer failed")
        return int(output)

    def _read(self, fd: int) -> list[float]:
        data = self._tails.pop(fd, b"") + self._sockets[fd].recv(_RECEIVE)
        now, end, times = time.monotonic_ns(), 0, []
        for found in _SENT.finditer(data):
            if int(found[1]) > self._begun:  # not of a result that was there before
                times.append((now - int(found[1])) / 1e9)
            end = found.end()
        self._tails[fd] = data[end:][-_LONGEST:]
        return times

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._epoll.close()
        for connection in self._sockets.values():
            connection.close()
