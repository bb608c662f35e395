"""Clients that see everything, and tell when they saw what."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final

from workload import Subscribe

from broadcaster.client_frames import Diff, Frame
from broadcaster.client_stream import LiveQuery

WATCHERS: Final = 4
_PATIENCE: Final = 120.0


class Watch:
    """The watchers of a world: each follows whole tables. Times are Unix seconds, on the one clock of this machine."""

    def __init__(self, alias: str, tables: Sequence[str]) -> None:
        self._seen: dict[str, list[tuple[float, float]]] = {f"watch{n}": [] for n in range(WATCHERS)}
        self.subscriptions = [
            Subscribe(-number, tuple(LiveQuery(f"{name}.{table}", alias, table, {}) for table in tables))
            for number, name in enumerate(self._seen, 1)
        ]

    def note(self, frame: Frame) -> Iterable[Frame]:
        """As `players.Tamper`: takes a frame to notice, and gives it on."""
        if isinstance(frame, Diff) and (seen := self._seen.get(frame.id.partition(".")[0])) is not None:
            seen.append((frame.time / 1000, time.time()))
        return (frame,)

    async def all_saw(self, since: float) -> float:
        """Wait until every watcher has seen a transaction that was committed after `since`. Returns when the last of
        them did so first. Raises AssertionError if that takes very long."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            moments = {
                name: next((seen for committed, seen in diffs if committed > since), None)
                for name, diffs in self._seen.items()
            }
            found = [moment for moment in moments.values() if moment is not None]
            if len(found) == len(moments):
                return max(found)
            if time.monotonic() > deadline:
                blind = [name for name, moment in moments.items() if moment is None]
                raise AssertionError(f"{', '.join(blind)}: nothing new for {_PATIENCE:.0f} s")
            await asyncio.sleep(0.05)

    def forget(self) -> None:
        """What was seen until now."""
        for diffs in self._seen.values():
            diffs.clear()
