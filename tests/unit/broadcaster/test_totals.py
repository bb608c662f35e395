import json

from broadcaster.aggregate import Aggregate, Aggregation, Function, Shares
from broadcaster.totals import Totals, difference

COUNT = Aggregate("n", Function.COUNT)
SHARES = Shares(
    Aggregation((COUNT, Aggregate("total", Function.SUM, "p"), Aggregate("least", Function.MIN, "p")))
)
BY_S = Shares(Aggregation((COUNT, Aggregate("most", Function.MAX, "p")), ("s",)))


def made(shares, max_groups, counted=()):
    totals = Totals(shares, max_groups)
    for share in counted:
        totals.count(share)
    totals.settle()
    return totals


def of(shares, *rows):
    return [shares.of(row, None) for row in rows]


def told(totals):
    return [json.loads(doc) for doc in list(totals.told.values())]


def test_without_groups_there_is_always_one_row():
    totals = made(SHARES, 10)
    assert told(totals) == [{"n": 0, "total": None, "least": None}]
    one, other = of(SHARES, {"p": 3}, {"p": None})
    assert totals.apply([(b"", one), (b"", other)]) == [
        (b"update", b"{}", b'{"n":2,"total":3,"least":3}', b"")
    ]
    assert totals.apply([(one, b""), (other, b"")])[0][0] == b"update"
    assert told(totals) == [{"n": 0, "total": None, "least": None}]


def test_groups_come_change_and_go_in_one_transaction():
    a1, b2, b3 = of(BY_S, {"s": "a", "p": 1}, {"s": "b", "p": 2}, {"s": "b", "p": 3})
    totals = made(BY_S, 10, [a1])
    assert told(totals) == [{"s": "a", "n": 1, "most": 1}]
    assert totals.apply([(a1, b2), (b"", b3)]) == [
        (b"delete", b'{"s":"a"}', None, b""),
        (b"insert", b'{"s":"b"}', b'{"s":"b","n":2,"most":3}', b""),
    ]
    assert totals.apply([(b2, b3), (b3, b2)]) == []
    assert totals.apply([(b3, b"")]) == [(b"update", b'{"s":"b"}', b'{"s":"b","n":1,"most":2}', b"")]
    assert totals.apply([(b"", a1), (a1, b"")]) == []


def test_too_many_groups():
    shares = of(BY_S, *[{"s": str(number)} for number in range(4)])
    assert made(BY_S, 3, shares).is_large
    totals = made(BY_S, 3, shares[:3])
    assert not totals.is_large
    totals.apply([(b"", shares[3])])
    assert totals.is_large


def test_totals_that_are_short_stay_as_they_were_told():
    rows = of(SHARES, *[{"p": number} for number in range(300)])
    totals = made(SHARES, 10, rows)
    before = dict(totals.told)
    assert totals.apply([(row, b"") for row in rows[:299]]) == []
    assert totals.is_short
    assert totals.told == before


def test_the_difference_leads_from_one_to_the_other():
    assert difference({b"a": b"1", b"b": b"2", b"c": b"3"}, {b"b": b"2", b"c": b"4", b"d": b"5"}) == [
        (b"delete", b"a", None, b""),
        (b"update", b"c", b"4", b""),
        (b"insert", b"d", b"5", b""),
    ]


def test_what_is_taken_out_and_was_not_in_is_seen():
    a1, a2, b1 = of(BY_S, {"s": "a", "p": 1}, {"s": "a", "p": 2}, {"s": "b", "p": 1})
    for share in (a2, b1):
        totals = made(BY_S, 10, [a1])
        assert totals.apply([(share, b"")]) == []
        assert totals.is_wrong
    totals = made(BY_S, 10, [a1])
    totals.apply([(a1, b""), (b"", a1)])
    assert not totals.is_wrong
