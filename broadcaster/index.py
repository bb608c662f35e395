"""Which live queries a change may touch: an index over access predicates. (pure)

A tree. Each node files a branch of a query under one of its terms: an equality where there is one, of these the one
whose values fewest queries share, else a range. Where many share a value, a node of its own tells them apart by their
other terms, so that equalities of several fields, and an equality with a range, work like one condition on both.
What has no term left is asked always. The answer is a superset: the compiled predicate decides.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, Generic, TypeAlias, TypeVar

from broadcaster.conditions import array_path
from broadcaster.index_ranges import Intervals
from broadcaster.index_terms import Branch, Equality, Range, Term
from broadcaster.index_values import UNORDERED, Key, code_of, key_of, values_at
from broadcaster.kinds import base_kind

T = TypeVar("T")
Row: TypeAlias = Mapping[str, Any]

_SPLIT: Final = 8
"""More than these under one value are told apart by their other terms."""
_CROWD: Final = 64
"""More than these under one value, and another field may be better."""
_DEPTH: Final = 4
"""Equalities that are looked up one after the other."""
_PLACES: Final = 4096
"""How often one branch may be filed: the product of the keys of its equalities that are in use."""


class _Leaf(Generic[T]):
    """One branch of an item. number: unique in the index."""

    __slots__ = ("item", "number", "terms")

    def __init__(self, item: T, number: int, terms: Branch) -> None:
        self.item = item
        self.number = number
        self.terms = terms


class Index(Generic[T]):
    """Items by the branches of their predicates."""

    def __init__(self) -> None:
        self._leaves: dict[T, list[_Leaf[T]]] = {}
        self._root: _Node[T] = _Node(frozenset())
        self._number = 0

    def __len__(self) -> int:
        return len(self._leaves)

    def add(self, item: T, branches: tuple[Branch, ...] | None) -> None:
        """File an item that is not there yet; branches: as `index_terms.branches` has them."""
        leaves = self._leaves[item] = []
        for terms in ((),) if branches is None else branches:
            leaf = _Leaf(item, self._number, terms)
            self._number += 1
            leaves.append(leaf)
            self._root.add(leaf)

    def remove(self, item: T) -> None:
        """Undo `add`."""
        for leaf in self._leaves.pop(item):
            self._root.remove(leaf)

    def all(self) -> Collection[T]:
        """Every item, for what may touch any."""
        return self._leaves.keys()

    @property
    def tells_apart(self) -> bool:
        """Whether any row is worth a look: not where all items are asked always."""
        return bool(self._root.fields)

    def touched_by(self, row: Row, other: Row | None, types: Mapping[str, str] | None) -> Collection[T]:
        """The items that either row may match; rows: as `decode_row` returns them, types: as in the event."""
        found: dict[T, None] = {}
        self._root.find(row, other, types or {}, found)
        return found


class _Node(Generic[T]):
    """Leaves, by one term each. used: the paths whose equality led here."""

    __slots__ = ("always", "fields", "filed", "used")

    def __init__(self, used: frozenset[str]) -> None:
        self.used = used
        self.filed: dict[_Leaf[T], Term | None] = {}
        self.fields: dict[str, _Field[T]] = {}
        self.always: dict[_Leaf[T], T] = {}

    def add(self, leaf: _Leaf[T]) -> None:
        term = self.filed[leaf] = self._choose(leaf)
        if term is None:
            self.always[leaf] = leaf.item
            return
        field = self.fields.get(term.path)
        if field is None:
            field = self.fields[term.path] = _Field(term.path, self.used)
        field.add(leaf, term)

    def remove(self, leaf: _Leaf[T]) -> None:
        term = self.filed.pop(leaf)
        if term is None:
            del self.always[leaf]
            return
        field = self.fields[term.path]
        field.remove(leaf, term)
        if not field:
            del self.fields[term.path]

    def _choose(self, leaf: _Leaf[T]) -> Term | None:
        unused = [term for term in leaf.terms if term.path not in self.used]
        if len(unused) == 1 and not self.used:
            return unused[0]
        equalities = [term for term in unused if isinstance(term, Equality)]
        if self.used:
            equalities = self._affordable(leaf, equalities)
        if equalities:
            return min(equalities, key=self._cost)
        ranges = [term for term in unused if isinstance(term, Range)]
        return min(ranges, key=lambda term: not term.is_bounded) if ranges else None

    def _affordable(self, leaf: _Leaf[T], equalities: list[Equality]) -> list[Equality]:
        if len(self.used) >= _DEPTH:
            return []
        places = math.prod(
            len(term.keys) for term in leaf.terms if isinstance(term, Equality) and term.path in self.used
        )
        return [term for term in equalities if places * len(term.keys) <= _PLACES]

    def _cost(self, term: Equality) -> tuple[bool, int, int]:
        field = self.fields.get(term.path)
        crowd = 0 if field is None else field.crowd(term.keys)
        return term.is_common, crowd // _CROWD, len(term.keys)

    def find(self, row: Row, other: Row | None, types: Mapping[str, str], found: dict[T, None]) -> None:
        """Add to `found` what either row may match."""
        for item in self.always.values():
            found[item] = None
        for field in self.fields.values():
            field.find(row, other, types, found)


class _Field(Generic[T]):
    """The leaves that are filed under a term on one path.

    buckets: by key the leaves of equalities, or, where these are many, a node of them.
    ranges: all leaves of ranges; intervals: the same by bracket.
    """

    __slots__ = ("_array", "_buckets", "_head", "_intervals", "_path", "_ranges", "_rest", "_used")

    def __init__(self, path: str, used: frozenset[str]) -> None:
        self._path = path
        self._used = used
        self._array = sys.intern(array_path(path))
        head, *rest = path.split(".")
        self._head = sys.intern(head)
        self._rest = tuple(rest)
        self._buckets: dict[Key, dict[_Leaf[T], T] | _Node[T]] = {}
        self._ranges: dict[_Leaf[T], T] = {}
        self._intervals: dict[int, Intervals[T]] = {}

    def __bool__(self) -> bool:
        return bool(self._buckets or self._ranges)

    def crowd(self, keys: Iterable[Key]) -> int:
        """The most leaves that one of the keys has."""
        most = 0
        for key in keys:
            bucket = self._buckets.get(key)
            if bucket is not None:
                most = max(most, len(bucket.filed) if isinstance(bucket, _Node) else len(bucket))
        return most

    def add(self, leaf: _Leaf[T], term: Term) -> None:
        if isinstance(term, Equality):
            for key in term.keys:
                self._add_to_bucket(leaf, key)
            return
        self._ranges[leaf] = leaf.item
        for bracket, low, high in term.spans:
            intervals = self._intervals.get(bracket)
            if intervals is None:
                intervals = self._intervals[bracket] = Intervals()
            intervals.add(low, high, leaf.number, leaf.item)

    def _add_to_bucket(self, leaf: _Leaf[T], key: Key) -> None:
        bucket = self._buckets.get(key)
        if bucket is None:
            self._buckets[key] = {leaf: leaf.item}
        elif isinstance(bucket, _Node):
            bucket.add(leaf)
        else:
            bucket[leaf] = leaf.item
            if len(bucket) > _SPLIT:
                node: _Node[T] = _Node(self._used | {self._path})
                for inner in bucket:
                    node.add(inner)
                self._buckets[key] = node

    def remove(self, leaf: _Leaf[T], term: Term) -> None:
        if isinstance(term, Range):
            del self._ranges[leaf]
            for bracket, low, high in term.spans:
                self._intervals[bracket].remove(low, high, leaf.number)
                if not self._intervals[bracket]:
                    del self._intervals[bracket]
            return
        for key in term.keys:
            bucket = self._buckets[key]
            if isinstance(bucket, _Node):
                bucket.remove(leaf)
                is_empty = not bucket.filed
            else:
                del bucket[leaf]
                is_empty = not bucket
            if is_empty:
                del self._buckets[key]

    def find(self, row: Row, other: Row | None, types: Mapping[str, str], found: dict[T, None]) -> None:
        kind = base_kind(types.get(self._path) or types.get(self._array)) if types else None
        value = row.get(self._head)
        if other is not None:
            its = other.get(self._head)
            if its != value:
                self._find(its, other, None, kind, types, found)
                other = None
        self._find(value, row, other, kind, types, found)

    def _find(
        self,
        value: Any,
        row: Row,
        other: Row | None,
        kind: str | None,
        types: Mapping[str, str],
        found: dict[T, None],
    ) -> None:
        """What is filed under the value of `row`, and of `other`, whose value is the same."""
        keys: Iterable[Key]
        if self._rest or value.__class__ is list:
            values = values_at(value, self._rest)
            scalars = [
                value for value in values if value.__class__ is not list and value.__class__ is not dict
            ]
            keys = {key_of(scalar, kind) for scalar in scalars}
            if all(value is None for value in values):
                keys.add(None)
            if self._ranges:
                self._find_ranges([scalar for scalar in scalars if scalar is not None], kind, found)
        elif value.__class__ is dict:
            return
        else:
            keys = (key_of(value, kind),)
            if self._ranges and value is not None:
                self._find_ranges((value,), kind, found)
        for key in keys:
            bucket = self._buckets.get(key)
            if bucket is None:
                continue
            if isinstance(bucket, _Node):
                bucket.find(row, other, types, found)
            else:
                for item in bucket.values():
                    found[item] = None

    def _find_ranges(self, values: Collection[Any], kind: str | None, found: dict[T, None]) -> None:
        """Of several values one may be above a range's lower end and another below its upper."""
        if len(values) > 1 or (values and kind in UNORDERED):
            for item in self._ranges.values():
                found[item] = None
            return
        for value in values:
            place = code_of(key_of(value, kind), kind, value)
            if place is not None and (intervals := self._intervals.get(place[0])) is not None:
                intervals.at(place[1], found)
