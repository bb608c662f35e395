from broadcaster.window import Head, Step, Window, margin


def row(number, doc=b"x"):
    return b"k%03d" % number, (b"r%03d" % number, doc)


def delta(number, doc=b"x"):
    key, (rank, _) = row(number)
    return (b"insert", key, doc, rank) if doc is not None else (b"delete", key, None, b"")


def filled(limit, count, *, more=False, max_rows=1000, max_bytes=1000, doc=b"x"):
    window = Window(limit, max_rows, max_bytes)
    rows = dict(row(number, doc) for number in range(count))
    window.refill(Head(rows, b"r%03d" % (count - 1) if more else None))
    return window


def test_a_step_for_each_row_that_differs():
    window = filled(2, 3)
    steps = window.apply([delta(1, None), delta(0, b"new")])
    assert steps == [
        Step(b"delete", b"k001", None, 1, None),
        Step(b"update", b"k000", b"new", 0, 0),
        Step(b"insert", b"k002", b"x", None, 1),
    ]
    assert window.docs == [b"new", b"x"]


def test_a_row_that_changes_its_place():
    window = filled(None, 4)
    moved = (b"update", b"k000", b"x", b"r002!")
    assert window.apply([moved]) == [Step(b"update", b"k000", b"x", 0, 2)]
    still = (b"update", b"k000", b"x", b"r002#")
    assert window.apply([still]) == []


def test_of_a_row_only_its_last_change_counts():
    window = filled(3, 2)
    assert window.apply([delta(5), delta(5, None)]) == []
    assert window.apply([delta(1, None), delta(1)]) == []
    assert window.apply([delta(1, None), delta(1, b"y")]) == [Step(b"update", b"k001", b"y", 1, 1)]


def test_rows_beyond_the_bound_are_nobodys_business():
    window = filled(1, 9, more=True)
    assert window.apply([delta(50), delta(60, None)]) == []
    assert not window.is_short


def test_too_few_rows_are_told_of_nothing():
    window = filled(2, 10, more=True)
    assert window.apply([delta(number, None) for number in range(9)]) == []
    assert window.is_short
    assert window.docs == [b"x", b"x"]
    assert window.apply([delta(0)]) == []
    steps = window.refill(Head(dict([row(0), row(9), row(10)])))
    assert [(step.type, step.key) for step in steps] == [(b"delete", b"k001"), (b"insert", b"k009")]
    assert not window.is_short


def test_all_rows_that_there_are_may_be_few():
    window = filled(5, 3)
    window.apply([delta(number, None) for number in range(3)])
    assert not window.is_short
    assert window.docs == []


def test_changes_that_are_not_known():
    window = filled(5, 3)
    window.lose()
    assert window.apply([delta(4)]) == []
    assert window.docs == [b"x"] * 3


def test_no_more_is_known_than_is_worth_it():
    window = filled(2, 2)
    for number in range(2, 60):
        window.apply([delta(number)])
    assert window.apply([delta(59, None)]) == []
    window.apply([delta(number, None) for number in range(12)])
    assert window.is_short, "the rows beyond were forgotten"


def test_large_rows_leave_less_to_spare():
    window = filled(2, 2, max_bytes=100, doc=b"x" * 40)
    window.apply([delta(5, b"x" * 40)])
    assert not window.is_too_large
    window.apply([delta(0, None)])
    assert window.is_short, "the third row had to be forgotten"
    window = filled(2, 1, max_bytes=100)
    window.apply([delta(5, b"x" * 100)])
    assert window.is_too_large


def test_a_result_without_limit_has_a_bound():
    window = filled(None, 3, max_rows=3)
    assert not window.is_too_large
    window.apply([delta(4)])
    assert window.is_too_large


def test_the_margin():
    assert [margin(limit) for limit in (1, 16, 50, 200, 10_000)] == [8, 8, 25, 100, 100]
