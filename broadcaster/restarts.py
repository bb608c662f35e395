"""When a process that ended is started again. (pure: the time is an argument)"""

from __future__ import annotations

from typing import Final

_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 10.0
_STABLE: Final = 30.0


class Restarts:
    """One process' lives; all times in seconds of one clock."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._failures = 0

    def started(self, now: float) -> None:
        """A life begins."""
        self._begun = now

    def ended(self, now: float) -> float:
        """A life ended: how long to wait. Doubles from one short life to the next, up to ten seconds."""
        self._failures = 1 if now - self._begun >= _STABLE else self._failures + 1
        return min(_LONGEST_DELAY, _FIRST_DELAY * 2.0 ** min(self._failures - 1, 10))
