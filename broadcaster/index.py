"""Which live queries a change may touch: an index over access predicates. (pure)

A tree. Each node files a branch of a query under one of its terms: an equality where there is one, of these the one
whose values fewest queries share, else a range. Where many share a value, a node of its own tells them apart by their
other terms, so that equalities of several fields, and an equality with a range, work like one condition on both.
What has no term left is asked always.

The answer is a superset, and says of what the compiled predicate need not be asked: a branch all of whose terms were
used to find it matches, where the row's values are *sure* (`broadcaster.index_values`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Generic, TypeVar

from broadcaster.index_terms import REST, Branch
from broadcaster.index_tree import AFTER, BEFORE, MAYBE_AFTER, MAYBE_BEFORE, Leaf, Node, Row

T = TypeVar("T")

__all__ = ["AFTER", "BEFORE", "MAYBE_AFTER", "MAYBE_BEFORE", "Index"]


class Index(Generic[T]):
    """Items by the branches of their predicates."""

    def __init__(self) -> None:
        self._leaves: dict[T, list[Leaf[T]]] = {}
        self._root: Node[T] = Node(frozenset())
        self._number = 0

    def __len__(self) -> int:
        return len(self._leaves)

    def add(self, item: T, branches: tuple[Branch, ...] | None) -> None:
        """File an item that is not there yet; branches: as `index_terms.branches` has them."""
        leaves = self._leaves[item] = []
        for terms in ((REST,),) if branches is None else branches:
            leaf = Leaf(item, self._number, terms)
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

    def touched_by(
        self, after: Row | None, before: Row | None, types: Mapping[str, str] | None
    ) -> dict[T, int]:
        """The items that either row may match, with what is known of each: `AFTER`, `BEFORE`, `MAYBE_…`, added up.

        Rows: as `decode_row` returns them, None where a change has none; types: as in the event.
        """
        found: dict[T, int] = {}
        types = types or {}
        if after is None:
            if before is not None:
                self._root.find(before, None, BEFORE, MAYBE_BEFORE, types, found)
        elif before is None:
            self._root.find(after, None, AFTER, MAYBE_AFTER, types, found)
        else:
            self._root.find(after, before, AFTER | BEFORE, MAYBE_AFTER | MAYBE_BEFORE, types, found)
        return found
