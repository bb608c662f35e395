import random

import pytest

from broadcaster.errors import RequestError
from broadcaster.evaluate import compile_predicate
from broadcaster.livequery import LiveQuery
from broadcaster.order import Order, SortField
from broadcaster.query import parse_where
from broadcaster.snapshot.gathering import Gathering, wanted


def query(order=None, where=None):
    node = parse_where(where or {})
    return LiveQuery("q", "pg", "t", node, compile_predicate(node), 1 << 20, None, order)


def key(id_):
    return b'{"id":%d}' % id_


def doc(id_, n):
    return b'{"id":%d,"n":%d}' % (id_, n)


def take(gathering, rows):
    """How many rows were read before no more was wanted."""
    for place, (id_, n) in enumerate(rows):
        if not gathering.take(key(id_), doc(id_, n), None):
            return place
    return len(rows)


BY_N = Order((SortField("n"),), 4)  # and 8 more are worth knowing


def test_rows_without_order_come_as_they_are():
    gathering = Gathering(query(where={"n": {"$gt": 1}}), 10, 1000)
    assert take(gathering, [(3, 5), (1, 1), (2, 2)]) == 3
    assert list(gathering.rows) == [key(3), key(2)]
    assert (gathering.ranks, gathering.bound) == ({}, None)


def test_the_first_rows_of_any_order():
    rows = [(number, number // 3) for number in range(100)]
    random.Random(1).shuffle(rows)
    gathering = Gathering(query(BY_N), 10, 10_000)
    assert take(gathering, rows) == 100
    assert list(gathering.rows) == [key(number) for number in range(12)]
    assert gathering.bound == gathering.ranks[key(11)]


def test_all_rows_where_there_are_no_more():
    gathering = Gathering(query(BY_N), 10, 10_000)
    assert take(gathering, [(number, 0) for number in range(12)]) == 12
    assert gathering.bound is None


def test_what_comes_in_order_is_read_until_no_later_row_can_be_among_the_first():
    rows = [(99 - number, number // 5) for number in range(100)]
    gathering = Gathering(query(BY_N), 10, 10_000, pushed=1)
    assert take(gathering, rows) == 15  # those with the third value are read to the last
    assert list(gathering.rows)[-2:] == [key(85), key(86)]
    assert gathering.bound == gathering.ranks[key(86)]
    exact = Gathering(query(BY_N), 10, 10_000, pushed=2)
    assert take(exact, [(number, 0) for number in range(100)]) == 12
    assert exact.bound == exact.ranks[key(11)]


def test_rows_that_do_not_match_end_nothing():
    gathering = Gathering(query(BY_N, {"id": {"$gt": 90}}), 10, 10_000, pushed=2)
    assert take(gathering, [(number, 0) for number in range(100)]) == 100
    assert len(gathering.rows) == 9
    assert gathering.bound is None


def test_a_sorted_result_without_limit_has_the_bounds_of_any_other():
    everything = query(Order((SortField("n"),)))
    assert wanted(everything) is None
    assert take(Gathering(everything, 3, 1000), [(3, 1), (2, 2), (1, 3)]) == 3
    with pytest.raises(RequestError, match="initialRows"):
        take(Gathering(everything, 2, 1000), [(3, 1), (2, 2), (1, 3)])


def test_bytes_bound_the_first_rows_too():
    with pytest.raises(RequestError, match="initialBytes"):
        take(Gathering(query(BY_N), 100, 50), [(number, 0) for number in range(4)])
