import pytest

from broadcaster.aggregate import Aggregate, Aggregation, Function, Shares

TOTAL = Aggregate("total", Function.SUM, "price")
LEAST = Aggregate("least", Function.MIN, "a.b")


def share(row, *aggregates, by=(), types=None):
    shares = Shares(Aggregation(aggregates, by))
    return shares.read(shares.of(row, types))


def test_what_a_row_counts_for():
    one = share(
        {"price": "12.50", "s": "x", "a": {"b": 7}}, TOTAL, LEAST, by=("s",), types={"price": "decimal"}
    )
    assert one.group == b'{"s":"x"}'
    assert one.values[0] == ("d12.50", b"", b"")
    assert one.values[1][0] == ""
    assert one.values[1][2] == b"7"


def test_equal_rows_have_equal_shares():
    shares = Shares(Aggregation((TOTAL,), ("n",)))
    assert shares.of({"n": 1, "price": 2, "t": "a"}, None) == shares.of(
        {"n": 1.0, "price": 2, "t": "b"}, None
    )
    assert shares.of({"n": None}, None) == shares.of({}, None)


@pytest.mark.parametrize(
    ("value", "kind", "number"),
    [
        (3, None, "i3"),
        (0.5, None, "f0.5"),
        (3, "float", "i3"),
        (3, "timestamptz", ""),
        (True, None, ""),
        ("3", None, ""),
        ({"a": 1}, None, ""),
        ([1], None, ""),
        ("9007199254740993", "int64", "i9007199254740993"),
        ("NaN", "float", "NaN"),
        ("-Infinity", "float", "f-inf"),
        ("1.50", "decimal", "d1.50"),
        ("2026-01-01", "date", ""),
    ],
)
def test_which_values_are_numbers(value, kind, number):
    one = share({"price": value}, TOTAL, types={"price": kind} if kind else None)
    assert one.values[0].number == number


@pytest.mark.parametrize(
    ("value", "kind", "shown"),
    [
        (None, None, b"null"),
        (2.0, None, b"2"),
        (2.5, None, b"2.5"),
        ("12.5000", "decimal", b'"12.5"'),
        ("NaN", "decimal", b'"NaN"'),
        ("1E+2000000", "decimal", b'"1E+2000000"'),
        ("2026-01-01T00:00:00Z", "timestamptz", b'"2026-01-01T00:00:00Z"'),
        ({"b": 1, "a": [2]}, None, b'{"a":[2],"b":1}'),
        ("\ud800", None, b'"\\ud800"'),
    ],
)
def test_how_a_group_is_written(value, kind, shown):
    assert share({"g": value}, by=("g",), types={"g": kind} if kind else None).group == b'{"g":%b}' % shown


def test_paths_and_text():
    aggregation = Aggregation((Aggregate("n", Function.COUNT), TOTAL, LEAST), ("s", "price"))
    assert aggregation.paths == ("s", "price", "a.b")
    assert aggregation.text() != Aggregation(aggregation.aggregates, ("price", "s")).text()
