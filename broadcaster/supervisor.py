"""Several broadcaster processes on one address, and the parent that keeps them alive.

The parent only forks, waits and passes signals on. Each worker opens the address itself (SO_REUSEPORT): the kernel
spreads the clients, and the others go on while one is down. Clients of one that died come back with their cursor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Collection, Coroutine
from pathlib import Path
from typing import Any, Final, NoReturn

from broadcaster.restarts import Restarts
from broadcaster.worker import Worker
from cdc.process import USAGE, unusable

STOP_SECONDS: Final = 5.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_log = logging.getLogger(__name__)

Work = Callable[[Worker, tuple[str, int]], NoReturn]
"""A worker's life, given the address: ends with SystemExit."""


def supervise(count: int, address: tuple[str, int], work: Work) -> NoReturn:
    """Keep `count` workers on the address until SIGTERM or SIGINT; then exit with 0, within `STOP_SECONDS`.

    A worker that ends is started again, after a while where it did so before; one that says that the configuration
    cannot be used (exit code 2) ends all, with its code. To be called without threads or an event loop.
    Raises ConfigError where the address cannot be used.
    """
    with contextlib.ExitStack() as stack:
        held = _hold(address)
        stack.callback(held.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="livetail-")))
        supervisor = _Supervisor(count, (address[0], int(held.getsockname()[1])), work, folder)
        stack.callback(supervisor.stop)
        code = supervisor.run()
    sys.exit(code)


async def supervised(worker: Worker, work: Coroutine[Any, Any, None]) -> None:
    """A worker's work: stopped as by SIGTERM when the supervisor is gone, however it went."""
    loop = asyncio.get_running_loop()

    def leave() -> None:
        loop.remove_reader(worker.lifeline)
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(worker.lifeline, leave)
    await work


def _hold(address: tuple[str, int]) -> socket.socket:
    """A socket on the address that keeps it for the workers, and takes no client since it does not listen.

    Workers share the address with whoever asks for that, another supervisor's included: so first try to have it alone.
    """
    try:
        family, _, _, _, where = socket.getaddrinfo(
            *address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.create_server(where, family=family) as alone:
            where = alone.getsockname()
        held = socket.socket(family, socket.SOCK_STREAM)
        try:
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind(where)
        except OSError:
            held.close()
            raise
    except OSError as error:
        raise unusable(address, error) from error
    return held


class _Supervisor:
    def __init__(self, count: int, address: tuple[str, int], work: Work, folder: Path) -> None:
        self._count = count
        self._address = address
        self._work = work
        self._folder = folder
        self._ticket_key = secrets.token_bytes(32)
        self._lifeline, self._lifeline_end = os.pipe()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._alive: dict[int, int] = {}
        self._due = dict.fromkeys(range(count), 0.0)
        self._restarts = [Restarts() for _ in range(count)]

    def run(self) -> int:
        """Until a signal, or until a worker says that none can work; the exit code."""
        signal.set_wakeup_fd(self._wake)
        for number in _SIGNALS:
            signal.signal(number, lambda *_: None)
        while True:
            now = time.monotonic()
            for index in [index for index, due in self._due.items() if due <= now]:
                self._start(index)
            patience = min(self._due.values(), default=None)
            select.select([self._woken], [], [], None if patience is None else max(0.0, patience - now))
            if {signal.SIGTERM, signal.SIGINT} & self._signals():
                return 0
            if USAGE in self._reap():
                return USAGE

    def stop(self) -> None:
        """SIGTERM to all that live; SIGKILL to those that stay."""
        for pid in self._alive:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self._alive and (left := deadline - time.monotonic()) > 0:
            select.select([self._woken], [], [], left)
            self._signals()
            self._reap(stopping=True)
        for pid in self._alive:
            _log.warning("worker %d did not stop within %.0f s: killed", self._alive[pid], STOP_SECONDS)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    def _signals(self) -> set[int]:
        """Those that came since the last time, once `_woken` may be read."""
        ready, _, _ = select.select([self._woken], [], [], 0)
        return set(os.read(self._woken, 4096)) if ready else set()

    def _reap(self, *, stopping: bool = False) -> list[int]:
        """Look who ended, and plan when each is started again; the exit codes."""
        codes = []
        for pid, index in list(self._alive.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            del self._alive[pid]
            code = os.waitstatus_to_exitcode(status)
            codes.append(code)
            if stopping:
                continue
            now = time.monotonic()
            delay = self._restarts[index].ended(now)
            self._due[index] = now + delay
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            if code != USAGE:
                _log.error("worker %d (process %d) %s; started again in %.1f s", index, pid, how, delay)
        return codes

    def _start(self, index: int) -> None:
        worker = Worker(index, self._count, self._folder, self._ticket_key, self._lifeline)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if not pid:
            self._live(worker, before)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        del self._due[index]
        self._alive[pid] = index
        self._restarts[index].started(time.monotonic())
        _log.info("worker %d is process %d", index, pid)

    def _live(self, worker: Worker, mask: Collection[int]) -> NoReturn:
        """In the child: do the work and leave; never back into the parent's code."""
        code = 1
        try:
            os.setpgid(0, 0)  # Ctrl-C is the parent's to pass on
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            for descriptor in (self._lifeline_end, self._woken, self._wake):
                os.close(descriptor)
            self._work(worker, self._address)
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stderr.flush()
            os._exit(code)
