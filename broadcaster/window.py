"""The head of an ordered result, and how it changes: what a live query with `sort` or `limit` shows. (pure)

More rows are known than are shown, so that a row which leaves is followed by the next one. All rows up to a bound are
known, and nothing of those beyond it; where too few are left the head must be read again (a *refill*).

Steps are applied one after the other to the list that is shown: a `delete` takes the row at `oldIndex` out, an `insert`
puts one in at `newIndex`, an `update` takes it out at `oldIndex` and puts it in at `newIndex`. Deletes come first, then
updates, then inserts, so that the list never holds more rows than the limit.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from broadcaster.change import Delta

Ranked: TypeAlias = tuple[bytes, bytes]
"""(rank, doc)."""

_LEAST_MARGIN: Final = 8
_MOST_MARGIN: Final = 100


@dataclass(frozen=True, slots=True)
class Head:
    """The first rows of an ordered result, by key: all whose rank is at most `bound`; None: these are all rows."""

    rows: Mapping[bytes, Ranked]
    bound: bytes | None = None

    def overlaid(self, deltas: Iterable[Delta], *, cleared: bool = False) -> Head:
        """After these changes. cleared: all rows went first, so that what remains is known."""
        bound = None if cleared else self.bound
        rows = {} if cleared else dict(self.rows)
        for _, key, doc, rank in deltas:
            if doc is None or (bound is not None and rank > bound):
                rows.pop(key, None)
            else:
                rows[key] = rank, doc
        return Head(rows, bound)


@dataclass(frozen=True, slots=True)
class Step:
    """One change of the list that is shown; an index is None where there is none."""

    type: bytes
    key: bytes
    doc: bytes | None
    old_index: int | None
    new_index: int | None


def margin(limit: int) -> int:
    """How many rows beyond the limit are worth knowing."""
    return max(_LEAST_MARGIN, min(limit // 2, _MOST_MARGIN))


def steps_between(before: Mapping[bytes, Ranked], after: Mapping[bytes, Ranked]) -> list[Step]:
    """What leads from one list that is shown to another, both by key."""
    window = Window(None, sys.maxsize, sys.maxsize)
    window.refill(Head(before))
    return window.refill(Head(after))


class Window:
    """What clients are shown of an ordered result, and what is known beyond that.

    limit: rows that are shown, None for all; max_rows, max_bytes: what it may hold at most.
    """

    __slots__ = (
        "_bound",
        "_limit",
        "_max_bytes",
        "_max_rows",
        "_order",
        "_places",
        "_rows",
        "_shown",
        "_size",
        "is_short",
    )

    def __init__(self, limit: int | None, max_rows: int, max_bytes: int) -> None:
        self._limit = limit
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self.clear()

    def clear(self) -> None:
        """Show nothing, know nothing: `refill` comes next."""
        self._rows: dict[bytes, Ranked] = {}
        self._order: list[tuple[bytes, bytes]] = []
        self._bound: bytes | None = None
        self._shown: dict[bytes, Ranked] = {}
        self._places: list[tuple[bytes, bytes]] = []
        self._size = 0
        self.is_short = True

    @property
    def shown(self) -> Mapping[bytes, Ranked]:
        """The rows that are shown, by key, as they are now."""
        return self._shown

    @property
    def docs(self) -> list[bytes]:
        """The rows that are shown, in order."""
        return [self._shown[key][1] for _, key in self._places]

    @property
    def is_too_large(self) -> bool:
        """Whether there is more than one client may have."""
        return self._size > self._max_bytes or (self._limit is None and len(self._order) > self._max_rows)

    def lose(self) -> None:
        """There are changes that are not known."""
        self.is_short = True

    def apply(self, deltas: Sequence[Delta]) -> list[Step]:
        """Make one transaction's changes; returns what the client must be told. Where then too few rows are known
        (`is_short`) it is told nothing, and all changes are lost on the window until `refill`."""
        if self.is_short:
            return []
        touched: dict[bytes, None] = {}
        for _, key, doc, rank in deltas:
            if doc is None or (self._bound is not None and rank > self._bound):
                if self._forget(key):
                    touched[key] = None
            else:
                self._forget(key)
                self._learn(key, rank, doc)
                touched[key] = None
        if not touched:
            return []
        self._trim()
        if self._bound is not None and self._limit is not None and len(self._order) < self._limit:
            self.is_short = True
            return []
        return self._show(touched)

    def refill(self, head: Head) -> list[Step]:
        """Know these rows instead; returns what leads there from what is shown."""
        touched = dict.fromkeys([*self._rows, *self._shown, *head.rows])
        self._rows = dict(head.rows)
        self._order = sorted((rank, key) for key, (rank, _) in self._rows.items())
        self._bound = head.bound
        self._size = sum(len(doc) for _, doc in self._rows.values())
        self._trim()
        self.is_short = self._bound is not None and self._limit is not None and len(self._order) < self._limit
        return [] if self.is_short else self._show(touched)

    # -- what is known ----------------------------------------------------------------------------------------

    def _learn(self, key: bytes, rank: bytes, doc: bytes) -> None:
        self._rows[key] = rank, doc
        insort(self._order, (rank, key))
        self._size += len(doc)

    def _forget(self, key: bytes) -> bool:
        row = self._rows.pop(key, None)
        if row is None:
            return False
        del self._order[bisect_left(self._order, (row[0], key))]
        self._size -= len(row[1])
        return True

    def _trim(self) -> None:
        """Know no more than is worth it."""
        if self._limit is None:
            return
        keep = len(self._order)
        if keep > self._limit + 2 * margin(self._limit):
            keep = self._limit + margin(self._limit)
        while len(self._order) > keep or (self._size > self._max_bytes and len(self._order) > self._limit):
            _, key = self._order.pop()
            self._size -= len(self._rows.pop(key)[1])
            self._bound = self._order[-1][0]

    # -- what is shown ----------------------------------------------------------------------------------------

    def _show(self, touched: Mapping[bytes, None]) -> list[Step]:
        """Bring what is shown to the first rows of what is known; only rows that were touched, and those that the
        limit now lets in or keeps out, can differ."""
        last = (
            None if self._limit is None or len(self._order) <= self._limit else self._order[self._limit - 1]
        )
        changed = dict(touched)
        if last is not None:
            changed.update((key, None) for _, key in self._places[bisect_right(self._places, last) :])
        first_new = bisect_right(self._order, self._places[-1]) if self._places else 0
        changed.update((key, None) for _, key in self._order[first_new : self._limit])
        deletes: list[bytes] = []
        updates: list[bytes] = []
        inserts: list[tuple[bytes, bytes]] = []
        for key in changed:
            row = self._rows.get(key)
            if row is None or (last is not None and (row[0], key) > last):
                if key in self._shown:
                    deletes.append(key)
            elif key not in self._shown:
                inserts.append((row[0], key))
            elif row != self._shown[key]:
                updates.append(key)
        steps = [self._take_out(key) for key in deletes]
        steps += [step for key in updates if (step := self._replace(key)) is not None]
        steps += [self._put_in(key) for _, key in sorted(inserts)]
        return steps

    def _take_out(self, key: bytes) -> Step:
        return Step(b"delete", key, None, self._leave(key), None)

    def _put_in(self, key: bytes) -> Step:
        return Step(b"insert", key, self._rows[key][1], None, self._enter(key))

    def _replace(self, key: bytes) -> Step | None:
        before = self._shown[key][1]
        old, doc = self._leave(key), self._rows[key][1]
        new = self._enter(key)
        return None if old == new and before == doc else Step(b"update", key, doc, old, new)

    def _leave(self, key: bytes) -> int:
        rank, _ = self._shown.pop(key)
        place = bisect_left(self._places, (rank, key))
        del self._places[place]
        return place

    def _enter(self, key: bytes) -> int:
        row = self._shown[key] = self._rows[key]
        place = bisect_left(self._places, (row[0], key))
        self._places.insert(place, (row[0], key))
        return place
