"""The oracle's judge of streams that coalesce: it lets right frames pass, and sees how they can be wrong."""

from __future__ import annotations

import json
from bisect import insort
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, TypeAlias

import pytest
from aggregates import AggregateFollower, AggregateView
from follower import BrokenPromiseError, Follower
from history import History, RowImage, Transaction, View
from tables import Row
from test_aggregates import QUERY as GROUPS
from test_follower import ALLOWED, ITEMS, QUERY, START, judge_by, random_history, row
from test_windows import LIMIT
from test_windows import QUERY as WINDOW
from windows import WindowFollower, WindowView

from broadcaster.client_frames import Diff, Frame, Initial, Ready, Reset, RowChange

Shown: TypeAlias = dict[str, Row]
"""What a client is shown, in order: by what finds the row, as JSON."""


def rows_shown(rows: list[Row]) -> Shown:
    return {json.dumps({"id": row["id"]}): row for row in rows if row["n"] > 4}


def window_shown(rows: list[Row]) -> Shown:
    found = sorted((row for row in rows if row["n"] > 1), key=place_of)[:LIMIT]
    return {json.dumps({"id": row["id"]}): row for row in found}


def place_of(row: Row) -> tuple[int, int]:
    return -row["n"], row["id"]


def groups_shown(rows: list[Row]) -> Shown:
    ids: dict[int, list[int]] = {}
    for one in rows:
        if one["n"] > 1:
            ids.setdefault(one["n"], []).append(one["id"])
    return {
        json.dumps({"n": n}): {"n": n, "sum": n * len(those), "most": max(those)} for n, those in ids.items()
    }


def changes_between(before: Shown, after: Shown) -> list[RowChange]:
    """One for each row that differs."""
    changes = [RowChange("delete", json.loads(find), None) for find in before if find not in after]
    for find, doc in after.items():
        if before.get(find) != doc:
            changes.append(RowChange("update" if find in before else "insert", json.loads(find), doc))
    return changes


def steps_between(before: Shown, after: Shown) -> list[RowChange]:
    """As `changes_between`, with indices."""
    places = [place_of(doc) for doc in before.values()]
    steps = []
    for change in changes_between(before, after):
        old = new = None
        if change.type != "insert":
            old = places.index(place_of(before[json.dumps(change.find)]))
            del places[old]
        if change.doc is not None:
            insort(places, place_of(change.doc))
            new = places.index(place_of(change.doc))
        steps.append(RowChange(change.type, change.find, change.doc, old, new))
    return steps


KINDS: dict[str, tuple[Any, Any, Any, Any, Any]] = {
    "rows": (QUERY, View, Follower, rows_shown, changes_between),
    "window": (WINDOW, WindowView, WindowFollower, window_shown, steps_between),
    "groups": (GROUPS, AggregateView, AggregateFollower, groups_shown, changes_between),
}


class Told:
    """A history, and what a faultless server tells of it to one that comes at a place and is behind now and then;
    worked out apart from the oracle's views."""

    def __init__(self, kind: str, seed: int, history: History | None = None) -> None:
        self.history = history or random_history(seed)
        self.query, self._view, self._follower, shown, self.between = KINDS[kind]
        rows: dict[int, Row] = {}
        self.states = [shown([])]
        for transaction in self.history.transactions:
            for change in transaction.changes:
                rows.pop((change.new or change.old or {})["id"], None)
                if change.new is not None:
                    rows[change.new["id"]] = change.new
            self.states.append(shown(list(rows.values())))
        self.frames: list[Frame] = self._frames(Random(seed))

    def _frames(self, random: Random) -> list[Frame]:
        initial = list(self.states[START].values())
        frames: list[Frame] = [Initial("q0", initial), Ready("q0", len(initial))]
        start, merged, left = START, list[int](), 0
        for place in range(START, len(self.states) - 1):
            if self.moves(place):
                merged.append(place)
            left = left - 1 if left else random.choice((0, 0, 3, 7))
            if merged and (not left or place == len(self.states) - 2):
                changes = self.between(self.states[start], self.states[place + 1])
                if changes:
                    tx = self.history.transactions[merged[-1]].tx
                    frames.append(Diff("q0", 0, tx, changes, len(merged)))
                start, merged = place + 1, []
        return frames

    def moves(self, place: int) -> bool:
        """Whether the transaction is one of those that are told: also where it takes back what it did."""
        images = [
            image
            for change in self.history.transactions[place].changes
            for image in (change.old, change.new)
            if image is not None
        ]
        is_touched = self.query is QUERY and rows_shown(images) != {}
        return is_touched or self.states[place] != self.states[place + 1]

    def judge(self, *, coalesces: bool = True) -> Follower:
        """Raises BrokenPromiseError."""
        view = self._view(self.query, ITEMS, self.history)
        view.catch_up()
        follower: Follower = self._follower("client", self.query, view, ALLOWED, coalesces=coalesces)
        answer = view.result
        if isinstance(view, WindowView):
            answer = dict(view.shown[-1])
        judge_by(follower, self.history, self.frames, answer)
        return follower


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(10))
def test_right_frames_pass(kind: str, seed: int) -> None:
    told = Told(kind, seed)
    assert told.judge().merged > 1
    with pytest.raises(BrokenPromiseError):
        told.judge(coalesces=False)


