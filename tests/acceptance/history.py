"""What clients must see, from what the database itself says that happened. (pure)

A `History` is the database's transactions in commit order. A `View` is what they mean for one live query: the state
after each, and the changes between.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

from tables import Key, Row, Table

from broadcaster.client_stream import LiveQuery
from support.reference_evaluator import matches


@dataclass(frozen=True, slots=True)
class RowImage:
    """One change of one row; neither an old image nor a new one: the table was emptied."""

    table: str
    old: Row | None
    new: Row | None


@dataclass(frozen=True, slots=True)
class Transaction:
    """tx: its id in the diffs; changes in the order in which they were made; mark: what its writer knows it by (one
    writer's mark may stand for several transactions, and one that has none is None)."""

    tx: str
    changes: Sequence[RowImage]
    mark: str | None


class History:
    """All transactions so far; only ever grows. place: by id; first, last: by mark."""

    def __init__(self) -> None:
        self.transactions: list[Transaction] = []
        self.place: dict[str, int] = {}
        self.first: dict[str, int] = {}
        self.last: dict[str, int] = {}

    def extend(self, transactions: Sequence[Transaction]) -> None:
        for transaction in transactions:
            here = self.place[transaction.tx] = len(self.transactions)
            if transaction.mark is not None:
                self.first.setdefault(transaction.mark, here)
                self.last[transaction.mark] = here
            self.transactions.append(transaction)

    def __len__(self) -> int:
        return len(self.transactions)


@dataclass(frozen=True, slots=True)
class Moment:
    """When something was seen. acknowledged: how many commits the writers knew of when the subscriber asked; begun: how
    many transactions had begun when the frame came."""

    acknowledged: int
    begun: int


class Bounds:
    """Where in the history a fresh result may stand: with all that was acknowledged before the subscriber asked, and
    without what began after it came.

    acknowledged, begun: the writers' marks in the order in which they learnt of the commit, or began.
    """

    def __init__(self, history: History, acknowledged: Sequence[str], begun: Sequence[str]) -> None:
        self._floors = [0]
        for mark in acknowledged:
            self._floors.append(max(self._floors[-1], history.last.get(mark, -1) + 1))
        self._ceilings = [len(history)]
        for mark in reversed(begun):
            self._ceilings.append(min(self._ceilings[-1], history.first.get(mark, len(history))))
        self._ceilings.reverse()

    def of(self, moment: Moment) -> tuple[int, int]:
        return self._floors[moment.acknowledged], self._ceilings[moment.begun]


@dataclass(frozen=True, slots=True)
class Expected:
    """One change of a diff: type, key, version of the row image (0 for a delete)."""

    type: str
    key: Key
    version: int

    def __str__(self) -> str:
        return f"{self.type} {self.key}" + (f" v{self.version}" if self.version else "")


Moves: TypeAlias = dict[Key, tuple[bool, Any]]
"""By key: whether it was shown before, and what names its image afterwards, None where it is not shown then."""


@dataclass(slots=True)
class View:
    """A live query, whatever its id, over a history. Place i is the state after the first i transactions.

    effects[i]: what transaction i does, None where it empties the table; relevant: the places i where it does anything;
    state: after all of them, key → version; docs: every image that ever matched, by key and version; kind: of what it
    shows.
    """

    kind: ClassVar = "rows"

    query: LiveQuery
    table: Table
    history: History
    effects: list[list[Expected] | None] = field(default_factory=list)
    relevant: list[int] = field(default_factory=list)
    state: dict[Key, int] = field(default_factory=dict)
    docs: dict[tuple[Key, int], Row] = field(default_factory=dict)
    _hash: int = 0
    _places: dict[int, list[int]] = field(default_factory=lambda: {0: [0]})

    def catch_up(self) -> None:
        """Take in what the history has gained."""
        for transaction in self.history.transactions[len(self.effects) :]:
            effects = self._apply(transaction)
            if effects != []:
                self.relevant.append(len(self.effects))
            self.effects.append(effects)
            self._places.setdefault(self._hash, []).append(len(self.effects))

    def next_relevant(self, place: int) -> int:
        """The first transaction from a place on that does anything here; the history's length if none does."""
        number = bisect_left(self.relevant, place)
        return len(self.effects) if number == len(self.relevant) else self.relevant[number]

    def first_of(self, last: int, count: int) -> int | None:
        """Where the first of so many transactions is that do anything here; None if they are not so many. last: the
        last of them."""
        number = bisect_left(self.relevant, last) + 1 - count
        return None if number < 0 else self.relevant[number]

    def net(self, start: int, end: int) -> Moves | None:
        """What leads from a place to a later one, row by row, whatever was there between the two; None where the table
        was emptied on the way."""
        total: Moves = {}
        for index in self.relevant[bisect_left(self.relevant, start) : bisect_left(self.relevant, end)]:
            if self.effects[index] is None:
                return None
            for key, (was_there, image) in self._moves(index).items():
                total[key] = total.get(key, (was_there,))[0], image
        return {key: move for key, move in total.items() if move != (False, None)}

    def _moves(self, index: int) -> Moves:
        """What one transaction does that does not empty the table."""
        moves: Moves = {}
        for effect in self.effects[index] or ():
            was_there = moves[effect.key][0] if effect.key in moves else effect.type != "insert"
            moves[effect.key] = was_there, effect.version or None
        return moves

    @property
    def result(self) -> dict[Key, Any]:
        """What a client has at the end, key → what names the row's image."""
        return self.state

    @property
    def may_be_read_again(self) -> bool:
        """Whether a server may have to read anew what is shown, whereby it learns of several transactions at once."""
        return False

    def places_of(self, state: dict[Key, Any]) -> list[int]:
        """The places at which the result was this."""
        return self._places.get(_hash_of(state), [])

    def _apply(self, transaction: Transaction) -> list[Expected] | None:
        effects: list[Expected] | None = []
        for change in transaction.changes:
            if change.table != self.query.collection:
                continue
            if change.old is None and change.new is None:
                effects = None
                for key in list(self.state):
                    self._put(key, None)
                continue
            made = self._judge(change)
            for effect in made:
                self._put(effect.key, effect.version or None)
            if effects is not None:
                effects += made
        return effects

    def _judge(self, change: RowImage) -> list[Expected]:
        """(in, in) update, (out, in) insert, (in, out) delete; a changed key is a delete and an insert."""
        old = change.old if self._matches(change.old) else None
        new = change.new if self._matches(change.new) else None
        find = self.table.find
        made: list[Expected] = []
        if old is not None and (new is None or find(old) != find(new)):
            made.append(Expected("delete", find(old), 0))
            old = None
        if new is not None:
            self.docs[find(new), new["version"]] = new
            made.append(Expected("insert" if old is None else "update", find(new), new["version"]))
        return made

    def _matches(self, row: Row | None) -> bool:
        return row is not None and matches(dict(self.query.where), row, self.table.types)

    def _put(self, key: Key, version: int | None) -> None:
        if key in self.state:
            self._hash ^= hash((key, self.state.pop(key)))
        if version is not None:
            self.state[key] = version
            self._hash ^= hash((key, version))


def _hash_of(state: dict[Key, Any]) -> int:
    total = 0
    for item in state.items():
        total ^= hash(item)
    return total


def differences(before: dict[Key, Any], after: dict[Key, Any]) -> Moves:
    """What leads from one result to another, both by key."""
    return {
        key: (key in before, after.get(key))
        for key in before | after
        if key not in before or before[key] != after.get(key)
    }


def listed(effects: list[Expected] | None) -> str:
    """Effects in a line."""
    if effects is None:
        return "TRUNCATE"
    return ", ".join(map(str, effects)) or "nothing"
