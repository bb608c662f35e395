"""Runs chunks of the log through live queries, transaction by transaction. (pure)

The feed, the replay after a reconnect and the overlay of a snapshot all judge changes here, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from broadcaster.change import Part, transactions
from broadcaster.livequery import LiveQuery, Outcome
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
        self._by_collection: dict[str, dict[str, LiveQuery]] = {}
        self._touched: dict[LiveQuery, None] = {}
        self._open: tuple[Part, int, int] | None = None
        self._candidates = 0

    @property
    def in_transaction(self) -> bool:
        """Whether the last chunk ended inside a transaction."""
        return self._open is not None

    def add(self, query: LiveQuery) -> None:
        self._by_collection.setdefault(query.collection, {})[query.key] = query

    def remove(self, query: LiveQuery) -> None:
        queries = self._by_collection[query.collection]
        del queries[query.key]
        self._touched.pop(query, None)
        query.clear()
        if not queries:
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
                queries = self._by_collection[change.collection]
                self._candidates += len(queries)
                for query in queries.values():
                    if query.apply(change):
                        self._touched[query] = None
            self._open = part, first, last
        if self._open is not None and chunk.position is not None:
            yield self._finish()

    def _finish(self) -> Done:
        assert self._open is not None
        part, first, last = self._open
        outcomes = [(query, query.finish(part)) for query in self._touched]
        self._open = None
        self._touched.clear()
        return Done(part, first, last, outcomes)
