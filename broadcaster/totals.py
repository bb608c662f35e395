"""The running totals of a live aggregate: its rows, and how changes of what it counts change them. (pure)"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from broadcaster.aggregate import SUMMED, Function, Shares, Value, encoded
from broadcaster.change import Delta
from broadcaster.extremes import Extreme
from broadcaster.sums import Sum

_KEPT: Final = 100
_KEPT_OF_A_GROUP: Final = 16
_ALL: Final = b"{}"
"""The one group where there are none."""


class Totals:
    """All groups of one aggregation at one moment, and what its subscribers were told of them.

    First rows are counted one by one, then it is told (`settle`), then it follows transactions (`apply`).

    max_groups: so many rows it may have; is_large: it has more; is_wrong: what was not in was taken out; it is of no
    use then. is_short: the first of some values is not known; it stays as it was told, and must be made anew from
    the database.
    told: find → doc of every row, both JSON.
    """

    __slots__ = ("_groups", "_max_groups", "_shares", "is_large", "is_short", "is_wrong", "told")

    def __init__(self, shares: Shares, max_groups: int) -> None:
        self._shares = shares
        self._max_groups = max_groups
        self._groups: dict[bytes, _Group] = {}
        self.told: dict[bytes, bytes] = {}
        self.is_short = self.is_large = self.is_wrong = False
        if not shares.aggregation.group_by:
            self._groups[_ALL] = _Group(shares)  # it is there without rows too

    def count(self, share: bytes) -> bytes:
        """Put a row in; returns its group."""
        one = self._shares.read(share)
        group = self._groups.get(one.group)
        if group is None:
            group = self._groups[one.group] = _Group(self._shares)
            self.is_large = len(self._groups) > self._max_groups
        group.add(one.values)
        return one.group

    def uncount(self, share: bytes) -> bytes:
        """Take a row out that is in; returns its group."""
        one = self._shares.read(share)
        group = self._groups.get(one.group)
        self.is_wrong = self.is_wrong or group is None or not group.remove(one.values)
        return one.group

    def lay(
        self, rows: Mapping[bytes, bytes], changed: dict[bytes, bytes | None], deltas: Iterable[Delta]
    ) -> None:
        """Lay changes by key over the rows that were counted. rows, changed: key → share, the first as they were
        counted, the second those that were changed since, None where one is gone."""
        for _, key, doc, _ in deltas:
            before = changed[key] if key in changed else rows.get(key)
            if before is not None:
                self.uncount(before)
            changed[key] = doc
            if doc is not None:
                self.count(doc)

    def settle(self) -> None:
        """Tell what there is now."""
        self._tell(self._groups)

    def apply(self, changes: Iterable[tuple[bytes, bytes]]) -> list[Delta]:
        """Make one transaction's changes, each from a row's share to its share (empty: it does not count); returns what
        the subscribers must be told."""
        touched: dict[bytes, None] = {}
        for before, after in changes:
            if before:
                touched[self.uncount(before)] = None
            if after:
                touched[self.count(after)] = None
            if self.is_large or self.is_wrong:
                return []
        return self._tell(touched)

    def _tell(self, touched: Iterable[bytes]) -> list[Delta]:
        """What differs from what was told, of these groups: deletes first, then updates, then inserts."""
        groups = {find: self._groups[find] for find in touched}
        if any(group.is_short for group in groups.values()):
            self.is_short = True
            return []
        before: dict[bytes, bytes] = {}
        after: dict[bytes, bytes] = {}
        for find, group in groups.items():
            old = self.told.pop(find, None)
            if old is not None:
                before[find] = old
            if group.rows or find == _ALL:
                after[find] = group.doc(find)
            else:
                del self._groups[find]
        self.told |= after
        return difference(before, after)


class _Group:
    """What the rows of one group come to. rows: how many they are."""

    __slots__ = ("_fields", "_measures", "rows")

    def __init__(self, shares: Shares) -> None:
        aggregation = shares.aggregation
        keep = _KEPT_OF_A_GROUP if aggregation.group_by else _KEPT
        self.rows = 0
        self._measures = [_Measure(functions, keep) for functions in shares.measured.values()]
        places = {path: self._measures[place] for place, path in enumerate(shares.measured)}
        self._fields = [
            (encoded(one.name), one.function, None if one.path is None else places[one.path])
            for one in aggregation.aggregates
        ]

    @property
    def is_short(self) -> bool:
        return any(measure.is_short for measure in self._measures)

    def add(self, values: Sequence[Value | None]) -> None:
        self.rows += 1
        for measure, value in zip(self._measures, values, strict=True):
            if value is not None:
                measure.add(value)

    def remove(self, values: Sequence[Value | None]) -> bool:
        self.rows -= 1
        removed = [
            measure.remove(value)
            for measure, value in zip(self._measures, values, strict=True)
            if value is not None
        ]
        return self.rows >= 0 and all(removed)

    def doc(self, find: bytes) -> bytes:
        """The row: the group's fields, then the aggregates."""
        parts = [find[1:-1]] if find != _ALL else []
        for name, function, measure in self._fields:
            value = b"%d" % self.rows if measure is None else measure.result(function)
            parts.append(b"%b:%b" % (name, value))
        return b"{%b}" % b",".join(parts)


class _Measure:
    """What is known of one field's values within a group."""

    __slots__ = ("_count", "_greatest", "_least", "_sum")

    def __init__(self, functions: Collection[Function], keep: int) -> None:
        self._count = 0
        self._sum = None if SUMMED.isdisjoint(functions) else Sum()
        self._least = Extreme(keep, greatest=False) if Function.MIN in functions else None
        self._greatest = Extreme(keep, greatest=True) if Function.MAX in functions else None

    @property
    def _extremes(self) -> list[Extreme]:
        return [one for one in (self._least, self._greatest) if one is not None]

    @property
    def is_short(self) -> bool:
        return any(one.is_short for one in self._extremes)

    def add(self, value: Value) -> None:
        self._count += 1
        if self._sum is not None and value.number:
            self._sum.add(value.number)
        for one in self._extremes:
            one.add(value.rank, value.json)

    def remove(self, value: Value) -> bool:
        self._count -= 1
        if self._sum is not None and value.number:
            self._sum.remove(value.number)
        return self._count >= 0 and all(one.remove(value.rank, value.json) for one in self._extremes)

    def result(self, function: Function) -> bytes:
        """As JSON."""
        match function:
            case Function.COUNT:
                return b"%d" % self._count
            case Function.SUM | Function.AVG:
                assert self._sum is not None
                return self._sum.total() if function is Function.SUM else self._sum.mean()
            case Function.MIN | Function.MAX:
                extreme = self._least if function is Function.MIN else self._greatest
                assert extreme is not None
                return extreme.best


def difference(before: Mapping[bytes, bytes], after: Mapping[bytes, bytes]) -> list[Delta]:
    """What leads from some rows (find → doc) to others."""
    deltas: list[Delta] = [(b"delete", find, None, b"") for find in before if find not in after]
    deltas += [
        (b"update", find, doc, b"") for find, doc in after.items() if find in before and before[find] != doc
    ]
    deltas += [(b"insert", find, doc, b"") for find, doc in after.items() if find not in before]
    return deltas
