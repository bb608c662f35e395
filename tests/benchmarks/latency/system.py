"""A system that tells clients of changes, as it is measured: every client asks for the rows of a list of its own."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class System(Protocol):
    """who: in the table; pids: the processes that stand between database and client; address: where clients connect;
    ready: what is in the stream once a client is told of everything from there on."""

    who: str
    pids: Sequence[int]
    address: tuple[str, int]
    ready: bytes

    def subscribe(self, connection: socket.socket, number: int) -> None:
        """Ask for the rows whose `list` is `number`, as they come."""

    def writer(self, rate: int, seconds: float, lists: int) -> Sequence[str | Path]:
        """A program that inserts so many rows a second, one list after the other; `sent` of each is when, as
        `time.monotonic_ns()` has it."""
