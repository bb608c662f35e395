"""Intervals that come and go, and which of them hold a point. (pure)

A centred interval tree whose centres are fixed: an interval hangs on the highest multiple of a power of two that it
holds, found from the bits in which its ends differ. So nothing is ever rebuilt or balanced, in whatever order
intervals come; the levels in use (at most the bits of a code) are asked one by one.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import Generic, TypeAlias, TypeVar

T = TypeVar("T")

Bound: TypeAlias = tuple[int, int, T]
"""(code, number, item). The number is unique, so that items are never compared."""


class _Centre(Generic[T]):
    """The intervals on one centre, by their lower and by their upper ends."""

    __slots__ = ("highs", "lows")

    def __init__(self) -> None:
        self.lows: list[Bound[T]] = []
        self.highs: list[Bound[T]] = []


class Intervals(Generic[T]):
    """Closed intervals of codes (non-negative integers); either end may be open to infinity (None), not both.

    Adding and removing cost O(log n) comparisons, `at` O(levels + log n + found).
    """

    __slots__ = ("_from", "_levels", "_to")

    def __init__(self) -> None:
        self._from: list[Bound[T]] = []
        self._to: list[Bound[T]] = []
        self._levels: dict[int, dict[int, _Centre[T]]] = {}

    def __bool__(self) -> bool:
        return bool(self._from or self._to or self._levels)

    def add(self, low: int | None, high: int | None, number: int, item: T) -> None:
        """number: unique among these intervals; it and the ends find the interval again."""
        if high is None:
            assert low is not None
            insort(self._from, (low, number, item))
        elif low is None:
            insort(self._to, (high, number, item))
        else:
            level = _level(low, high)
            centres = self._levels.setdefault(level, {})
            centre = centres.get(low >> level)
            if centre is None:
                centre = centres[low >> level] = _Centre()
            insort(centre.lows, (low, number, item))
            insort(centre.highs, (high, number, item))

    def remove(self, low: int | None, high: int | None, number: int) -> None:
        """Undo `add` of the same."""
        if high is None:
            assert low is not None
            _delete(self._from, low, number)
        elif low is None:
            _delete(self._to, high, number)
        else:
            level = _level(low, high)
            centres = self._levels[level]
            centre = centres[low >> level]
            _delete(centre.lows, low, number)
            _delete(centre.highs, high, number)
            if not centre.lows:
                del centres[low >> level]
                if not centres:
                    del self._levels[level]

    def at(self, code: int, found: dict[T, None]) -> None:
        """Add to `found` the items whose intervals hold the code."""
        if self._from:
            for bound in self._from[: bisect_left(self._from, (code + 1,))]:
                found[bound[2]] = None
        if self._to:
            for bound in self._to[bisect_left(self._to, (code,)) :]:
                found[bound[2]] = None
        for level, centres in self._levels.items():
            centre = centres.get(code >> level)
            if centre is None:
                continue
            if code >> level - 1 & 1:
                for bound in centre.highs[bisect_left(centre.highs, (code,)) :]:
                    found[bound[2]] = None
            else:
                for bound in centre.lows[: bisect_left(centre.lows, (code + 1,))]:
                    found[bound[2]] = None


def _level(low: int, high: int) -> int:
    """Shifted right by this both ends are the same, by one bit less they lie on both sides of the centre. An interval
    of one code hangs on level 1, where either side is right."""
    return max(1, (low ^ high).bit_length())


def _delete(bounds: list[Bound[T]], code: int, number: int) -> None:
    del bounds[bisect_left(bounds, (code, number))]
