"""The check of the topics sees what it is there for."""

import json
from collections.abc import Callable

import pytest
from follower import BrokenPromiseError
from history import History, RowImage, Transaction
from tables import Row, Table
from told import Told, compare, expected, told_by

TABLE = Table("items", ("id",), lambda random: {"id": 1}, {})


def row(key: int, version: int) -> Row:
    return {"id": key, "version": version}


@pytest.fixture
def history() -> History:
    made = History()
    made.extend(
        [
            Transaction("1", [RowImage("items", None, row(1, 1)), RowImage("others", None, row(1, 2))], "1"),
            Transaction("2", [RowImage("items", row(1, 1), row(1, 3))], "2"),
            Transaction("3", [RowImage("items", row(1, 3), row(2, 4))], "3"),
            Transaction("4", [RowImage("items", None, None)], "4"),
        ]
    )
    return made


def test_every_change_of_the_table_is_expected(history: History) -> None:
    assert list(expected(history, 0, TABLE)) == [
        Told("1", "c", {"id": 1}, None, row(1, 1)),
        Told("2", "u", {"id": 1}, row(1, 1), row(1, 3)),
        Told("3", "d", {"id": 1}, row(1, 3), None),
        Told("3", "c", {"id": 2}, None, row(2, 4)),
        Told("4", "t", None, None, None),
    ]
    assert [told.op for told in expected(history, 3, TABLE)] == ["t"]


def test_a_record_is_what_it_says() -> None:
    event = {"before": None, "after": row(1, 1), "op": "c", "transaction": {"id": "1"}}
    record = told_by(b'{"id":1}', json.dumps(event).encode())
    assert record == Told("1", "c", {"id": 1}, None, row(1, 1))


def test_what_is_as_it_must_be_passes(history: History) -> None:
    wanted = list(expected(history, 0, TABLE))
    compare("topic", wanted, list(wanted))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda told: told[1:],
        lambda told: told[:-1],
        lambda told: [*told, told[-1]],
        lambda told: [told[0], *told],
        lambda told: [told[1], told[0], *told[2:]],
        lambda told: [Told("9", "c", {"id": 9}, None, row(9, 9)), *told],
        lambda told: [*told[:1], Told("2", "u", {"id": 1}, None, row(1, 3)), *told[2:]],
    ],
    ids=["first lost", "last lost", "last repeated", "first repeated", "swapped", "invented", "no old row"],
)
def test_anything_else_is_a_broken_promise(
    history: History, spoil: Callable[[list[Told]], list[Told]]
) -> None:
    wanted = list(expected(history, 0, TABLE))
    with pytest.raises(BrokenPromiseError, match=r"^topic: "):
        compare("topic", wanted, spoil(wanted))
