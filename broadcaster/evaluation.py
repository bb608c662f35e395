"""Runs chunks of the log through live queries, transaction by transaction. (pure)

The feed, the replay after a reconnect and the overlay of a snapshot all judge changes here, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from broadcaster.change import Change, Part, transactions
from broadcaster.index import Index
from broadcaster.livequery import Fate, LiveQuery
from broadcaster.outcome import Outcome
from cdc.event import Chunk


@dataclass(frozen=True, slots=True)
class Done:
    """A transaction that is complete: its offsets `first` … `last`, and what it did to which live query."""

    part: Part
    first: int
    last: int
    outcomes: list[tuple[LiveQuery, Outcome]]


class Evaluation:
    """A set of live queries, and the transaction that is open between two chunks, if one is."""

    def __init__(self) -> None:
        self._by_collection: dict[str, Index[LiveQuery]] = {}
        self._touched: dict[LiveQuery, None] = {}
        self._open: tuple[Part, int, int] | None = None
        self._candidates = 0

    @property
    def in_transaction(self) -> bool:
        """Whether the last chunk ended inside a transaction."""
        return self._open is not None

    def add(self, query: LiveQuery) -> None:
        index = self._by_collection.get(query.collection)
        if index is None:
            index = self._by_collection[query.collection] = Index()
        index.add(query, query.branches)

    def remove(self, query: LiveQuery) -> None:
        index = self._by_collection[query.collection]
        index.remove(query)
        self._touched.pop(query, None)
        query.clear()
        if not len(index):
            del self._by_collection[query.collection]

    def abandon(self) -> None:
        """Forget the open transaction: it will be read again from its beginning, or never."""
        if self._open is not None:
            self._finish()

    def take_candidates(self) -> int:
        """How many times a query was asked about a change since this was last called."""
        candidates, self._candidates = self._candidates, 0
        return candidates

    def run(self, chunk: Chunk) -> Iterator[Done]:
        """Judge the chunk's changes; yields each transaction as it completes.

        A chunk without position may end inside a transaction: it completes with a later chunk.
        """
        for part, first, last in transactions(chunk.entries, self._by_collection.__contains__):
            if self._open is not None:
                opened, opened_first, _ = self._open
                if opened.identity == part.identity:
                    first = opened_first
                else:
                    yield self._finish()
            for change in part.changes:
                index = self._by_collection.get(change.collection)
                if index is None:
                    continue
                queries = candidates(index, change)
                self._candidates += len(queries)
                for query in queries:
                    if query.apply(change):
                        self._touched[query] = None
            self._open = part, first, last
        if self._open is not None and chunk.position is not None:
            yield self._finish()

    def _finish(self) -> Done:
        assert self._open is not None
        part, first, last = self._open
        shared: dict[Fate, Outcome] = {}
        outcomes = [(query, query.finish(part, shared)) for query in self._touched]
        self._open = None
        self._touched.clear()
        return Done(part, first, last, outcomes)


def candidates(index: Index[LiveQuery], change: Change) -> Collection[LiveQuery]:
    """The live queries that may have to do with a change, and few others."""
    if change.op not in ("c", "u", "d"):
        return index.all() if change.op == "t" else ()
    if (change.before is None and change.op != "c") or not index.tells_apart:
        return index.all()
    if change.after is None:
        return index.touched_by(change.before_row, None, change.types)
    other = None if change.before is None else change.before_row
    return index.touched_by(change.after_row, other, change.types)
