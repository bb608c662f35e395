from decimal import Decimal
from itertools import pairwise

import pytest

from broadcaster.order import Order, SortField


def rank(value, kind=None, *, descending=False, path="f", row=None, id_=1):
    row = {"id": id_, "f": value} if row is None else row
    types = None if kind is None else {path: kind}
    return Order((SortField(path, descending),)).rank(b'{"id":%d}' % id_, row, types)


ASCENDING = [
    (None, None),
    ("-Infinity", "float"),
    (Decimal("-1e4000"), None),
    (-(10**30), None),
    (-10, None),
    (-9.5, None),
    ("-9.4", "decimal"),
    (-1, None),
    ("-0.001", "decimal"),
    (0, None),
    ("0.00001", "decimal"),
    (0.1, None),
    ("0.10000000000000000001", "decimal"),
    (9, None),
    (10, None),
    (10.5, None),
    ("11", "decimal"),
    (100, None),
    (2**53 - 1, None),
    ("9007199254740993", "int64"),
    (1e23, None),
    ("100000000000000000000000.1", "decimal"),
    ("Infinity", "decimal"),
    ("NaN", "float"),
    ("", None),
    ("\0", None),
    ("\0a", None),
    ("\1", None),
    ("A", None),
    ("B", None),
    ("a", None),
    ("a\0", None),
    ("a\0b", None),
    ("aa", None),
    ("é", None),
    ("\ud800", None),
    ("\uffff", None),
    ("😀", None),
    (False, None),
    (True, None),
    ("-infinity", "timestamp"),
    ("0000-00-00", "date"),
    ("0000-01-01T00:00:00", "timestamp"),
    ("1999-12-31", "date"),
    ("2024-00-00", "date"),
    ("2024-01-01T00:00:00Z", "timestamptz"),
    ("2024-01-31T23:59:59.999999", "timestamp"),
    ("2024-02-00", "date"),
    ("2024-02-01", "date"),
    ("2024-02-29", "date"),
    ("2024-02-31", "date"),
    ("2024-03-01", "date"),
    ("2024-12-32", "date"),
    ("2025-01-01T00:00:00+00:00", "timestamptz"),
    ("10000-01-01T00:00:00", "timestamp"),
    ("infinity", "date"),
    ("-01:00:00", "time"),
    ("00:00:00.5", "time"),
    ("838:59:59", "time"),
    ("00000000-0000-0000-0000-00000000000A", "uuid"),
    ("00000000-0000-0000-0000-00000000000b", "uuid"),
    ("", "bytes"),
    ("AAA=", "bytes"),
    ("AQ==", "bytes"),
    ("no moment", "date"),
    ({"a": 1, "b": 0}, None),
    ({"a": 2}, None),
    ({}, None),
    ([1, 2], None),
    ([1], None),
    ([], None),
]


def test_one_order_of_all_values():
    ranks = [rank(value, kind) for value, kind in ASCENDING]
    for place, (lower, higher) in enumerate(pairwise(ranks)):
        assert lower < higher, ASCENDING[place : place + 2]
    down = [rank(value, kind, descending=True) for value, kind in ASCENDING]
    assert down == sorted(down, reverse=True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, None), ("1.000", "decimal")),
        ((0.1, None), ("0.1", "decimal")),
        ((1e23, None), (10**23, None)),
        ((-0.0, None), (0, None)),
        (("2024-01-01", "date"), ("2024-01-01T01:00:00+01:00", "timestamptz")),
        (({"a": 1, "b": 2}, None), ({"b": 2, "a": 1.0}, None)),
    ],
)
def test_equal_values_leave_it_to_the_key(one, other):
    for descending in (False, True):
        lower, higher = rank(*one, descending=descending), rank(*other, descending=descending, id_=2)
        assert lower < higher
        assert rank(*other, descending=descending) < rank(*one, descending=descending, id_=2)


def test_keys_in_order_by_their_kinds():
    order = Order((), 5)
    rows = [
        (b'{"region":"eu","no":9}', None),
        (b'{"region":"eu","no":10}', None),
        (b'{"region":"eu","no":"9007199254740993"}', {"no": "int64"}),
        (b'{"region":"us","no":1}', None),
    ]
    ranks = [order.rank(key, {}, types) for key, types in rows]
    assert ranks == sorted(ranks)


def test_several_fields_and_the_way_to_them():
    order = Order((SortField("a.b", True), SortField("list.1"), SortField("c")))

    def of(id_, **row):
        return order.rank(b'{"id":%d}' % id_, row, None)

    ranks = [
        of(9, a={"b": 2}, list=[9, 1]),
        of(8, a={"b": 2}, list=[0, 2], c="x"),
        of(7, a={"b": 2}, list=[0, 2], c="y"),
        of(6, a={"b": 1}, list=[{"b": 7}]),
        of(4, a=[{"b": 5}]),
        of(5, a=7, list="text"),
    ]
    assert ranks == sorted(ranks)


def test_what_is_nested_beyond_any_use_is_equal():
    deep = []
    for _ in range(5000):
        deep = [deep]
    assert rank(deep)[:-9] == rank([deep])[:-9]


def test_orders_have_texts_of_their_own():
    orders = [
        Order(),
        Order((), 1),
        Order((SortField("a"),)),
        Order((SortField("a", True),)),
        Order((SortField("a"), SortField("b"))),
        Order((SortField("a,b"),)),
    ]
    assert len({order.text() for order in orders}) == len(orders)
