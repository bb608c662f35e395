"""The oracle's judge of sorted and limited live queries: it lets right frames pass, and sees how they can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

import pytest
from follower import BrokenPromiseError
from history import History
from tables import Row
from test_follower import ALLOWED, ITEMS, diffs, frames_from_scratch, judge_by, lose, random_history, repeat
from windows import WindowFollower, WindowView

from broadcaster.client_frames import Diff, Frame, Initial, RowChange
from broadcaster.client_stream import LiveQuery

LIMIT = 3
QUERY = LiveQuery("q0", "db", "items", {"n": {"$gt": 1}}, sort=["-n"], limit=LIMIT)


def right_frames(history: History) -> list[Frame]:
    """Each time all old rows out, all new ones in."""

    def result(rows: Iterable[Row]) -> list[Row]:
        return sorted((row for row in rows if row["n"] > 1), key=lambda row: (-row["n"], row["id"]))[:LIMIT]

    def changes(before: list[Row], shown: list[Row]) -> list[RowChange]:
        gone = [RowChange("delete", {"id": row["id"]}, None, 0) for row in before]
        return gone + [
            RowChange("insert", {"id": row["id"]}, row, None, index) for index, row in enumerate(shown)
        ]

    return frames_from_scratch(history, result, changes)


def judge(history: History, frames: list[Frame], most: int = 0) -> None:
    view = WindowView(QUERY, ITEMS, history)
    view.catch_up()
    view.most = max(view.most, most)
    judge_by(WindowFollower("client", QUERY, view, ALLOWED), history, frames, dict(view.shown[-1]))


def swap_rows(frames: list[Frame], random: Random) -> None:
    """The last two rows of a frame in the wrong order."""
    for place in diffs(frames):
        changes = getattr(frames[place], "changes", [])
        if len(changes) > 1 and changes[-2].new_index is not None:
            one, other = changes[-2:]
            changes[-2:] = [
                RowChange("insert", other.find, other.doc, None, one.new_index),
                RowChange("insert", one.find, one.doc, None, other.new_index),
            ]
            return


def another_place(frames: list[Frame], random: Random) -> None:
    diff = next(frame for frame in frames if isinstance(frame, Diff) and len(frame.changes) > 3)
    diff.changes[0] = RowChange("delete", diff.changes[0].find, None, 1)


@pytest.mark.parametrize("seed", range(10))
def test_right_frames_pass(seed: int) -> None:
    history = random_history(seed)
    judge(history, right_frames(history))


def test_a_window_that_was_read_again_may_leave_transactions_out() -> None:
    history = random_history(3)
    frames = right_frames(history)
    one, other = diffs(frames)[4:6]
    left_out, diff = frames[one], frames[other]
    assert isinstance(left_out, Diff)
    assert isinstance(diff, Diff)
    gone = [change for change in left_out.changes if change.type == "delete"]
    come = [change for change in diff.changes if change.type == "insert"]
    frames[one : other + 1] = [Diff("q0", 0, diff.tx, gone + come)]
    judge(history, frames, most=LIMIT + 7)
    with pytest.raises(BrokenPromiseError, match="first there should have been"):
        judge(history, frames)


def test_the_initial_result_is_in_order() -> None:
    history = random_history(0)
    frames = right_frames(history)
    initial = frames[0]
    assert isinstance(initial, Initial)
    assert len(initial.docs) == LIMIT
    initial.docs.reverse()
    with pytest.raises(BrokenPromiseError, match="never had"):
        judge(history, frames)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("fault", [lose, repeat, swap_rows, another_place])
def test_every_fault_is_seen(fault: Callable[[list[Frame], Random], None], seed: int) -> None:
    history = random_history(seed)
    frames = right_frames(history)
    fault(frames, Random(seed))
    with pytest.raises(BrokenPromiseError):
        judge(history, frames)
