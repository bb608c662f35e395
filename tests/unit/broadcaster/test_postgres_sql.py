"""The shape of the SQL; what it selects is tested on real servers in `tests/integration/test_pushdown_postgres.py`."""

from __future__ import annotations

from typing import Any

import pytest

from broadcaster.query import parse_where
from broadcaster.snapshot.postgres_conditions import ColumnInfo
from broadcaster.snapshot.postgres_sql import push_down
from broadcaster.snapshot.pushed_down import PushedDown

UUID = "7e57d004-2b97-0e7a-b45f-5387367791cd"
COLUMNS = {
    column.name: column
    for column in [
        ColumnInfo("i", "int4"),
        ColumnInfo("n", "numeric"),
        ColumnInfo("f", "float8"),
        ColumnInfo("g", "float4"),
        ColumnInfo("b", "bool"),
        ColumnInfo("t", "text"),
        ColumnInfo("ci", "text", deterministic=False),
        ColumnInfo("l1", "text", utf8=False),
        ColumnInfo("c", "bpchar"),
        ColumnInfo("e", "enum"),
        ColumnInfo("x.y", "int4"),
        ColumnInfo("u", "uuid"),
        ColumnInfo("d", "date"),
        ColumnInfo("tz", "timestamptz"),
        ColumnInfo("j", "jsonb"),
        ColumnInfo("a", "array"),
        ColumnInfo('50% "x"', "int8"),
    ]
}


def pushed(where: dict[str, Any]) -> PushedDown:
    return push_down(parse_where(where), COLUMNS)


