"""The oracle's judge: it must let right frames pass, and see every way in which they can be wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import pytest
from follower import BrokenPromiseError, Follower
from history import Bounds, History, Moment, RowImage, Transaction, View
from tables import KINDS, Row, Table
from values import number

from broadcaster.client_frames import Diff, Failure, Frame, Initial, Ready, Reset, RowChange
from broadcaster.client_stream import LiveQuery

QUERY = LiveQuery("q0", "db", "items", {"n": {"$gt": 4}})
ITEMS = Table("items", ("id",), lambda random: {"id": number(random)}, KINDS)
ALLOWED = frozenset({"truncated", "not_in_cursor"})
START = 10
ANY_TIME = Moment(0, 1)


def row(number: int, n: int, version: int) -> Row:
    nothing = dict.fromkeys(("s", "price", "flag", "at", "j", "body"))
    return {"id": number, "n": n, "version": version, **nothing}


def random_history(seed: int, transactions: int = 40) -> History:
    random, rows, version = Random(seed), dict[int, Row](), 0
    history = History()
    for tx in range(transactions):
        changes = []
        for _ in range(random.randint(1, 4)):
            version += 1
            number = random.randrange(6)
            old, new = rows.pop(number, None), row(number, random.randrange(10), version)
            if old is None:
                changes.append(RowImage("items", None, new))
            elif random.random() < 0.3:
                changes.append(RowImage("items", old, None))
                continue
            else:
                changes.append(RowImage("items", old, new))
            rows[number] = new
        history.extend([Transaction(str(tx), changes, str(tx))])
    return history


def right_frames(history: History, start: int = START) -> list[Frame]:
    """What a faultless server sends to a client that comes at a place; worked out apart from `View`."""
    held: dict[int, Row] = {}
    frames: list[Frame] = []
    for place, transaction in enumerate(history.transactions):
        if place == start:
            frames += [Initial("q0", list(held.values())), Ready("q0", len(held))]
        changes = []
        for change in transaction.changes:
            number = (change.new or change.old or {})["id"]
            if change.new is not None and change.new["n"] > 4:
                changes.append(
                    RowChange("update" if number in held else "insert", {"id": number}, change.new)
                )
                held[number] = change.new
            elif held.pop(number, None) is not None:
                changes.append(RowChange("delete", {"id": number}, None))
        if changes and place >= start:
            frames.append(Diff("q0", 0, transaction.tx, changes))
    return frames


def frames_from_scratch(
    history: History,
    result: Callable[[Iterable[Row]], list[Row]],
    changes: Callable[[list[Row], list[Row]], list[RowChange]],
) -> list[Frame]:
    """What a faultless server could send that works out the result of all rows anew after each transaction. changes:
    what leads from one result to the next."""
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
        before, shown = shown, result(rows.values())
        if place >= START and shown != before:
            frames.append(Diff("q0", 0, transaction.tx, changes(before, shown)))
    return frames


def judge_by(
    follower: Follower, history: History, frames: list[Frame], answer: Any, moment: Moment = ANY_TIME
) -> None:
    """Raises BrokenPromiseError. answer: what the database shows at the end."""
    for frame in frames:
        follower.observe(frame, moment)
    follower.check(Bounds(history, [str(START - 1)], [str(START)]))
    waiting = follower.behind()
    if waiting is not None:
        raise BrokenPromiseError(waiting)
    follower.compare(answer)


def judge(
    history: History, frames: list[Frame], moment: Moment = ANY_TIME, query: LiveQuery = QUERY
) -> Follower:
    view = View(query, ITEMS, history)
    view.catch_up()
    follower = Follower("client", query, view, ALLOWED)
    judge_by(follower, history, frames, view.state, moment)
    return follower


@pytest.mark.parametrize("seed", range(20))
def test_right_frames_pass(seed: int) -> None:
    history = random_history(seed)
    frames = right_frames(history)
    judge(history, frames)
    resumed = [*frames[:6], Ready("q0", resumed=True), *frames[6:], Failure("q0", "not_ready", "", True)]
    judge(history, resumed)
    again = right_frames(history, 20)
    judge(history, [*frames[:4], Reset("q0", "not_in_cursor"), *again])
    skipping = LiveQuery("q0", "db", "items", QUERY.where, skip_initial=True)
    judge(history, [Ready("q0"), *frames[2:]], Moment(0, 0), skipping)


def diffs(frames: list[Frame]) -> list[int]:
    """Where in the list the diffs are."""
    return [place for place, frame in enumerate(frames) if isinstance(frame, Diff)]


def lose(frames: list[Frame], random: Random) -> None:
    del frames[random.choice(diffs(frames))]


def repeat(frames: list[Frame], random: Random) -> None:
    place = random.choice(diffs(frames))
    frames.insert(place, frames[place])


def swap(frames: list[Frame], random: Random) -> None:
    place = random.choice(diffs(frames)[:-1])
    frames[place : place + 2] = frames[place + 1], frames[place]


def change_of(frames: list[Frame], random: Random) -> tuple[Diff, int]:
    diff = frames[random.choice(diffs(frames))]
    assert isinstance(diff, Diff)
    return diff, random.randrange(len(diff.changes))


def swallow_a_change(frames: list[Frame], random: Random) -> None:
    diff, number = change_of(frames, random)
    del diff.changes[number]


def repeat_a_change(frames: list[Frame], random: Random) -> None:
    diff, number = change_of(frames, random)
    diff.changes.insert(number, diff.changes[number])


def stale_row(frames: list[Frame], random: Random) -> None:
    diff = next(frame for frame in frames if isinstance(frame, Diff) and frame.changes[-1].doc is not None)
    doc = diff.changes[-1].doc
    assert doc is not None
    diff.changes[-1] = RowChange(diff.changes[-1].type, {"id": doc["id"]}, {**doc, "n": 9, "s": "older"})


def another_type(frames: list[Frame], random: Random) -> None:
    diff, number = change_of(frames, random)
    change = diff.changes[number]
    diff.changes[number] = RowChange(
        "update" if change.type == "insert" else "insert", change.find, change.doc
    )


def of_no_transaction(frames: list[Frame], random: Random) -> None:
    place = random.choice(diffs(frames))
    diff = frames[place]
    assert isinstance(diff, Diff)
    frames[place] = Diff("q0", 0, "4711", diff.changes)


def a_row_less(frames: list[Frame], random: Random) -> None:
    initial = frames[0]
    assert isinstance(initial, Initial)
    initial.docs.pop()
    frames[1] = Ready("q0", len(initial.docs))


def a_row_twice(frames: list[Frame], random: Random) -> None:
    initial = frames[0]
    assert isinstance(initial, Initial)
    initial.docs.append(initial.docs[0])


def miscounted(frames: list[Frame], random: Random) -> None:
    frames[1] = Ready("q0", 99)


def ready_twice(frames: list[Frame], random: Random) -> None:
    frames.insert(4, Ready("q0", 0))


def reset_for_no_reason(frames: list[Frame], random: Random) -> None:
    frames[4:4] = [Reset("q0", "epoch_changed")]


def failed(frames: list[Frame], random: Random) -> None:
    frames.append(Failure("q0", "internal", "", False))


@pytest.mark.parametrize(
    "fault",
    [
        lose,
        repeat,
        swap,
        swallow_a_change,
        repeat_a_change,
        stale_row,
        another_type,
        of_no_transaction,
        a_row_less,
        a_row_twice,
        miscounted,
        ready_twice,
        reset_for_no_reason,
        failed,
    ],
)
def test_every_fault_is_seen(fault: Callable[[list[Frame], Random], Any]) -> None:
    for seed in range(20):
        history = random_history(seed)
        frames = right_frames(history)
        assert isinstance(frames[0], Initial)
        if not frames[0].docs:
            continue
        fault(frames, Random(seed))
        with pytest.raises(BrokenPromiseError):
            judge(history, frames)


def test_a_result_of_the_wrong_time() -> None:
    history = random_history(3)
    frames = right_frames(history)
    judge(history, frames, Moment(1, 0))
    with pytest.raises(BrokenPromiseError, match="wrong time"):
        judge(history, right_frames(history, START - 3), Moment(1, 0))
    with pytest.raises(BrokenPromiseError, match="wrong time"):
        judge(history, right_frames(history, START + 6), Moment(0, 0))


def test_a_truncate_starts_the_result_over() -> None:
    history = random_history(5)
    frames = right_frames(history)
    history.extend([Transaction("t", [RowImage("items", None, None)], None)])
    with pytest.raises(BrokenPromiseError, match=r"waiting for transaction t .*TRUNCATE"):
        judge(history, frames)
    follower = judge(history, [*frames, Reset("q0", "truncated"), Initial("q0", []), Ready("q0", 0)])
    assert follower.resets == ["truncated"]


def test_the_story_names_the_query_and_the_last_frames() -> None:
    history = random_history(1)
    frames = right_frames(history)
    lose(frames, Random(1))
    with pytest.raises(BrokenPromiseError) as raised:
        judge(history, frames)
    assert "first there should have been transaction" in str(raised.value)
    assert 'live query q0 on items where {"n": {"$gt": 4}}' in str(raised.value)
    assert "diff of" in str(raised.value)
