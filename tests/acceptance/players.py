"""Who subscribes in the oracle's world."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from follower import Follower
from history import Moment
from processes import Line

from broadcaster.client import Client, Stream
from broadcaster.client_frames import Frame

Tamper = Callable[[Frame], Iterable[Frame]]
"""What a planted fault makes of a frame."""


class Subscriber:
    """One client: a stream of live queries, the cursor between its visits, a follower for each query. way: its own line
    to the server, if it coalesces."""

    def __init__(
        self, name: str, followers: dict[str, Follower], client: Client, way: Line | None = None
    ) -> None:
        self.followers = followers
        self.way = way
        self.cursor: str | None = None
        self.stream: Stream | None = None
        self._task: asyncio.Task[None] | None = None
        self._name = name
        self._client = client

    def come(self, moment: Callable[[], Moment], tamper: Tamper | None) -> None:
        """Open a stream where the last one ended."""
        queries = [follower.query for follower in self.followers.values()]
        self.stream = self._client.stream(queries, cursor=self.cursor, coalesce=self.way is not None)
        self._task = asyncio.create_task(self._follow(self.stream, moment, tamper), name=self._name)

    async def _follow(self, stream: Stream, moment: Callable[[], Moment], tamper: Tamper | None) -> None:
        asked = moment().acknowledged
        async for frame in stream:
            seen = Moment(asked, moment().begun)
            for given in [frame] if tamper is None else tamper(frame):
                name = getattr(given, "id", None)
                if name is not None:
                    self.followers[name].observe(given, seen)

    async def leave(self) -> None:
        """Close the stream; its cursor is where the next one goes on."""
        if self.stream is not None and self._task is not None:
            self.stream.close()
            self.read_on()
            await self._task
            self.cursor, self.stream = self.stream.cursor, None

    def read_on(self, breaks_after: int | None = None) -> None:
        """Read again, if it had stopped. breaks_after: see `ReadOn`."""
        if self.way is not None:
            self.way.go_on(breaks_after)

    def behind(self) -> str | None:
        """What a present client still waits for."""
        if self.stream is None:
            return None
        assert self._task is not None
        if self._task.done():
            self._task.result()
            return "its stream has ended"
        waits = [
            f"{name}: {waiting}"
            for name, one in self.followers.items()
            if (waiting := one.behind()) is not None
        ]
        return "; ".join(waits) or None
