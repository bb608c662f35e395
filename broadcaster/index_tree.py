"""The tree of an index (see `broadcaster.index`): nodes, the fields that they tell leaves apart by, and their values.
(pure)"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final, Generic, TypeAlias, TypeVar

from broadcaster.conditions import array_path
from broadcaster.index_spans import Spans, note
from broadcaster.index_terms import REST, Branch, Equality, Range, Term
from broadcaster.index_values import Key, keys_of, values_at
from broadcaster.kinds import base_kind

T = TypeVar("T")
Row: TypeAlias = Mapping[str, Any]

MAYBE_AFTER: Final = 1
AFTER: Final = 2
MAYBE_BEFORE: Final = 4
BEFORE: Final = 8
"""Of a change: whether its new and its old row may match, or do. What is not said does not match."""

_OF_AFTER: Final = AFTER | MAYBE_AFTER
_OF_BEFORE: Final = BEFORE | MAYBE_BEFORE

_SPLIT: Final = 8
"""More than these under one value are told apart by their other terms."""
_CROWD: Final = 64
"""More than these under one value, and another field may be better."""
_DEPTH: Final = 4
"""Equalities that are looked up one after the other."""
_PLACES: Final = 4096
"""How often one branch may be filed: the product of the keys of its equalities that are in use."""


class Leaf(Generic[T]):
    """One branch of an item. number: unique in the index."""

    __slots__ = ("item", "number", "terms")

    def __init__(self, item: T, number: int, terms: Branch) -> None:
        self.item = item
        self.number = number
        self.terms = terms


class Node(Generic[T]):
    """Leaves, by one term each. used: the paths whose equality led here. asked, sure: leaves of which no term is left
    that tells them apart; all terms of the sure ones led here."""

    __slots__ = ("asked", "fields", "filed", "sure", "used")

    def __init__(self, used: frozenset[str]) -> None:
        self.used = used
        self.filed: dict[Leaf[T], Equality | Range | None] = {}
        self.fields: dict[str, _Field[T]] = {}
        self.asked: dict[Leaf[T], T] | None = None
        self.sure: dict[Leaf[T], T] | None = None

    def __bool__(self) -> bool:
        return bool(self.filed)

    def add(self, leaf: Leaf[T]) -> None:
        term = self.filed[leaf] = self._choose(leaf)
        is_all = self._is_all(leaf, term)
        if term is None:
            self._stay(leaf, is_all=is_all)
            return
        field = self.fields.get(term.path)
        if field is None:
            field = self.fields[term.path] = _Field(term.path, self.used)
        field.add(leaf, term, is_all=is_all)

    def _stay(self, leaf: Leaf[T], *, is_all: bool) -> None:
        if is_all:
            if self.sure is None:
                self.sure = {}
            self.sure[leaf] = leaf.item
        else:
            if self.asked is None:
                self.asked = {}
            self.asked[leaf] = leaf.item

    def remove(self, leaf: Leaf[T]) -> None:
        term = self.filed.pop(leaf)
        is_all = self._is_all(leaf, term)
        if term is None:
            staying = self.sure if is_all else self.asked
            assert staying is not None
            del staying[leaf]
            return
        field = self.fields[term.path]
        field.remove(leaf, term, is_all=is_all)
        if not field:
            del self.fields[term.path]

    def _is_all(self, leaf: Leaf[T], term: Term | None) -> bool:
        """Whether what led here and this term are all that the leaf says."""
        return all(one is term or (one is not REST and one.path in self.used) for one in leaf.terms)

    def _choose(self, leaf: Leaf[T]) -> Equality | Range | None:
        unused = [term for term in leaf.terms if term is not REST and term.path not in self.used]
        if len(unused) == 1 and not self.used:
            return unused[0]
        equalities = [term for term in unused if isinstance(term, Equality)]
        if self.used:
            equalities = self._affordable(leaf, equalities)
        if equalities:
            return min(equalities, key=self._cost)
        ranges = [term for term in unused if isinstance(term, Range)]
        return min(ranges, key=lambda term: not term.is_bounded) if ranges else None

    def _affordable(self, leaf: Leaf[T], equalities: list[Equality]) -> list[Equality]:
        if len(self.used) >= _DEPTH:
            return []
        places = math.prod(
            len(term.keys) for term in leaf.terms if isinstance(term, Equality) and term.path in self.used
        )
        return [term for term in equalities if places * len(term.keys) <= _PLACES]

    def _cost(self, term: Equality) -> tuple[bool, int, int]:
        field = self.fields.get(term.path)
        crowd = 0 if field is None or field.buckets is None else field.buckets.crowd(term.keys)
        return term.is_common, crowd // _CROWD, len(term.keys)

    def find(
        self,
        row: Row,
        other: Row | None,
        sure: int,
        maybe: int,
        types: Mapping[str, str],
        found: dict[T, int],
    ) -> None:
        """Add to `found` what either row may match; sure, maybe: what is then known of an item, of both rows."""
        if self.asked:
            note(self.asked.values(), maybe, found)
        if self.sure:
            note(self.sure.values(), sure, found)
        for field in self.fields.values():
            field.find(row, other, sure, maybe, types, found)


class _Field(Generic[T]):
    """The leaves that are filed under a term on one path."""

    __slots__ = ("_array", "_head", "_path", "_rest", "buckets", "spans", "used")

    def __init__(self, path: str, used: frozenset[str]) -> None:
        self._path = path
        self._array = sys.intern(array_path(path))
        head, *rest = path.split(".")
        self._head = sys.intern(head)
        self._rest = tuple(rest)
        self.used = used
        self.buckets: _Buckets[T] | None = None
        self.spans: Spans[T] | None = None

    def __bool__(self) -> bool:
        return self.buckets is not None or self.spans is not None

    def add(self, leaf: Leaf[T], term: Equality | Range, *, is_all: bool) -> None:
        if isinstance(term, Range):
            if self.spans is None:
                self.spans = Spans()
            self.spans.add(leaf.number, leaf.item, term, is_all=is_all)
        else:
            if self.buckets is None:
                self.buckets = _Buckets(self.used | {self._path})
            self.buckets.add(leaf, term.keys, is_all=is_all)

    def remove(self, leaf: Leaf[T], term: Equality | Range, *, is_all: bool) -> None:
        if isinstance(term, Range):
            assert self.spans is not None
            self.spans.remove(leaf.number, term, is_all=is_all)
            self.spans = self.spans or None
        else:
            assert self.buckets is not None
            self.buckets.remove(leaf, term.keys, is_all=is_all)
            self.buckets = self.buckets or None

    def find(
        self,
        row: Row,
        other: Row | None,
        sure: int,
        maybe: int,
        types: Mapping[str, str],
        found: dict[T, int],
    ) -> None:
        """See `Node.find`."""
        kind = base_kind(types.get(self._path) or types.get(self._array)) if types else None
        value = row.get(self._head)
        if other is not None:
            its = other.get(self._head)
            if its is not value and not _is_alike(its, value):
                self._find(its, other, None, sure & _OF_BEFORE, maybe & _OF_BEFORE, kind, types, found)
                other, sure, maybe = None, sure & _OF_AFTER, maybe & _OF_AFTER
        self._find(value, row, other, sure, maybe, kind, types, found)

    def _find(
        self,
        value: Any,
        row: Row,
        other: Row | None,
        sure: int,
        maybe: int,
        kind: str | None,
        types: Mapping[str, str],
        found: dict[T, int],
    ) -> None:
        """What is filed under the value of `row`, and of `other`, whose value is the same."""
        if self._rest or value.__class__ is list:
            values = values_at(value, self._rest)
            if len(values) != 1 or values[0].__class__ is list:
                self._find_any(values, row, other, maybe, kind, types, found)
                return
            [value] = values
        if value.__class__ is dict:
            return
        if self.spans is not None and value is not None:
            self.spans.find(value, kind, sure, maybe, found)
        if self.buckets is not None:
            keys, is_sure = keys_of(value, kind)
            self.buckets.find(keys, row, other, sure if is_sure else maybe, maybe, types, found)

    def _find_any(
        self,
        values: list[Any],
        row: Row,
        other: Row | None,
        maybe: int,
        kind: str | None,
        types: Mapping[str, str],
        found: dict[T, int],
    ) -> None:
        """Of several values, or of none, one may be above a range's lower end and another below its upper."""
        scalars = [value for value in values if value.__class__ is not list and value.__class__ is not dict]
        if self.buckets is not None:
            keys = {key for scalar in scalars for key in keys_of(scalar, kind)[0]}
            if all(value is None for value in values):
                keys.add(None)
            self.buckets.find(keys, row, other, maybe, maybe, types, found)
        if self.spans is not None:
            ordered = [scalar for scalar in scalars if scalar is not None]
            if len(ordered) > 1:
                self.spans.find_all(maybe, found)
            elif ordered:
                self.spans.find(ordered[0], kind, maybe, maybe, found)


