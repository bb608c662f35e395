"""What the background writer does next."""

from random import Random

import pytest

from broadcaster.demo.todos import PRIORITIES, random_statements


def kinds(rows, seed):
    return [statement.split()[0] for statement, _ in random_statements(range(rows), Random(seed))]


@pytest.mark.parametrize("rows", range(10))
def test_a_short_table_only_grows(rows):
    assert all(kinds(rows, seed) == ["INSERT"] for seed in range(50))


def test_a_long_table_only_shrinks():
    assert all(kinds(23, seed) == ["DELETE"] for seed in range(50))


def test_between_them_everything_happens():
    seen = {tuple(kinds(15, seed)) for seed in range(200)}
    assert seen == {("INSERT",), ("UPDATE",), ("DELETE",), ("UPDATE", "UPDATE", "INSERT")}


def test_equal_chance_is_equal_work():
    assert random_statements(range(15), Random(7)) == random_statements(range(15), Random(7))


def test_it_only_touches_rows_that_are_there_and_values_that_fit():
    ids = range(100, 115)
    for seed in range(200):
        for statement, parameters in random_statements(ids, Random(seed)):
            if statement.startswith("INSERT"):
                title, priority, owner = parameters
                assert title and owner and priority in PRIORITIES
            else:
                last = parameters[-1]
                assert set(last if isinstance(last, list) else [last]) <= set(ids)
