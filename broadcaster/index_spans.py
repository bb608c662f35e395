"""The ranges that branches of live queries are filed under on one field. (pure)"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from broadcaster.index_ranges import HIGH_IS_OPEN, LOW_IS_OPEN, Intervals
from broadcaster.index_terms import Range
from broadcaster.index_values import UNORDERED, place_of

T = TypeVar("T")


class Spans(Generic[T]):
    """Items by the spans of their ranges, by bracket, and those apart that are found wherever the range holds."""

    __slots__ = ("_intervals", "_items")

    def __init__(self) -> None:
        self._items: dict[int, T] = {}
        self._intervals: dict[int, Intervals[T]] = {}

    def __bool__(self) -> bool:
        return bool(self._items)

    def add(self, number: int, item: T, term: Range, *, is_all: bool) -> None:
        """number: unique; is_all: whether the item is found wherever the term holds."""
        self._items[number] = item
        tag = _tag(number, term)
        for bracket, low, high in term.spans:
            place = 2 * bracket + is_all
            intervals = self._intervals.get(place)
            if intervals is None:
                intervals = self._intervals[place] = Intervals()
            intervals.add(low, high, tag, item)

    def remove(self, number: int, term: Range, *, is_all: bool) -> None:
        """Undo `add` of the same."""
        del self._items[number]
        tag = _tag(number, term)
        for bracket, low, high in term.spans:
            place = 2 * bracket + is_all
            intervals = self._intervals[place]
            intervals.remove(low, high, tag)
            if not intervals:
                del self._intervals[place]

    def find_all(self, known: int, found: dict[T, int]) -> None:
        """Add every item to `found`."""
        note(self._items.values(), known, found)

    def find(self, value: object, kind: str | None, sure: int, maybe: int, found: dict[T, int]) -> None:
        """Add those whose range a row's scalar may satisfy; sure: what is known where it does for certain."""
        if kind in UNORDERED:
            self.find_all(maybe, found)
            return
        place = place_of(value, kind)
        if place is None:
            return
        brackets, code, is_sure, is_exact = place
        for bracket in brackets:
            for is_all in (1, 0):
                intervals = self._intervals.get(2 * bracket + is_all)
                if intervals is None:
                    continue
                within: list[T] = []
                closed: list[T] = []
                open_: list[T] = []
                intervals.at(code, within, closed, open_)
                if within:
                    note(within, sure if is_all and is_sure else maybe, found)
                if closed:
                    note(closed, sure if is_all and is_exact else maybe, found)
                if open_ and not is_exact:
                    note(open_, maybe, found)


def note(items: Iterable[T], known: int, found: dict[T, int]) -> None:
    """Add what is known of these items to what is known of them already."""
    for item in items:
        found[item] = found.get(item, 0) | known


def _tag(number: int, term: Range) -> int:
    return number << 2 | (LOW_IS_OPEN if term.low_is_open else 0) | (HIGH_IS_OPEN if term.high_is_open else 0)
