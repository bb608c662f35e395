"""Each type's text to JSON, whole rows with key and kinds, and what is refused."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from cdc.errors import ProtocolError
from cdc.postgres.values import PgType, compile_row, kind_of

INT8, FLOAT8, JSON, JSONB, TEXT = 20, 701, 114, 3802, 25

MOOD = PgType(20001, "enum", "mood")
MOODS = PgType(20002, "array", "_mood", 20001)
PRICE = PgType(20003, "domain", "price", 1700)
PRICES = PgType(20004, "array", "_price", 20003)
BASKET = PgType(20005, "domain", "basket", 20004)
PAIR = PgType(20006, "composite", "pair")
SPAN = PgType(20007, "range", "span")
GEOMETRY = PgType(20008, "base", "geometry")
GEOMETRIES = PgType(20009, "array", "_geometry", 20008, ":")
ODD_TEXT = 'a "b" \\ / \t\n\r\x01\x7f é \u2028 😀'
TYPES = {t.oid: t for t in (MOOD, MOODS, PRICE, PRICES, BASKET, PAIR, SPAN, GEOMETRY, GEOMETRIES)}


@dataclass(frozen=True)
class Column:
    name: str
    oid: int


def one(oid: int, text: str) -> tuple[str, str | None]:
    """(JSON, kind in `types`) of one value."""
    row = compile_row([Column("v", oid)], [], TYPES)
    key, doc, types = row([text.encode()])
    assert key == b"{}"
    return doc.decode().removeprefix('{"v":').removesuffix("}"), (types or {}).get("v")


@pytest.mark.parametrize(
    ("oid", "text", "expected", "kind"),
    [
        (16, "t", "true", None),
        (16, "f", "false", None),
        (21, "-32768", "-32768", None),
        (23, "0", "0", None),
        (26, "4294967295", "4294967295", None),
        (20, "9007199254740991", "9007199254740991", None),
        (20, "-9007199254740991", "-9007199254740991", None),
        (20, "9007199254740992", '"9007199254740992"', "int64"),
        (20, "-9223372036854775808", '"-9223372036854775808"', "int64"),
        (700, "1.1", "1.1", None),
        (701, "-0", "-0", None),
        (701, "1e+300", "1e+300", None),
        (701, "5e-324", "5e-324", None),
        (701, "NaN", '"NaN"', "float"),
        (700, "Infinity", '"Infinity"', "float"),
        (701, "-Infinity", '"-Infinity"', "float"),
        (1700, "1.50", '"1.50"', "decimal"),
        (1700, "NaN", '"NaN"', "decimal"),
        (1700, "-Infinity", '"-Infinity"', "decimal"),
        (25, ODD_TEXT, json.dumps(ODD_TEXT, ensure_ascii=False), None),
        (25, "", '""', None),
        (1042, "pad  ", '"pad  "', None),
        (18, "\\303", '"\\\\303"', None),
        (790, "$1,000.50", '"$1,000.50"', None),
        (22, "1 2", '"1 2"', None),
        (30, "", '""', None),
        (3220, "16/B374D848", '"16/B374D848"', None),
        (600, "(1,2)", '"(1,2)"', None),
        (3904, "[1,5)", '"[1,5)"', None),
        (869, "10.0.0.1/8", '"10.0.0.1/8"', None),
        (1082, "2026-09-21", '"2026-09-21"', "date"),
        (1082, "-infinity", '"-infinity"', "date"),
        (1082, "0044-03-15 BC", '"0044-03-15 BC"', "date"),
        (1083, "24:00:00", '"24:00:00"', "time"),
        (1266, "12:30:00.5+00", '"12:30:00.5Z"', "timetz"),
        (1266, "12:30:00-05:30", '"12:30:00-05:30"', "timetz"),
        (1114, "2026-09-21 12:33:20.123456", '"2026-09-21T12:33:20.123456"', "timestamp"),
        (1114, "2026-09-21 00:00:00", '"2026-09-21T00:00:00"', "timestamp"),
        (1114, "infinity", '"infinity"', "timestamp"),
        (1114, "0044-03-15 12:00:00 BC", '"0044-03-15 12:00:00 BC"', "timestamp"),
        (1114, "294276-12-31 23:59:59.999999", '"294276-12-31T23:59:59.999999"', "timestamp"),
        (1184, "2026-09-21 12:33:20+00", '"2026-09-21T12:33:20Z"', "timestamptz"),
        (1184, "2026-09-21 12:33:20.1+00", '"2026-09-21T12:33:20.1Z"', "timestamptz"),
        (1184, "-infinity", '"-infinity"', "timestamptz"),
        (1184, "0044-03-15 12:00:00+00 BC", '"0044-03-15 12:00:00+00 BC"', "timestamptz"),
        (1184, "12026-09-21 12:33:20+00", '"12026-09-21T12:33:20Z"', "timestamptz"),
        (1186, "P1Y2M3DT4H5M6.7S", '"P1Y2M3DT4H5M6.7S"', "interval"),
        (2950, "9b2d7e0c-5a2f-4d3e-8f1a-0123456789ab", '"9b2d7e0c-5a2f-4d3e-8f1a-0123456789ab"', "uuid"),
        (17, "\\x00ff10", '"AP8Q"', "bytes"),
        (17, "\\x", '""', "bytes"),
        (3802, '{"a": 0.14285714285714285714, "b": [1, "x"]}', '{"a": 0.14285714285714285714, "b": [1, "x"]}', None),
        (3802, "null", "null", None),
        (99999, "who knows", '"who knows"', None),
        (MOOD.oid, "happy", '"happy"', None),
        (PAIR.oid, '(1,"a b")', '"(1,\\"a b\\")"', None),
        (SPAN.oid, "[1,2)", '"[1,2)"', None),
        (PRICE.oid, "1.00", '"1.00"', "decimal"),
    ],
)  # fmt: skip
def test_scalars(oid: int, text: str, expected: str, kind: str | None) -> None:
    assert one(oid, text) == (expected, kind)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{ \"a\" : [ 1 ,\n 2.50 ] ,\r\n\t\"b\":\n\"x\\ny\" }", "{ \"a\" : [ 1 ,  2.50 ] ,  \t\"b\": \"x\\ny\" }"),
        (r'"\ud83d\ude00"', r'"\ud83d\ude00"'),
        (r'"\ud83d"', r'"\ufffd"'),
        (r'"\ude00\ud83d\ud83d\ude00x"', r'"\ufffd\ufffd\ud83d\ude00x"'),
        (r'"\\ud83d \\\ud83d"', r'"\\ud83d \\\ufffd"'),
        (r'"\u0000 \uD7FF"', r'"\u0000 \uD7FF"'),
        ('{"a": 1, "a": 2}', '{"a": 1, "a": 2}'),
        ("1e400", "1e400"),
    ],
)  # fmt: skip
def test_json_is_kept_on_one_line_and_valid(text: str, expected: str) -> None:
    assert one(JSON, text) == (expected, None)


@pytest.mark.parametrize("oid", [JSON, JSONB])
def test_json_too_deep_for_readers_is_a_string(oid: int) -> None:
    brackets = '"]]]\\"[[["'
    deep = "[" * 256 + brackets + "]" * 256
    assert one(oid, deep) == (deep, None)
    deeper = f"[{deep}]"
    value, kind = one(oid, deeper)
    assert (msgspec.json.decode(value), kind) == (deeper, "json")
    wide = f"[{','.join(['[]'] * 1000)}]"
    assert one(oid, wide) == (wide, None)


@pytest.mark.parametrize(
    ("oid", "text", "expected", "kind"),
    [
        (1007, "{}", [], None),
        (1007, "{1,NULL,-3}", [1, None, -3], None),
        (1007, "{{1,2},{3,4}}", [[1, 2], [3, 4]], None),
        (1007, "[0:1]={1,2}", [1, 2], None),
        (1007, "[-1:0][2:3]={{1,2},{3,4}}", [[1, 2], [3, 4]], None),
        (1009, '{a,"b c","","NULL",null}', ["a", "b c", "", "NULL", None], None),
        (1009, '{"q\\"q","b\\\\s","x{,}y"}', ['q"q', "b\\s", "x{,}y"], None),
        (1009, '{"two\nlines",é}', ["two\nlines", "é"], None),
        (1000, "{t,f,NULL}", [True, False, None], None),
        (1016, "{1,9007199254740991}", [1, 9007199254740991], None),
        (1016, "{1,9007199254740993}", [1, "9007199254740993"], "int64[]"),
        (1022, "{1.5,2}", [1.5, 2], None),
        (1022, "{1.5,NaN}", [1.5, "NaN"], "float[]"),
        (1231, "{1.50,NaN}", ["1.50", "NaN"], "decimal[]"),
        (1185, '{"2026-09-21 12:33:20+00",infinity}', ["2026-09-21T12:33:20Z", "infinity"], "timestamptz[]"),
        (1001, '{"\\\\x00ff"}', ["AP8="], "bytes[]"),
        (3807, '{"{\\"a\\": [1, 2]}",null,"null"}', [{"a": [1, 2]}, None, None], None),
        (1020, "{(2,2),(0,0);(1,1),(0,0)}", ["(2,2),(0,0)", "(1,1),(0,0)"], None),
        (1017, '{"(1,2)","(3,4)"}', ["(1,2)", "(3,4)"], None),
        (1006, '{"1 2","3"}', ["1 2", "3"], None),
        (MOODS.oid, "{happy,sad}", ["happy", "sad"], None),
        (PRICES.oid, "{1.00}", ["1.00"], "decimal[]"),
        (BASKET.oid, "{1.00,2.00}", ["1.00", "2.00"], "decimal[]"),
        (GEOMETRIES.oid, "{01,A:02,B}", ["01,A", "02,B"], None),
    ],
)  # fmt: skip
def test_arrays(oid: int, text: str, expected: object, kind: str | None) -> None:
    value, named = one(oid, text)
    assert (msgspec.json.decode(value), named) == (expected, kind)


@pytest.mark.parametrize(
    ("oid", "text"),
    [
        (16, "true"),
        (20, "12345678901234567x"),
        (701, ""),
        (17, "abc"),
        (17, "\\x0"),
        (1184, "2026-09-21 12:33:20+02"),
        (1007, ""),
        (1007, "1,2"),
        (1007, "{1,2"),
        (1007, "{1,2}}"),
        (1007, "{1,,2}"),
        (1007, "{1 {2}}"),
        (1007, "{,}"),
        (1007, "{1},{2}"),
        (1007, "{{1}{2}}"),
        (1009, '{"a}'),
        (1009, '{"a"b}'),
        (1000, "{maybe}"),
    ],
)
def test_refuses_text_that_is_not_of_the_type(oid: int, text: str) -> None:
    with pytest.raises(ProtocolError, match="does not have the form of its column's type"):
        one(oid, text)


def test_refuses_what_is_not_utf8() -> None:
    row = compile_row([Column("v", TEXT)], [], {})
    with pytest.raises(ProtocolError):
        row([b"caf\xe9"])


def test_a_row() -> None:
    columns = [Column("b", TEXT), Column("n", INT8), Column("a", 1700), Column("x", FLOAT8)]
    row = compile_row(columns, ["a", "b"], {})
    assert row([b"z", b"1", b"2.0", None]) == (
        b'{"a":"2.0","b":"z"}',
        b'{"b":"z","n":1,"a":"2.0","x":null}',
        {"a": "decimal"},
    )
    assert row([b"z", b"-9007199254740993", b"2.0", b"NaN"])[2] == {
        "n": "int64",
        "a": "decimal",
        "x": "float",
    }


def test_types_are_none_where_empty() -> None:
    row = compile_row([Column("n", INT8)], ["n"], {})
    assert row([b"1"])[2] is None
    assert row([b"9007199254740993"]) == (
        b'{"n":"9007199254740993"}',
        b'{"n":"9007199254740993"}',
        {"n": "int64"},
    )


@pytest.mark.parametrize(
    "name", ['a"b', "a\\b", "{new0}", "}{", "a\nb", "é😀", '"""', "%s", "\x7f", "__import__('os')"]
)
def test_column_names_are_only_ever_text(name: str) -> None:
    row = compile_row([Column("id", 23), Column(name, 1700)], [name], {})
    key, doc, types = row([b"1", b"2"])
    assert msgspec.json.decode(key) == {name: "2"}
    assert msgspec.json.decode(doc) == {"id": 1, name: "2"}
    assert types == {name: "decimal"}


def test_a_row_of_the_wrong_width_is_refused() -> None:
    row = compile_row([Column("a", TEXT)], ["a"], {})
    for values in ([], [b"1", b"2"]):
        with pytest.raises(ProtocolError):
            row(values)


def test_more_varying_rows_than_are_kept() -> None:
    width = 12
    columns = [Column(f"c{i}", INT8) for i in range(width)]
    row = compile_row(columns, ["c0"], {})
    for bits in range(2**width):
        values: list[Any] = [b"9007199254740993" if bits >> i & 1 else b"1" for i in range(width)]
        expected = {f"c{i}": "int64" for i in range(width) if bits >> i & 1}
        assert row(values)[2] == (expected or None)


@pytest.mark.parametrize(
    ("oid", "kind"),
    [
        (20, "int64"),
        (701, "float"),
        (23, None),
        (25, None),
        (1016, "int64[]"),
        (1231, "decimal[]"),
        (PRICE.oid, "decimal"),
    ],
)
def test_kinds(oid: int, kind: str | None) -> None:
    assert kind_of(oid, TYPES) == kind
