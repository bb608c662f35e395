"""Totals that followed every change are those of the rows as they are."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from broadcaster.aggregate import Aggregate, Aggregation, Function, Shares
from broadcaster.totals import Totals
from support.reference_aggregate import aggregated, as_json

TYPES = {"price": "decimal", "big": "int64", "real": "float", "at": "timestamptz"}
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "s": st.sampled_from(["a", "b", "", None, "é"]),
    "n": st.one_of(st.none(), st.integers(-5, 5), st.sampled_from([1.0, 0.5, 1e300, True, "x", [1], {"a": 1}])),
    "price": st.sampled_from([None, "0", "0.10", "0.1", "12.50", "-3.25", "999999999999999999.01", "NaN", "Infinity"]),
    "big": st.one_of(st.integers(-9, 9), st.sampled_from(["9007199254740993", "-9007199254740993", None])),
    "real": st.one_of(st.sampled_from([0.1, 0.2, 1e308, 3, "NaN", "Infinity", "-Infinity"]), st.floats(-10, 10)),
    "at": st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-01T00:00:00.5Z", "infinity", None]),
}  # fmt: skip
ROWS = st.fixed_dictionaries({}, optional=FIELDS)
PATHS = st.sampled_from([*FIELDS, "n.a", "missing"])
AGGREGATES = st.dictionaries(
    st.sampled_from("vwxyz"),
    st.one_of(
        st.just({"count": True}),
        st.tuples(st.sampled_from(list(Function)), PATHS).map(lambda pair: {str(pair[0]): pair[1]}),
    ),
    min_size=1,
)


def compiled(aggregate: dict[str, Any], group_by: list[str]) -> Shares:
    asked = [
        Aggregate(name, Function(function), None if path is True else path)
        for name, one in aggregate.items()
        for function, path in one.items()
    ]
    return Shares(Aggregation(tuple(asked), tuple(group_by)))


def made(shares: Shares, counted: Iterable[bytes]) -> Totals:
    totals = Totals(shares, 1000)
    for share in counted:
        totals.count(share)
    totals.settle()
    return totals


def shown(docs: list[bytes], group_by: list[str]) -> dict[str, Any]:
    rows = [json.loads(doc) for doc in docs]
    return {as_json({path: row[path] for path in group_by}): row for row in rows}


@settings(max_examples=150, deadline=None)
@given(
    aggregate=AGGREGATES,
    group_by=st.lists(st.sampled_from(["s", "price", "n", "at", "big"]), max_size=2, unique=True),
    start=st.lists(st.tuples(st.integers(0, 40), ROWS), max_size=40),
    transactions=st.lists(
        st.lists(st.tuples(st.integers(0, 40), st.one_of(st.none(), ROWS)), max_size=12), max_size=8
    ),
)
def test_totals_follow_every_change(aggregate, group_by, start, transactions):
    rows = dict(start)
    shares = compiled(aggregate, group_by)

    def share(row: dict[str, Any] | None) -> bytes:
        return b"" if row is None else shares.of(row, TYPES)

    totals = made(shares, map(share, rows.values()))
    for transaction in [[], *transactions]:
        changes = []
        for key, row in transaction:
            before = rows.pop(key, None)
            if row is not None:
                rows[key] = row
            changes.append((share(before), share(row)))
        client = dict(totals.told)
        for kind, find, doc, _ in totals.apply(changes):
            assert (find in client) == (kind != b"insert")
            if doc is None:
                del client[find]
            else:
                assert client.get(find) != doc
                client[find] = doc
        if totals.is_short:
            totals = made(shares, map(share, rows.values()))
        else:
            assert client == totals.told
        expected = aggregated(list(rows.values()), aggregate, group_by, TYPES)
        assert shown(list(totals.told.values()), group_by) == expected
