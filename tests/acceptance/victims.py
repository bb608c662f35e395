"""How a part of the system is hit, and made well again."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from matrix import DISK_FULL

from broadcaster.demo import host
from servers.disk import Disk
from servers.proxy import Proxy

_FULL: Final = (b"No space left", b"errno: 28", b"is full")
_PATIENCE: Final = 60.0


@dataclass(frozen=True, slots=True)
class Victim:
    """kill, start: block. pids: its processes, first the one that starts the others. proxies: all ways to it; disk: its
    own, if it writes to one; log_file: where it says what hinders it."""

    kill: Callable[[], Any]
    start: Callable[[], Any]
    pids: Callable[[], list[int]]
    proxies: Sequence[Proxy]
    disk: Disk | None
    log_file: Path

    async def hit(self, fault: str) -> None:
        """Returns when the fault is there."""
        match fault:
            case "killed":
                await asyncio.to_thread(self.kill)
            case "stopped":
                self._stop()
            case "cut off":
                for proxy in self.proxies:
                    await proxy.refuse()
            case "stalled":
                for proxy in self.proxies:
                    proxy.stall()
            case _:
                assert fault == DISK_FULL and self.disk is not None
                said = self.log_file.stat().st_size
                self.disk.fill()
                await self._notices(said)

    async def mend(self, fault: str) -> None:
        """Returns when the fault is over, and what had ended serves again."""
        match fault:
            case "killed":
                await asyncio.to_thread(self.start)
            case "stopped":
                for pid in reversed(self.pids()):
                    os.kill(pid, signal.SIGCONT)
            case "cut off" | "stalled":
                for proxy in self.proxies:
                    await proxy.resume()
            case _:
                assert self.disk is not None
                self.disk.free()
                await asyncio.to_thread(self.kill)
                await asyncio.to_thread(self.start)

    def _stop(self) -> None:
        """All processes; those that one of them is just starting, too."""
        stopped: set[int] = set()
        while new := set(self.pids()) - stopped:
            for pid in new:
                os.kill(pid, signal.SIGSTOP)
            stopped |= new

    async def _notices(self, said: int) -> None:
        """Wait until it says that its disk is full, or ends of it. said: what it had said before, in bytes."""
        deadline = time.monotonic() + _PATIENCE
        while any(host.alive(pid) for pid in self.pids()):
            with self.log_file.open("rb") as log:
                log.seek(said)
                told = log.read()
            if any(words in told for words in _FULL):
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"its disk is full, and it does not say so:\n{told[-2000:].decode()}")
            await asyncio.sleep(0.05)
