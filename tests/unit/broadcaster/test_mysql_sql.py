"""Predicates as MySQL's SQL: exact text, and when nothing can be said. That it selects a superset is tested on real
servers (tests/integration/test_mysql_pushdown.py)."""

from __future__ import annotations

from typing import Any

import pytest

from broadcaster.query import parse_where
from broadcaster.snapshot.mysql_sql import push_down
from broadcaster.snapshot.pushed_down import PushedDown
from cdc.mysql.table import Column

COLUMNS = {
    column.name: column
    for column in (
        Column("i", "int", "int"),
        Column("b", "tinyint", "tinyint(1)", hint="boolean"),
        Column("n", "decimal", "decimal(6,2)"),
        Column("f", "float", "float"),
        Column("y", "year", "year"),
        Column("t", "varchar", "varchar(40)", "utf8mb4"),
        Column("l", "varchar", "varchar(40)", "latin1"),
        Column("k", "varchar", "varchar(40)", "gbk"),
        Column("long", "text", "text", "utf8mb4"),
        Column("d", "date", "date"),
        Column("at", "datetime", "datetime(3)"),
        Column("o", "time", "time"),
        Column("u", "uuid", "uuid", hint="uuid"),
        Column("bin", "varbinary", "varbinary(9)"),
        Column("j", "json", "json"),
        Column("m", "longtext", "longtext", "utf8mb4", "json"),
        Column("g", "point", "point"),
        Column("a`b", "int", "int"),
        Column("x.y", "int", "int"),
    )
}


def pushed(where: dict[str, Any]) -> PushedDown:
    return push_down(parse_where(where), COLUMNS)


@pytest.mark.parametrize(
    ("where", "sql", "exact"),
    [
        ({}, "TRUE", True),
        ({"i": 5}, "`i` = 5", True),
        ({"i": {"$gt": 1.5}}, "`i` > 1", True),
        ({"i": {"$in": [1, 2, "x", None]}}, "(`i` <=> NULL) OR (`i` IN (1, 2))", True),
        ({"i": {"$ne": 5}}, "(`i` = 5) IS NOT TRUE", True),
        ({"i": {"$lt": 10**30}}, "`i` IS NOT NULL", True),
        ({"i": "5"}, "FALSE", True),
        ({"i": {"$exists": False}}, "(`i` IS NOT NULL) IS NOT TRUE", True),
        ({"a`b": 1}, "`a``b` = 1", True),
        ({"b": True}, "`b` = 1", True),
        ({"b": 1}, "FALSE", True),
        ({"b": {"$gte": False}}, "`b` IN (0, 1)", True),
        ({"b": {"$gt": 0}}, "`b` > 0 AND `b` NOT IN (0, 1)", True),
        ({"n": "1.005"}, "FALSE", True),
        ({"n": {"$gte": "-1.005"}}, "`n` > -1.01", True),
        ({"n": {"$lt": "1e999999999"}}, "`n` IS NOT NULL", True),
        ({"f": 0.5}, "`f` >= 0.4999999701976776e0 AND `f` <= 0.5000000596046448e0", False),
        ({"y": 5}, "(`y` + 0) = 5", True),
        ({"t": "é"}, "`t` = _utf8mb4 X'c3a9' AND CAST(`t` AS BINARY) = X'c3a9'", True),
        ({"t": {"$gt": "a"}}, "CAST(`t` AS BINARY) > X'61'", True),
        ({"t": {"$gt": 5}}, "FALSE", True),
        ({"t": "\ud800"}, "FALSE", True),
        ({"l": "日"}, "CAST(CONVERT(`l` USING utf8mb4) AS BINARY) = X'e697a5'", True),
        ({"l": "é"}, "`l` = _utf8mb4 X'c3a9' AND CAST(CONVERT(`l` USING utf8mb4) AS BINARY) = X'c3a9'", True),
        ({"k": "a"}, "CAST(CONVERT(`k` USING utf8mb4) AS BINARY) = X'61'", False),
        ({"k": "\ufffd"}, "`k` IS NOT NULL", False),
        ({"k": {"$gt": "a"}}, "`k` IS NOT NULL", False),
        ({"k": {"$like": "a%"}}, "`k` IS NOT NULL", False),
        ({"long": {"$lt": "a"}}, "`long` IS NOT NULL AND (CAST(`long` AS BINARY) < X'61') IS NOT FALSE", False),
        ({"t": {"$like": "a%"}}, "CONVERT(`t` USING utf8mb4) COLLATE utf8mb4_bin LIKE _utf8mb4 X'6125'", True),
        ({"d": "2024-01-05"}, "`d` = DATE'2024-01-05'", True),
        ({"d": {"$gt": "2024-01-05T10:00:00"}}, "`d` > DATE'2024-01-05'", False),
        ({"at": {"$lt": "2024-01-05T10:20:30.0005"}}, "`at` <= TIMESTAMP'2024-01-05 10:20:30.000000'", False),
        ({"at": "2024-01-05T10:20:30.0005"}, "FALSE", True),
        ({"o": {"$gte": "-10:00"}}, "`o` >= TIME'-10:00:00.000000'", True),
        ({"u": "7E57D004-2b97-0e7a-b45f-5387367791cd"}, "`u` = '7e57d004-2b97-0e7a-b45f-5387367791cd'", True),
        ({"bin": "YQ=="}, "`bin` = X'61'", True),
        ({"bin": "no base64"}, "FALSE", True),
        ({"j": 5}, "JSON_CONTAINS(`j`, '5')", False),
        ({"j": None}, "TRUE", False),
        ({"j.x": True}, "JSON_CONTAINS(JSON_EXTRACT(`j`, _utf8mb4 X'242a2a2e227822'), 'true')", False),
        ({"j.x": {"$gt": 5}}, "JSON_CONTAINS_PATH(`j`, 'one', _utf8mb4 X'242a2a2e227822')", False),
        ({"j.0": 5}, "`j` IS NOT NULL", False),
        ({"j": {"$ne": 5}}, "TRUE", False),
        ({"m.x": 5}, "`m` IS NOT NULL", False),
        ({"g": {"x": 1}}, "`g` IS NOT NULL", False),
        ({"x.y": 1}, "TRUE", False),
        ({"nowhere": 1}, "TRUE", False),
        ({"i": 5, "t": {"$regex": "x"}}, "(`i` = 5) AND (`t` IS NOT NULL)", False),
    ],
)  # fmt: skip
def test_sql(where: dict[str, Any], sql: str, exact: bool) -> None:
    assert pushed(where) == PushedDown(sql, (), exact)
