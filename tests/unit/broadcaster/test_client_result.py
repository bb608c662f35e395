from typing import Any

from broadcaster.client_frames import Diff, Initial, Progress, Ready, Reset, Row, RowChange
from broadcaster.client_result import Change, Result

A, B, C = ({"id": name, "n": 1} for name in "abc")
A2: Row = {"id": "a", "n": 2}


def diff(*changes: tuple[str, str, Row | None]) -> Diff:
    return Diff("q1", 1, "7", [RowChange(kind, {"id": name}, doc) for kind, name, doc in changes])


def loaded(*docs: Row) -> Result:
    result = Result()
    result.take(Initial("q1", list(docs)))
    assert result.take(Ready("q1", len(docs))) == [Change("initial", {}, None, list(docs))]
    return result


def shown(changes: list[Change]) -> list[tuple[str, dict[str, Any], Row | None]]:
    return [(change.type, change.find, change.doc) for change in changes]


def test_an_empty_result_is_told_once() -> None:
    result = loaded()
    assert result.docs == []
    assert result.take(Ready("q1", resumed=True)) == []
    assert result.take(Progress()) == []


def test_all_changes_of_a_transaction_show_what_it_led_to() -> None:
    result = loaded(A, B)
    changes = result.take(diff(("delete", "b", None), ("update", "a", A2), ("insert", "c", C)))
    assert [change.type for change in changes] == ["delete", "update", "insert"]
    assert [change.docs for change in changes] == [[A2, C]] * 3
    assert result.docs == [A2, C]


def test_a_deleted_and_reinserted_row_goes_to_the_end() -> None:
    result = loaded(A, B)
    result.take(diff(("delete", "a", None), ("insert", "a", A2)))
    assert result.docs == [B, A2]


def test_keys_of_several_fields_and_kinds_do_not_mix() -> None:
    docs: list[Row] = [{"k": 1, "t": "1"}, {"k": "1", "t": "1"}, {"k": 1, "t": '1","'}]
    result = loaded(*docs)
    result.take(Diff("q1", 1, "7", [RowChange("delete", {"t": "1", "k": 1}, None)]))
    assert result.docs == docs[1:]


def test_a_reset_tells_the_difference() -> None:
    result = loaded(A, B)
    result.take(diff(("insert", "c", C)))
    assert result.take(Reset("q1", "epoch_changed")) == []
    assert result.docs == [A, B, C], "the old result stands until the new one has come"
    result.take(Initial("q1", [A2, C, {"id": "d"}]))
    changes = result.take(Ready("q1", 3))
    assert shown(changes) == [
        ("reset", {}, None),
        ("delete", {"id": "b"}, None),
        ("update", {"id": "a"}, A2),
        ("insert", {"id": "d"}, {"id": "d"}),
    ]
    assert all(change.docs == [A2, C, {"id": "d"}] for change in changes)


def test_a_reset_before_any_change_named_the_key() -> None:
    result = loaded(A, B)
    result.take(Reset("q1", "truncated"))
    result.take(Initial("q1", [A2, B]))
    assert shown(result.take(Ready("q1", 2))) == [
        ("reset", {}, None),
        ("delete", A, None),
        ("insert", A2, A2),
    ]


def test_a_first_result_after_a_reset_is_the_initial_one() -> None:
    result = Result()
    result.take(Reset("q1", "not_in_cursor"))
    result.take(Initial("q1", [A]))
    assert shown(result.take(Ready("q1", 1))) == [("initial", {}, None)]


def test_without_initial_result() -> None:
    result = Result()
    assert result.take(Ready("q1")) == []
    assert shown(result.take(diff(("update", "a", A2), ("delete", "b", None)))) == [
        ("update", {"id": "a"}, A2),
        ("delete", {"id": "b"}, None),
    ]
    assert result.docs == [A2]
    result.take(Reset("q1", "too_far_behind"))
    assert shown(result.take(Ready("q1"))) == [("reset", {}, None)]
    assert result.docs == []


def test_rows_with_numbers_that_floats_cannot_hold() -> None:
    from broadcaster.client_frames import parse_frame
    from broadcaster.sse_parser import Event

    frame = parse_frame(Event("initial", '{"id":"q1","docs":[{"id":1,"j":1e400}]}'))
    assert frame is not None
    result = Result()
    result.take(frame)
    assert [change.type for change in result.take(Ready("q1", 1))] == ["initial"]


def test_the_key_is_known_before_the_first_change():
    result = Result()
    result.take(Initial("q1", [{"id": 1, "n": 1}]))
    result.take(Ready("q1", 1, key=("id",)))
    result.take(Reset("q1", "truncated"))
    result.take(Initial("q1", [{"id": 1, "n": 2}]))
    assert shown(result.take(Ready("q1", 1, key=("id",)))) == [
        ("reset", {}, None),
        ("update", {"id": 1}, {"id": 1, "n": 2}),
    ]


def test_changes_with_places_keep_the_order() -> None:
    result = loaded(A, B)
    moved = RowChange("update", {"id": "a"}, A2, 0, 0)
    result.take(Diff("q1", 1, "7", [RowChange("delete", {"id": "b"}, None, 1), moved]))
    assert result.docs == [A2]
    result.take(Diff("q1", 1, "8", [RowChange("insert", {"id": "c"}, C, None, 0)]))
    assert result.docs == [C, A2]
    changes = result.take(Diff("q1", 1, "9", [RowChange("update", {"id": "a"}, A, 1, 0)]))
    assert shown(changes) == [("update", {"id": "a"}, A)]
    assert result.docs == [A, C]


def test_an_aggregate_without_groups_is_one_row_whatever_it_comes_to() -> None:
    result = Result()
    result.take(Initial("q1", [{"n": 1}]))
    assert [change.type for change in result.take(Ready("q1", 1, key=()))] == ["initial"]
    result.take(Reset("q1", "before_image_missing"))
    result.take(Initial("q1", [{"n": 5}]))
    assert [change.type for change in result.take(Ready("q1", 1, key=()))] == ["reset", "update"]
    result.take(Diff("q1", 1, "7", [RowChange("update", {}, {"n": 6})]))
    assert result.docs == [{"n": 6}]
