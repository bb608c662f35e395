from __future__ import annotations

import struct
import zlib

import pytest

from cdc.mysql import scalars, temporal
from cdc.mysql.binary_json import double
from cdc.mysql.charsets import charset_of, decode_label, decoder
from cdc.wire_text import Marked


@pytest.mark.parametrize(
    "text",
    ["0.0", "-0.0", "1.1", "0.1", "16777216.0", "3.4028235e+38", "1e-45", "1.1754944e-38", "123456.79"],
)
def test_a_float_has_its_shortest_digits(text: str) -> None:
    (value,) = struct.unpack("<f", struct.pack("<f", float(text)))
    assert scalars.float32(value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    for convert in (scalars.float32, scalars.float64, double):
        with pytest.raises(ValueError, match="not finite"):
            convert(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"), (-0.0, "-0.0"), (1.0, "1.0"), (-2.5, "-2.5"), (100.0, "100.0"), (1e14, "100000000000000.0"),
        (1e15, "1e15"), (123456789012345680.0, "1.2345678901234568e17"), (1e-7, "0.0000001"),
        (1e-15, "0.000000000000001"), (1e-16, "1e-16"), (5e-324, "5e-324"), (1.5e300, "1.5e300"),
    ],
)  # fmt: skip
def test_a_double_in_json_is_as_the_server_prints_it(value: float, text: str) -> None:
    assert double(value) == text


@pytest.mark.parametrize(
    ("value", "marked"), [(2**53 - 1, False), (2**53, True), (-(2**53), True), (0, False)]
)
def test_integers_beyond_53_bits_are_marked(value: int, marked: bool) -> None:
    text = scalars.integer(value)
    assert isinstance(text, Marked) == marked
    assert text == (f'"{value}"' if marked else str(value))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "::"), (bytes(15) + b"\1", "::1"), (bytes(10) + b"\xff\xff\1\2\3\4", "::ffff:1.2.3.4"),
        (bytes(12) + b"\1\2\3\4", "::1.2.3.4"), (b"\x20\1\x0d\xb8", "2001:db8::"), (bytes(14) + b"\1\2", "::102"),
    ],
)  # fmt: skip
def test_an_inet6_is_as_the_server_prints_it(data: bytes, text: str) -> None:
    assert scalars.inet6(data) == f'"{text}"'


@pytest.mark.parametrize(
    ("text", "json", "marked"),
    [
        ('{ "a" : [ 1.50, 2 ] }\n', '{"a":[1.50,2]}', False),
        ("{oops", '"{oops"', True),
        ("", '""', True),
        ("1e999", '"1e999"', True),
        ('"a\xff"', '"\\"a\xff\\""', True),
        ("[" * 300 + "]" * 300, '"' + "[" * 300 + "]" * 300 + '"', True),
    ],
)
def test_a_document_kept_as_text(text: str, json: str, marked: bool) -> None:
    assert scalars.document(text) == json
    assert isinstance(scalars.document(text), Marked) == marked


def test_decompress() -> None:
    bare = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    assert scalars.decompress(b"") == b""
    assert scalars.decompress(b"\0abc") == b"abc"
    assert scalars.decompress(b"\x89\x05" + bare.compress(b"hello") + bare.flush()) == b"hello"
    assert scalars.decompress(b"\x82\0\x05" + zlib.compress(b"hello")) == b"hello"
    with pytest.raises(ValueError, match="of 6 bytes"):
        scalars.decompress(b"\x81\x06" + zlib.compress(b"hello"))
    with pytest.raises(ValueError, match="method 9"):
        scalars.decompress(b"\x91\x06")


@pytest.mark.parametrize(
    ("convert", "data", "text"),
    [
        (temporal.time2, "7fffffff38", "-00:00:00.02"),
        (temporal.time2, "800000", "00:00:00"),
        (temporal.time2, "4b9105", "-838:59:59"),
        (temporal.datetime2, "8000000000", "0000-00-00T00:00:00"),
        (temporal.datetime2, "99b2c2310505dc", "2024-03-01T03:04:05.15"),
        (temporal.timestamp2, "0000000101", "1970-01-01T00:00:01.01Z"),
        (temporal.timestamp2, "00000000", "0000-00-00T00:00:00Z"),
        (temporal.timestamp2, "ffffffff", "2106-02-07T06:28:15Z"),
    ],
)
def test_times(convert: object, data: str, text: str) -> None:
    assert convert(bytes.fromhex(data)) == f'"{text}"'  # type: ignore[operator]


def test_times_are_forgotten_beyond_a_bound() -> None:
    for day in range(40_000):
        assert temporal.dates[day] == f'"{day >> 9:04}-{day >> 5 & 15:02}-{day & 31:02}"'
    assert len(temporal.dates) <= 1 << 14


@pytest.mark.parametrize(
    ("charset", "data", "text"),
    [
        ("latin1", "81 80 e4", "\x81€ä"), ("utf16", "d83d de00", "😀"), ("utf16", "d83d", "\ufffd"),
        ("ucs2", "6f22", "漢"), ("utf32", "0001f600", "😀"), ("sjis", "815f 5c", "\\\\"),
        ("gb18030", "a8bc 8135f437", "ḿ\ue7c7"),
        ("swe7", "5b 40", "ÄÉ"), ("big5", "f9d6 f9dd", "碁\ufffd\ufffd"),
        ("ujis", "a1c0 f5a1 8ff5a1", "\\\ue000\ue3ac"),
        ("eucjpms", "7e 8fa2b7 a1c1 ada1 8ff3f3 8ff4fe f5a1", "~～～①ⅰ黑\ue000"), ("keybcs2", "80 ab e1", "ČŔß"),
        ("geostd8", "c0 e6 fd", "ა\ufffd№"), ("armscii8", "b2 41", "ԱA"), ("dec8", "a4 d7", "\ufffdŒ"),
        ("koi8u", "95", "•"), ("ascii", "61 ff", "a\ufffd"), ("gbk", "bbba ff", "缓\ufffd"),
    ],
)  # fmt: skip
def test_charsets(charset: str, data: str, text: str) -> None:
    assert decoder(charset)(bytes.fromhex(data)) == text


def test_collations() -> None:
    assert [charset_of(number) for number in (8, 63, 255, 54, 1024 + 45, 3271)] == [
        "latin1", "binary", "utf8mb4", "utf16", "utf8mb4", "utf32"
    ]  # fmt: skip
    assert decode_label(b"\xe4", 8) == "ä"
    with pytest.raises(LookupError):
        charset_of(9999)
