"""How far the reading came, in a position's state."""

from cdc.event import Position
from cdc.snapshot.progress import Progress, Reading, without

AT = Position("e", 5, {"relations": {"a": 1}})


def test_without_anything_to_read_a_position_stays_as_it_is() -> None:
    assert Progress(None, ["a"]).on(AT) is AT
    assert without(AT) is AT
    assert without(None) is None


def test_what_was_read_is_found_again_in_the_state() -> None:
    progress = Progress(None, ["a", "b", "c"], ["a", "b"])
    assert progress.current == "a"
    progress.advance("a", ["7"], 3, done=False)
    progress.advance("a", ["9"], 2, done=True)
    assert progress.current == "b"
    progress.advance("b", None, 1, done=False)
    position = progress.on(AT)
    assert without(position) == AT
    again = Progress(position, ["a", "b", "c"], ["a", "b"])
    assert again.readings == {"a": Reading(["9"], 5, done=True), "b": Reading(None, 1, done=False)}
    assert again.on(AT) == position


def test_of_collections_that_are_tailed_no_more_nothing_is_known() -> None:
    progress = Progress(None, ["a"], ["a"])
    progress.advance("a", ["7"], 3, done=True)
    position = progress.on(AT)
    assert Progress(position, []).readings == {}
    assert Progress(position, ["a", "b"], ["a", "b"]).current == "b"


def test_one_that_cannot_be_read_lets_the_others_go_first() -> None:
    progress = Progress(None, ["a", "b"], ["a", "b"])
    progress.postpone("a")
    assert progress.current == "b"
    progress.begin("b")
    assert progress.current == "b"


def test_a_reading_can_begin_anew() -> None:
    progress = Progress(None, ["a"])
    assert progress.current is None
    progress.begin("a")
    progress.advance("a", ["7"], 3, done=True)
    before = progress.on(AT)
    progress.begin("a")
    assert progress.readings == {"a": Reading()}
    assert progress.on(AT) != before


def test_the_state_is_made_anew_only_where_something_changed() -> None:
    progress = Progress(None, ["a"], ["a"])
    first = progress.on(AT)
    assert progress.on(Position("e", 6, AT.state)).state is first.state
    assert progress.on(Position("e", 6, {"relations": {}})).state["relations"] == {}
