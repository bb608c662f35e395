"""Runs chunks of the log through live queries, transaction by transaction. (pure)

The feed, the replay after a reconnect and the overlay of a snapshot all judge changes here, so they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from broadcaster.change import DELETE, INSERT, UPDATE, Change, Delta, Part, transactions
from broadcaster.fate import Fate, Manner
from broadcaster.index import AFTER, BEFORE, MAYBE_AFTER, MAYBE_BEFORE, Index
from broadcaster.livequery import LiveQuery
from broadcaster.outcome import Outcome
from cdc.event import Chunk


def _kind(known: int) -> bytes | None:
    """What a change is to a result, None where the index does not say."""
    is_in, was_in = known & AFTER, known & BEFORE
    if (not is_in and known & MAYBE_AFTER) or (not was_in and known & MAYBE_BEFORE):
        return None
    if is_in:
        return UPDATE if was_in else INSERT
    return DELETE


_KINDS: Final = tuple(map(_kind, range(1 + MAYBE_AFTER + AFTER + MAYBE_BEFORE + BEFORE)))


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
        self._fates: dict[LiveQuery, Fate] = {}
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
        self._fates.pop(query, None)
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
                self._judge(change, index)
            self._open = part, first, last
        if self._open is not None and chunk.position is not None:
            yield self._finish()

    def _judge(self, change: Change, index: Index[LiveQuery]) -> None:
        op = change.op
        if op == "t":
            self._empty(index)
        elif op not in ("c", "u", "d"):
            return
        elif change.before is None and op != "c":
            self._guess(change, index)
        else:
            after = None if change.after is None else change.after_row
            before = None if change.before is None else change.before_row
            if index.tells_apart:
                self._apply(change, index.touched_by(after, before, change.types))
            else:
                known = (0 if after is None else MAYBE_AFTER) | (0 if before is None else MAYBE_BEFORE)
                self._apply(change, dict.fromkeys(index.all(), known))

    def _apply(self, change: Change, found: Mapping[LiveQuery, int]) -> None:
        """found: as `Index.touched_by` says it."""
        self._candidates += len(found)
        fates = self._fates
        steps: dict[tuple[Fate, Delta], Fate] = {}
        is_same = change.before == change.after
        last_fate = last_kind = next_fate = None
        for query, known in found.items():
            kind = _KINDS[known]
            if kind is None:
                kind = query.judge(change, known)
            if not kind or (is_same and kind is UPDATE):
                continue
            fate = fates.get(query) or query.beginning
            if fate is not last_fate or kind is not last_kind:
                delta: Delta | None
                if fate.is_plain:
                    last_fate, last_kind = fate, kind
                    delta = kind, change.key, None if kind is DELETE else change.after, b""
                else:
                    last_fate = None
                    delta = query.delta(kind, change)
                    if delta is None:
                        continue
                next_fate = steps.get((fate, delta))
                if next_fate is None:
                    next_fate = steps[fate, delta] = fate.then(delta)
            assert next_fate is not None
            fates[query] = next_fate

    def _guess(self, change: Change, index: Index[LiveQuery]) -> None:
        """A change of a row whose old image is missing: all that can be said is what it is now."""
        self._candidates += len(index)
        steps: dict[tuple[Fate, Delta], Fate] = {}
        for query in index.all():
            is_in = change.after is not None and query.test(change.after_row, change.types)
            delta = query.delta(INSERT if is_in else DELETE, change)
            if delta is None:
                continue
            fate = self._fates.get(query) or query.beginning
            after = steps.get((fate, delta))
            if after is None:
                after = steps[fate, delta] = fate.then(delta, is_uncertain=True)
            self._fates[query] = after

    def _empty(self, index: Index[LiveQuery]) -> None:
        self._candidates += len(index)
        emptied: dict[Manner, Fate] = {}
        for query in index.all():
            beginning = query.beginning
            fate = emptied.get(beginning.manner)
            if fate is None:
                fate = emptied[beginning.manner] = beginning.emptied()
            self._fates[query] = fate

    def _finish(self) -> Done:
        assert self._open is not None
        part, first, last = self._open
        outcomes = [(query, fate.outcome(part)) for query, fate in self._fates.items()]
        self._open = None
        self._fates.clear()
        return Done(part, first, last, outcomes)
