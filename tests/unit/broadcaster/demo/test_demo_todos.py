"""What the background writer does next."""

from random import Random

import pytest

from broadcaster.demo.database import Todo
from broadcaster.demo.todos import PRIORITIES, Delete, Insert, Update, random_changes


def rows(count, start=0):
    return [Todo(number, number % 2 == 0) for number in range(start, start + count)]


def kinds(count, seed):
    return tuple(type(change) for change in random_changes(rows(count), Random(seed)))


@pytest.mark.parametrize("count", range(10))
def test_a_short_table_only_grows(count):
    assert {kinds(count, seed) for seed in range(50)} == {(Insert,)}


def test_a_long_table_loses_its_oldest_done_rows():
    assert random_changes(rows(23), Random(1)) == [Delete((0, 2, 4, 6, 8))]


def test_between_them_everything_happens():
    assert {kinds(15, seed) for seed in range(200)} == {
        (Insert,),
        (Update,),
        (Delete,),
        (Update, Update, Insert),
    }


def test_equal_chance_is_equal_work():
    assert random_changes(rows(15), Random(7)) == random_changes(rows(15), Random(7))


def test_it_only_touches_rows_that_are_there_and_values_that_fit():
    seen = set()
    for seed in range(200):
        for change in random_changes(rows(15, start=100), Random(seed)):
            match change:
                case Insert(title, priority, owner):
                    assert title and owner and priority in PRIORITIES
                case Update(ids, values):
                    seen |= values.keys()
                    assert set(ids) <= set(range(100, 115))
                    assert values.get("priority", 1) in PRIORITIES
                case Delete(ids):
                    assert set(ids) <= set(range(100, 115))
    assert seen == {"title", "done", "priority", "owner"}
