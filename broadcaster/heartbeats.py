"""One timer for all connections: when each is to be told that its stream is alive, and when its token ends."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Callable
from typing import Final

from broadcaster.connection import Connection

_TOGETHER_SECONDS: Final = 0.02
"""So much earlier than its turn a connection may have it, together with others."""


class Heartbeat:
    """A connection's next turn. due: by the loop's clock; beats: whether that is a heartbeat, or only when its token,
    which `expires` then (Unix seconds), ends; connection: None once there is no next turn."""

    __slots__ = ("beats", "connection", "due", "expires")

    def __init__(self, connection: Connection, expires: float) -> None:
        self.connection: Connection | None = connection
        self.expires = expires
        self.due = 0.0
        self.beats = True

    def __lt__(self, other: Heartbeat) -> bool:
        return self.due < other.due


class Heartbeats:
    """Calls `beat` for each connection every `seconds`, the first time after half of them or more, and `expired`, as
    the last, when its token has ended."""

    def __init__(
        self, seconds: float, beat: Callable[[Connection], None], expired: Callable[[Connection], None]
    ) -> None:
        self._seconds = seconds
        self._beat = beat
        self._expired = expired
        self._queue: list[Heartbeat] = []
        self._removed = 0
        self._timer: asyncio.Handle | None = None
        self._timer_due = 0.0

    def add(self, connection: Connection, expires: float) -> Heartbeat:
        """From now on. expires: when its token ends, in Unix seconds; infinite without one."""
        heartbeat = Heartbeat(connection, expires)
        self._push(heartbeat, random.uniform(self._seconds / 2, self._seconds))
        self._set_timer()
        return heartbeat

    def remove(self, heartbeat: Heartbeat) -> None:
        """Not any more; its place is kept until it is due or there are too many of its kind."""
        if heartbeat.connection is None:
            return
        heartbeat.connection = None
        self._removed += 1
        if 2 * self._removed > len(self._queue):
            self._queue = [each for each in self._queue if each.connection is not None]
            heapq.heapify(self._queue)
            self._removed = 0
            self._set_timer()

    def _push(self, heartbeat: Heartbeat, pause: float) -> None:
        left = heartbeat.expires - time.time()
        heartbeat.beats = pause <= left
        heartbeat.due = asyncio.get_running_loop().time() + min(pause, left)
        heapq.heappush(self._queue, heartbeat)

    def _set_timer(self) -> None:
        if self._timer is not None:
            if self._queue and self._timer_due <= self._queue[0].due:
                return
            self._timer.cancel()
            self._timer = None
        if self._queue:
            self._timer_due = self._queue[0].due
            self._timer = asyncio.get_running_loop().call_at(self._timer_due, self._run)

    def _run(self) -> None:
        self._timer = None
        until = asyncio.get_running_loop().time() + _TOGETHER_SECONDS
        due = []
        while self._queue and self._queue[0].due <= until:
            due.append(heapq.heappop(self._queue))
        for heartbeat in due:
            connection = heartbeat.connection
            if connection is None:
                self._removed -= 1
            elif time.time() >= heartbeat.expires:
                heartbeat.connection = None
                self._expired(connection)
            else:
                if heartbeat.beats:
                    self._beat(connection)
                self._push(heartbeat, self._seconds)
        self._set_timer()
