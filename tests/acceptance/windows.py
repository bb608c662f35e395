"""Live queries with `sort` or `limit`: what must be shown after each transaction, and who holds to it. (pure)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from follower import Follower
from history import Expected, Moves, Transaction, View, differences
from tables import Key, Row, Table

from broadcaster.client_frames import Diff
from broadcaster.client_stream import LiveQuery
from support.reference_order import ordered, place

LEAST_MARGIN = 6
"""So many rows at least are known beyond those that are shown, or all: 8 (broadcaster/README.md), but for what a read
may show before the log's order has it."""

Shown: TypeAlias = tuple[tuple[Key, int], ...]
"""The rows that are shown, in order: key and version."""


def first(rows: Sequence[Row], query: LiveQuery, table: Table) -> list[Row]:
    """Of the rows that match those that the query shows, in order."""
    return ordered(rows, query.sort or (), table.key, table.types)[: query.limit]


def has_order(query: LiveQuery) -> bool:
    return query.sort is not None or query.limit is not None


@dataclass(slots=True)
class WindowView(View):
    """shown[i]: after the first i transactions. A transaction has effects only where it changes what is shown, or
    empties the table. most: rows that ever matched at once."""

    kind: ClassVar = "windows"

    most: int = 0
    shown: list[Shown] = field(default_factory=lambda: [()])
    _known: dict[tuple[Key, int], list[Any]] = field(default_factory=dict)
    _by_shown: dict[Shown, list[int]] = field(default_factory=lambda: {(): [0]})

    def places_of(self, state: dict[Key, int]) -> list[int]:
        """The places at which this was shown, in this order."""
        return self._by_shown.get(tuple(state.items()), [])

    @property
    def may_be_read_again(self) -> bool:
        """Whether there have ever been more rows than a server must know."""
        return self.query.limit is not None and self.most > self.query.limit + LEAST_MARGIN

    def net(self, start: int, end: int) -> Moves | None:
        """See `View.net`. A row that comes back as it was has not moved."""
        shown = dict(self.shown[start]), dict(self.shown[end])
        return None if None in self.effects[start:end] else differences(*shown)

    def _place(self, image: tuple[Key, int]) -> list[Any]:
        if image not in self._known:
            self._known[image] = place(
                self.docs[image], self.query.sort or (), self.table.key, self.table.types
            )
        return self._known[image]

    def _apply(self, transaction: Transaction) -> list[Expected] | None:
        effects = View._apply(self, transaction)
        before = shown = self.shown[-1]
        if effects != []:
            self.most = max(self.most, len(self.state))
            shown = tuple(sorted(self.state.items(), key=self._place)[: self.query.limit])
        self.shown.append(shown)
        self._by_shown.setdefault(shown, []).append(len(self.shown) - 1)
        return [] if effects is not None and shown == before else effects


class WindowFollower(Follower):
    """Its rows are in order. After every frame what it shows must be what the database had after the frame's
    transaction; those before it may have been left out only where the window may have been read again."""

    view: WindowView

    def compare(self, database: dict[Key, int]) -> None:
        """See `Follower.compare`; the database's answer is in order too."""
        if self._knows_rows and list(self.rows.items()) != list(database.items()):
            self._violated(
                "the client does not show the database's first rows",
                f"the client shows {list(self.rows.items())}\nthe database has {list(database.items())}",
            )
        if self.view.shown[-1] != tuple(database.items()):
            raise AssertionError(f"the oracle itself is wrong about {self.query}")

    def _diff(self, diff: Diff) -> None:
        index = self._next(diff)
        rows = list(self.rows.items())
        for change in diff.changes:
            got = self._got(change.type, change.find, change.doc)
            if change.old_index is not None and (
                not 0 <= change.old_index < len(rows) or rows.pop(change.old_index)[0] != got.key
            ):
                self._violated(f"at oldIndex {change.old_index} there is no {got.key}", f"in {rows}")
            if change.new_index is not None:
                if not 0 <= change.new_index <= len(rows) or got.key in dict(rows):
                    self._violated(f"no place for {got.key} at newIndex {change.new_index}", f"in {rows}")
                rows.insert(change.new_index, (got.key, got.version))
        expected = self.view.shown[index + 1]
        if tuple(rows) != expected:
            self._violated(
                f"{self._tell(index)} led to something else", f"expected {list(expected)}\ngot      {rows}"
            )
        self._check_told(index, diff, [self._table.find(change.find) for change in diff.changes])
        self.rows = dict(rows)
        self._places = [index + 1]
