"""What the stream tells while a snapshot is read. (pure)"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from broadcaster.change import Delta
from broadcaster.outcome import Outcome


class Overlay:
    """Changes by key, last wins, to lay over a snapshot. `cleared`: the collection was emptied meanwhile, so
    nothing of the snapshot stands. `broken`: it does not hold all changes, and the snapshot must be read again;
    until then nothing more is kept."""

    __slots__ = ("_last", "_limit", "_size", "broken", "cleared")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._last: dict[bytes, Delta] = {}
        self._size = 0
        self.cleared = False
        self.broken = False

    @property
    def deltas(self) -> Iterable[Delta]:
        """The last change of each key."""
        return self._last.values()

    def add(self, outcome: Outcome) -> None:
        if outcome.truncated:
            self._last.clear()
            self._size = 0
            self.cleared = True
        if outcome.overflow:
            self.broken = True
        self.add_deltas(outcome.deltas)

    def add_deltas(self, deltas: Iterable[Delta]) -> None:
        if self.broken:
            return
        for delta in deltas:
            _, key, doc, rank = delta
            previous = self._last.pop(key, None)
            if previous is not None:
                self._size -= len(previous[2] or b"") + len(previous[3])
            self._last[key] = delta
            self._size += len(key) + len(doc or b"") + len(rank)
        if self._size > self._limit:
            self.broken = True
            self._last.clear()

    def over(self, rows: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """The rows (key → doc) with these changes made."""
        result = {} if self.cleared else dict(rows)
        for _, key, doc, _ in self._last.values():
            if doc is None:
                result.pop(key, None)
            else:
                result[key] = doc
        return result
