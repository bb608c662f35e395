"""Live aggregates: what they must come to after each transaction, and who holds to it. (pure)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeAlias

from follower import Follower
from history import Expected, Moves, Transaction, View, differences
from tables import Key, Row, Table

from broadcaster.client_frames import Diff
from broadcaster.client_stream import LiveQuery
from support.reference_aggregate import aggregated, as_json, group_of

LEAST_KNOWN: Final = 14
"""So many values of a group at least are known, or all: 16 (queries.md), but for what a read may show before the log's
order has it."""

Groups: TypeAlias = dict[Key, Any]
"""The rows that are shown: the group as JSON → the row as JSON."""


def totals(rows: Sequence[Row], query: LiveQuery, table: Table) -> Groups:
    """What the rows that match come to."""
    assert query.aggregate is not None
    found = aggregated(rows, query.aggregate, query.group_by or (), table.types)
    return {(find,): as_json(row) for find, row in found.items()}


@dataclass(slots=True)
class AggregateView(View):
    """shown[i]: after the first i transactions. A transaction has effects only where it changes what is shown, or
    empties the table. most: rows that ever matched at once."""

    kind: ClassVar = "aggregates"

    most: int = 0
    shown: list[Groups] = field(default_factory=list)
    _by_shown: dict[frozenset[tuple[Key, Any]], list[int]] = field(default_factory=dict)
    _members: dict[Key, dict[Key, Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._show(totals([], self.query, self.table))

    @property
    def result(self) -> Groups:
        """See `View.result`."""
        return self.shown[-1]

    def places_of(self, state: Groups) -> list[int]:
        """The places at which this was shown."""
        return self._by_shown.get(frozenset(state.items()), [])

    @property
    def may_be_read_again(self) -> bool:
        """Whether there have ever been more rows than a server must know the values of."""
        assert self.query.aggregate is not None
        ranked = any({"min", "max"} & set(asked) for asked in self.query.aggregate.values())
        return ranked and self.most > LEAST_KNOWN

    def _apply(self, transaction: Transaction) -> list[Expected] | None:
        images = dict(self.state)
        effects = View._apply(self, transaction)
        before = shown = self.shown[-1]
        if effects != []:
            self.most = max(self.most, len(self.state))
            shown = dict(before)
            for group in self._moved(images):
                shown.pop(group, None)
                shown |= totals(list(self._members.get(group, {}).values()), self.query, self.table)
        self._show(shown)
        return [] if effects is not None and shown == before else effects

    def net(self, start: int, end: int) -> Moves | None:
        """See `View.net`. A group that comes to what it came to before has not moved."""
        return None if None in self.effects[start:end] else differences(self.shown[start], self.shown[end])

    def _moved(self, images: dict[Key, int]) -> set[Key]:
        """Bring the groups' members up to date; returns those whose members changed. images: the rows before."""
        groups: set[Key] = set()
        for key in [key for key in images | self.state if images.get(key) != self.state.get(key)]:
            if key in images:
                group = self._group(self.docs[key, images[key]])
                del self._members[group][key]
                groups.add(group)
            if key in self.state:
                doc = self.docs[key, self.state[key]]
                group = self._group(doc)
                self._members.setdefault(group, {})[key] = doc
                groups.add(group)
        return groups

    def _group(self, doc: Row) -> Key:
        return (group_of(doc, self.query.group_by or (), self.table.types),)

    def _show(self, shown: Groups) -> None:
        self._by_shown.setdefault(frozenset(shown.items()), []).append(len(self.shown))
        self.shown.append(shown)


class AggregateFollower(Follower):
    """After every frame what it shows must be what the rows came to after the frame's transaction; those before it may
    have been left out only where the rows may have been read again."""

    view: AggregateView

    def _image(self, doc: Row) -> tuple[Key, Any]:
        return (as_json({path: doc[path] for path in self.query.group_by or ()}),), as_json(doc)

    def _diff(self, diff: Diff) -> None:
        index = self._next(diff)
        for change in diff.changes:
            key: Key = (as_json(change.find),)
            if (key in self.rows) != (change.type != "insert"):
                self._violated(f"{change.type} of {key}", f"in {self.rows}")
            self.rows.pop(key, None)
            if change.doc is not None:
                found, self.rows[key] = self._image(change.doc)
                if found != key:
                    self._violated(f"`find` {key} is not the key of {change.doc}")
        if self.rows != self.view.shown[index + 1]:
            self._violated(
                f"{self._tell(index)} led to something else",
                f"expected {self.view.shown[index + 1]}\ngot      {self.rows}",
            )
        self._check_told(index, diff, [(as_json(change.find),) for change in diff.changes])
        self._places = [index + 1]