@pytest.mark.parametrize(
    ("where", "sql", "params", "exact"),
    [
        ({}, "TRUE", (), True),
        ({"$nor": [{}]}, "FALSE", (), True),
        ({"i": 5}, '"i" = %s::int8', ("5",), True),
        ({"i": None}, '"i" IS NULL', (), True),
        ({"x.y": 5}, "TRUE", (), False),
        ({"i": {"$ne": 5}}, '("i" = %s::int8) IS NOT TRUE', ("5",), True),
        ({"i": {"$gt": 5.5}}, '"i" > %s::int8', ("5",), True),
        ({"i": {"$lt": 5.5}}, '"i" <= %s::int8', ("5",), True),
        ({"i": {"$gte": -5.5}}, '"i" > %s::int8', ("-6",), True),
        ({"i": 5.5}, "FALSE", (), True),
        ({"i": "5"}, "FALSE", (), True),
        ({"i": True}, "FALSE", (), True),
        ({"i": [5]}, "FALSE", (), True),
        ({"i": {"$ne": "5"}}, "TRUE", (), True),
        ({"i": {"$lt": 2**63}}, '"i" IS NOT NULL', (), True),
        ({"i": {"$gt": 2**63}}, "FALSE", (), True),
        ({"i": {"$in": [1, 2, "x"]}}, '"i" = ANY(%s::int8[])', ('{"1","2"}',), True),
        ({"i": {"$in": [1, None]}}, '("i" = %s::int8) OR ("i" IS NULL)', ("1",), True),
        ({"i": {"$nin": [1, 2]}}, '("i" = ANY(%s::int8[])) IS NOT TRUE', ('{"1","2"}',), True),
        ({"t": {"$in": ['a"', "b\\"]}}, '"t" = ANY(%s::text[])', ('{"a\\"","b\\\\"}',), True),
        ({"t": {"$gt": "a"}}, '"t" COLLATE "C" > %s::text', ("a",), True),
        ({"t": "a\0b"}, "FALSE", (), True),
        ({"t": {"$lt": "a\0b"}}, '"t" COLLATE "C" <= %s::text', ("a",), True),
        ({"t": "\ud800"}, "FALSE", (), True),
        ({"ci": "a"}, '"ci" = %s::text', ("a",), False),
        ({"ci": {"$ne": "a"}}, "TRUE", (), False),
        ({"l1": "a"}, '"l1" = %s::text', ("a",), True),
        ({"l1": "é"}, '"l1" IS NOT NULL', (), False),
        ({"l1": {"$gt": "a"}}, '"l1" IS NOT NULL', (), False),
        ({"c": "ab"}, '"c" = %s::bpchar', ("ab",), False),
        ({"c": {"$gt": "ab"}}, '"c" IS NOT NULL', (), False),
        ({"e": "ok"}, '"e"::text = %s::text', ("ok",), True),
        ({"e": {"$gt": "ok"}}, '"e"::text COLLATE "C" > %s::text', ("ok",), True),
        ({"b": {"$gt": False}}, '"b" > %s::bool', ("false",), True),
        ({"n": {"$gt": "1.5"}}, '"n" > %s::numeric AND "n" <> \'NaN\'::numeric', ("1.5",), True),
        ({"n": {"$lt": "1e200000"}}, '"n" IS NOT NULL', (), False),
        ({"n": "Infinity"}, '"n"::text = %s::text', ("Infinity",), True),
        ({"f": 0.1}, '"f" = %s::float8', ("0.1",), True),
        ({"f": 2**53 + 1}, "FALSE", (), True),
        ({"f": {"$lt": 2**53 + 1}}, '"f" <= %s::float8', ("9007199254740992.0",), True),
        ({"f": {"$lt": 10**400}}, '"f" < %s::float8', ("Infinity",), True),
        ({"g": 1.1}, '"g" = %s::float4', ("1.1",), False),
        ({"g": {"$gt": 1.1}}, '"g" >= %s::float4', ("1.1",), False),
        ({"g": {"$gt": 1e-45}}, '"g" IS NOT NULL', (), False),
        ({"u": UUID.upper()}, '"u" = %s::uuid', (UUID,), True),
        ({"u": {"$gt": "7"}}, "FALSE", (), True),
        ({"d": {"$gt": "2024-01-05T10:00"}}, '"d" > %s::date', ("2024-01-05",), True),
        ({"d": "2024-01-05T10:00"}, "FALSE", (), True),
        ({"d": {"$lt": "0044-03-15 BC"}}, '"d" < %s::date', ("0044-03-15 BC",), True),
        ({"d": {"$lt": "9999999-01-01"}}, '"d" < %s::date', ("infinity",), True),
        ({"tz": "2024-01-05T12:00+02:00"}, '"tz" = %s::timestamptz', ("2024-01-05 10:00:00.000000+00",), True),
        ({"tz": {"$lt": "soon"}}, "FALSE", (), True),
        ({"j": 5}, '"j" IS NOT NULL', (), False),
        ({"j": None}, "TRUE", (), False),
        ({"j": {"$exists": True}}, '"j" IS NOT NULL', (), False),
        ({"j": {"$exists": False}}, "TRUE", (), False),
        ({"a": {"$gt": 5}}, '"a" IS NOT NULL', (), False),
        ({"j.x": 5}, "TRUE", (), False),
        ({"missing": 5}, "TRUE", (), False),
        ({"i": {"$exists": False}}, '("i" IS NOT NULL) IS NOT TRUE', (), True),
        ({'50% "x"': 5}, '"50%% ""x""" = %s::int8', ("5",), True),
        ({"i": 5, "j.x": 1}, '"i" = %s::int8', ("5",), False),
        ({"i": 5, "t": 1}, "FALSE", (), True),
        ({"$or": [{"i": 5}, {"j.x": 1}]}, "TRUE", (), False),
        ({"$or": [{"i": 5}, {"t": 1}]}, '"i" = %s::int8', ("5",), True),
        ({"$or": [{"i": {"$ne": "5"}}, {"j.x": 1}]}, "TRUE", (), True),
        ({"i": {"$gt": 1, "$lt": 5}}, '("i" > %s::int8) AND ("i" < %s::int8)', ("1", "5"), True),
    ],
)  # fmt: skip
def test_sql(where: dict[str, Any], sql: str, params: tuple[str, ...], exact: bool) -> None:
    assert pushed(where) == PushedDown(sql, params, exact)
