"""The least, or the greatest, of values that come and go. (pure)

Of many values only the first ones are known; those beyond a bound are counted. Where all known ones are gone and others
are left, they must be read again.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Final

from broadcaster.order import INVERTED

_MOST_BYTES: Final = 1 << 16


class Extreme:
    """greatest: which end is wanted; keep: how many distinct values are worth knowing (twice as many are known at most,
    fewer where they are long)."""

    __slots__ = ("_beyond", "_bound", "_counts", "_greatest", "_keep", "_order", "_size")

    def __init__(self, keep: int, *, greatest: bool) -> None:
        self._keep = keep
        self._greatest = greatest
        self._counts: dict[tuple[bytes, bytes], int] = {}
        self._order: list[tuple[bytes, bytes]] = []
        self._size = 0
        self._beyond = 0
        self._bound: tuple[bytes, bytes] | None = None

    @property
    def is_short(self) -> bool:
        """Whether there are values and the first one is not known."""
        return self._beyond > 0 and not self._order

    @property
    def best(self) -> bytes:
        """The first value as JSON, null where there is none; of equal ones always the same. Not while it is short."""
        return self._order[0][1] if self._order else b"null"

    def add(self, rank: bytes, json: bytes) -> None:
        """Put a value in. rank: its place among all values; json: the value."""
        value = self._value(rank, json)
        if value in self._counts:
            self._counts[value] += 1
        elif self._bound is not None and value > self._bound:
            self._beyond += 1
        else:
            self._counts[value] = 1
            insort(self._order, value)
            self._size += len(rank) + len(json)
            self._trim()

    def remove(self, rank: bytes, json: bytes) -> bool:
        """Take a value out; False if it cannot be in."""
        value = self._value(rank, json)
        count = self._counts.get(value)
        if count is None:
            if self._bound is None or value <= self._bound:
                return False
            self._beyond -= 1
            if not self._beyond:
                self._bound = None
        elif count > 1:
            self._counts[value] = count - 1
        else:
            del self._counts[value]
            del self._order[bisect_left(self._order, value)]
            self._size -= len(rank) + len(json)
        return True

    def _value(self, rank: bytes, json: bytes) -> tuple[bytes, bytes]:
        return (rank.translate(INVERTED) if self._greatest else rank), json

    def _trim(self) -> None:
        """Know no more than is worth it."""
        keep = len(self._order)
        if keep > 2 * self._keep:
            keep = self._keep
        while len(self._order) > keep or (self._size > _MOST_BYTES and len(self._order) > 1):
            value = self._order.pop()
            self._beyond += self._counts.pop(value)
            self._size -= len(value[0]) + len(value[1])
            self._bound = self._order[-1]
