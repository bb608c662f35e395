"""The oracle's judge of live aggregates: it lets right frames pass, and sees how they can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from aggregates import AggregateFollower, AggregateView
from follower import BrokenPromiseError
from history import Bounds, History, Moment
from tables import Row
from test_follower import ALLOWED, ITEMS, START, diffs, lose, random_history, repeat

from broadcaster.client_frames import Diff, Frame, Initial, Ready, RowChange
from broadcaster.client_stream import LiveQuery

QUERY = LiveQuery(
    "q0", "db", "items", {"n": {"$gt": 1}}, aggregate={"sum": {"sum": "n"}, "most": {"max": "id"}}, group_by=["n"]
)  # fmt: skip


def right_frames(history: History) -> list[Frame]:
    """What a faultless server could send: each time all old groups out, all new ones in."""
    rows: dict[int, Row] = {}
    shown: list[Row] = []
    frames: list[Frame] = []
    for place, transaction in enumerate(history.transactions):
        if place == START:
            frames += [Initial("q0", shown), Ready("q0", len(shown))]
        for change in transaction.changes:
            number = (change.new or change.old or {})["id"]
            rows.pop(number, None)
            if change.new is not None:
                rows[number] = change.new
        before = shown
        ids: dict[int, list[int]] = {}
        for row in rows.values():
            if row["n"] > 1:
                ids.setdefault(row["n"], []).append(row["id"])
        shown = [{"n": n, "sum": n * len(ids[n]), "most": max(ids[n])} for n in sorted(ids)]
        if place >= START and shown != before:
            changes = [RowChange("delete", {"n": row["n"]}, None) for row in before]
            changes += [RowChange("insert", {"n": row["n"]}, row) for row in shown]
            frames.append(Diff("q0", 0, transaction.tx, changes))
    return frames


def judge(history: History, frames: list[Frame]) -> None:
    view = AggregateView(QUERY, ITEMS, history)
    view.catch_up()
    follower = AggregateFollower("client", QUERY, view, ALLOWED)
    for frame in frames:
        follower.observe(frame, Moment(0, 1))
    follower.check(Bounds(history, [str(START - 1)], [str(START)]))
    waiting = follower.behind()
    if waiting is not None:
        raise BrokenPromiseError(waiting)
    follower.compare(view.shown[-1])


def miscount(frames: list[Frame], random: Random) -> None:
    diff: Any = frames[random.choice(diffs(frames))]
    change = next(change for change in reversed(diff.changes) if change.doc is not None)
    diff.changes[-1] = RowChange("insert", change.find, change.doc | {"sum": change.doc["sum"] + 1})


def keep_a_group(frames: list[Frame], random: Random) -> None:
    diff: Any = frames[random.choice(diffs(frames))]
    del diff.changes[0]


@pytest.mark.parametrize("seed", range(10))
def test_right_frames_pass(seed: int) -> None:
    history = random_history(seed)
    judge(history, right_frames(history))


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("fault", [lose, repeat, miscount, keep_a_group])
def test_every_fault_is_seen(fault: Callable[[list[Frame], Random], None], seed: int) -> None:
    history = random_history(seed)
    frames = right_frames(history)
    fault(frames, Random(seed))
    with pytest.raises(BrokenPromiseError):
        judge(history, frames)
