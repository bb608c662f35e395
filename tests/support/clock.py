"""A clock that stands still until it is told otherwise."""

from __future__ import annotations


class ManualClock:
    """Seconds, as `time.monotonic` or `time.time` give them. Pass `clock.now` where code takes a clock."""

    def __init__(self, start: float = 1_790_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """The time it shows."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass; never backwards."""
        if seconds < 0:
            raise ValueError(f"a clock does not go back: {seconds}")
        self._now += seconds
