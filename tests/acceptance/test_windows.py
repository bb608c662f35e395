"""The oracle's judge of sorted and limited live queries: it lets right frames pass, and sees how they can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from follower import BrokenPromiseError
from history import Bounds, History, Moment
from tables import Row
from test_follower import ALLOWED, ITEMS, START, diffs, lose, random_history, repeat
from windows import WindowFollower, WindowView

from broadcaster.client_frames import Diff, Frame, Initial, Ready, RowChange
from broadcaster.client_stream import LiveQuery

LIMIT = 3
QUERY = LiveQuery("q0", "db", "items", {"n": {"$gt": 1}}, sort=["-n"], limit=LIMIT)


def right_frames(history: History) -> list[Frame]:
    """What a faultless server could send: each time all old rows out, all new ones in."""
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
        shown = sorted(
            (row for row in rows.values() if row["n"] > 1), key=lambda row: (-row["n"], row["id"])
        )[:LIMIT]
        if place >= START and shown != before:
            changes = [RowChange("delete", {"id": row["id"]}, None, 0) for row in before]
            changes += [
                RowChange("insert", {"id": row["id"]}, row, None, index) for index, row in enumerate(shown)
            ]
            frames.append(Diff("q0", 0, transaction.tx, changes))
    return frames


def judge(history: History, frames: list[Frame], most: int = 0) -> None:
    view = WindowView(QUERY, ITEMS, history)
    view.catch_up()
    view.most = max(view.most, most)
    follower = WindowFollower("client", QUERY, view, ALLOWED)
    for frame in frames:
        follower.observe(frame, Moment(0, 1))
    follower.check(Bounds(history, [str(START - 1)], [str(START)]))
    waiting = follower.behind()
    if waiting is not None:
        raise BrokenPromiseError(waiting)
    follower.compare(dict(view.shown[-1]))


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