class _Buckets(Generic[T]):
    """Leaves of equalities, by key. sure: those all of whose terms led to there; asked: the others, or, where these are
    many, a node of them. used: the paths whose equality led to there."""

    __slots__ = ("asked", "sure", "used")

    def __init__(self, used: frozenset[str]) -> None:
        self.used = used
        self.sure: dict[Key, dict[Leaf[T], T]] = {}
        self.asked: dict[Key, dict[Leaf[T], T] | Node[T]] = {}

    def __bool__(self) -> bool:
        return bool(self.sure or self.asked)

    def crowd(self, keys: Iterable[Key]) -> int:
        """The most leaves that one of the keys has."""
        most = 0
        for key in keys:
            bucket = self.asked.get(key, ())
            own = len(bucket.filed) if isinstance(bucket, Node) else len(bucket)
            most = max(most, own + len(self.sure.get(key, ())))
        return most

    def add(self, leaf: Leaf[T], keys: Iterable[Key], *, is_all: bool) -> None:
        for key in keys:
            if is_all:
                self.sure.setdefault(key, {})[leaf] = leaf.item
                continue
            bucket = self.asked.setdefault(key, {})
            if isinstance(bucket, Node):
                bucket.add(leaf)
                continue
            bucket[leaf] = leaf.item
            if len(bucket) > _SPLIT:
                node = self.asked[key] = Node(self.used)
                for inner in bucket:
                    node.add(inner)

    def remove(self, leaf: Leaf[T], keys: Iterable[Key], *, is_all: bool) -> None:
        for key in keys:
            if is_all:
                del self.sure[key][leaf]
                if not self.sure[key]:
                    del self.sure[key]
                continue
            bucket = self.asked[key]
            if isinstance(bucket, Node):
                bucket.remove(leaf)
            else:
                del bucket[leaf]
            if not bucket:
                del self.asked[key]

    def find(
        self,
        keys: Iterable[Key],
        row: Row,
        other: Row | None,
        sure: int,
        maybe: int,
        types: Mapping[str, str],
        found: dict[T, int],
    ) -> None:
        """See `Node.find`."""
        for key in keys:
            if (items := self.sure.get(key)) is not None:
                note(items.values(), sure, found)
            if (bucket := self.asked.get(key)) is None:
                continue
            if isinstance(bucket, Node):
                bucket.find(row, other, sure, maybe, types, found)
            else:
                note(bucket.values(), maybe, found)


def _is_alike(value: Any, other: Any) -> bool:
    """Whether both are found by the same keys, and as surely; `True == 1`, and so are documents that hold these."""
    kind = value.__class__
    return kind is other.__class__ and kind is not dict and kind is not list and bool(value == other)
