"""The oracle's judge of live aggregates: it lets right frames pass, and sees how they can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import pytest
from aggregates import AggregateFollower, AggregateView
from follower import BrokenPromiseError
from history import History
from tables import Row
from test_follower import ALLOWED, ITEMS, diffs, frames_from_scratch, judge_by, lose, random_history, repeat

from broadcaster.client_frames import Frame, RowChange
from broadcaster.client_stream import LiveQuery

QUERY = LiveQuery(
    "q0", "db", "items", {"n": {"$gt": 1}}, aggregate={"sum": {"sum": "n"}, "most": {"max": "id"}}, group_by=["n"]
)  # fmt: skip


def right_frames(history: History) -> list[Frame]:
    """Each time all old groups out, all new ones in."""

    def result(rows: Iterable[Row]) -> list[Row]:
        ids: dict[int, list[int]] = {}
        for row in rows:
            if row["n"] > 1:
                ids.setdefault(row["n"], []).append(row["id"])
        return [{"n": n, "sum": n * len(ids[n]), "most": max(ids[n])} for n in sorted(ids)]

    def changes(before: list[Row], shown: list[Row]) -> list[RowChange]:
        gone = [RowChange("delete", {"n": row["n"]}, None) for row in before]
        return gone + [RowChange("insert", {"n": row["n"]}, row) for row in shown]

    return frames_from_scratch(history, result, changes)


def judge(history: History, frames: list[Frame]) -> None:
    view = AggregateView(QUERY, ITEMS, history)
    view.catch_up()
    judge_by(AggregateFollower("client", QUERY, view, ALLOWED), history, frames, view.shown[-1])


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