def there_and_gone() -> History:
    """Transactions that come to nothing, and two after them."""
    history = random_history(0, START)
    rows = [row(number, 9, 100 + number) for number in range(10, 14)]
    changes = [
        [RowImage("items", None, rows[0])],
        [RowImage("items", rows[0], None), RowImage("items", None, rows[1])],
        [RowImage("items", rows[1], None)],
        [RowImage("items", None, rows[2])],
        [RowImage("items", None, rows[3])],
    ]
    history.extend([Transaction(f"t{number}", made, None) for number, made in enumerate(changes)])
    return history


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_to_nothing_is_not_told(kind: str) -> None:
    told = Told(kind, 0, there_and_gone())
    start, end = told.states[START], told.states[-1]
    told.frames[2:] = [Diff("q0", 0, "t4", told.between(start, end), 2)]
    told.judge()
    told.frames[2:] = [Diff("q0", 0, "t4", told.between(start, end), 5)]
    told.judge()
    for wrong in (1, 3, 4, 50):
        told.frames[2:] = [Diff("q0", 0, "t4", told.between(start, end), wrong)]
        with pytest.raises(BrokenPromiseError):
            told.judge()


def test_a_row_that_came_and_went_is_told_wrongly() -> None:
    told = Told("rows", 0, there_and_gone())
    changes = [*told.between(told.states[START], told.states[-1]), RowChange("delete", {"id": 10}, None)]
    told.frames[2:] = [Diff("q0", 0, "t4", changes, 5)]
    with pytest.raises(BrokenPromiseError, match="came with other changes"):
        told.judge()


def test_what_was_before_a_truncate_is_not_told_after_it() -> None:
    told, last = Told("rows", 0, there_and_gone()), row(1, 9, 200)
    history = told.history
    history.extend([Transaction("t5", [RowImage("items", None, None)], None)])
    told.frames[2:] = [Reset("q0", "truncated"), Initial("q0", []), Ready("q0", 0)]
    told.judge()
    history.extend([Transaction("t6", [RowImage("items", None, last)], None)])
    told.frames[2:] = [Diff("q0", 0, "t6", [RowChange("insert", {"id": 1}, last)], 4)]
    with pytest.raises(BrokenPromiseError):
        told.judge()


def merged(frames: list[Frame]) -> list[Diff]:
    """The diffs that tell of several transactions."""
    return [frame for frame in frames if isinstance(frame, Diff) and frame.transactions > 1]


def a_change_less(told: Told, random: Random) -> None:
    random.choice(merged(told.frames)).changes.pop()


def a_change_more(told: Told, random: Random) -> None:
    """A row that is there is told once more."""
    for number, frame in enumerate(told.frames):
        if isinstance(frame, Diff) and frame.transactions > 1:
            place = told.history.place[frame.tx] + 1
            known = {json.dumps(change.find) for change in frame.changes}
            for find, doc in told.states[place].items():
                if find not in known:
                    index = list(told.states[place]).index(find) if told.query.limit else None
                    change = RowChange("update", json.loads(find), doc, index, index)
                    told.frames[number] = replace(frame, changes=[*frame.changes, change])
                    return


def another_number(told: Told, random: Random) -> None:
    """More than there have been."""
    diff = random.choice(merged(told.frames))
    told.frames[told.frames.index(diff)] = replace(diff, transactions=diff.transactions + START + 40)


def another_name(told: Told, random: Random) -> None:
    """That of an earlier transaction."""
    diff = random.choice(merged(told.frames))
    tx = told.history.transactions[told.history.place[diff.tx] - 1].tx
    told.frames[told.frames.index(diff)] = replace(diff, tx=tx)


def a_cursor_past_what_was_told(told: Told, random: Random) -> None:
    """Who comes back with it is not told what waited."""
    place = told.frames.index(random.choice(merged(told.frames)[:-1]))
    told.frames[place] = Ready("q0", resumed=True)


def a_cursor_before_what_was_told(told: Told, random: Random) -> None:
    place = told.frames.index(random.choice(merged(told.frames)))
    told.frames[place + 1 : place + 1] = [Ready("q0", resumed=True), told.frames[place]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "fault",
    [
        a_change_less,
        a_change_more,
        another_number,
        another_name,
        a_cursor_past_what_was_told,
        a_cursor_before_what_was_told,
    ],
)
def test_every_fault_is_seen(kind: str, fault: Callable[[Told, Random], None]) -> None:
    for seed in range(10):
        told = Told(kind, seed)
        before = repr(told.frames)
        fault(told, Random(seed))
        if repr(told.frames) == before:
            continue
        with pytest.raises(BrokenPromiseError):
            told.judge()
