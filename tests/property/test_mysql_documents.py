"""The compiled reader of MySQL's binary JSON and the one in Python give the same text of any bytes, or refuse them."""

from __future__ import annotations

import json
import struct
from decimal import Decimal
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from cdc.mysql import binary_json
from cdc.mysql import column_types as types
from cdc.mysql.documents import text_of

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.integers(-70_000, 70_000)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(-(10**12), 10**12, places=4)
    | st.decimals(-1, 1, places=12)
    | st.text(max_size=12)
    | st.text(min_size=128, max_size=140)
    | st.binary(max_size=70)
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=6), inner, max_size=5),
)
INLINE = {False: (4, 5, 6), True: (4, 5, 6, 7, 8)}
INTEGERS = {5: "<h", 6: "<H", 7: "<i", 8: "<I", 9: "<q", 10: "<Q"}


def encode(value: Any, large: bool) -> bytes:
    """A document; large: its containers have offsets of four bytes."""
    kind, data = _encode(value, large)
    return bytes([kind]) + data


def _encode(value: Any, large: bool) -> tuple[int, bytes]:
    match value:
        case None | True | False:
            return 4, bytes([(None, True, False).index(value)])
        case int():
            for kind, form in INTEGERS.items():
                try:
                    return kind, struct.pack(form, value)
                except struct.error:
                    pass
            raise AssertionError(value)
        case float():
            return 11, struct.pack("<d", value)
        case str():
            return 12, _sized(value.encode())
        case Decimal():
            return 15, bytes([types.NEWDECIMAL]) + _sized(_decimal(value))
        case bytes():
            return 15, bytes([types.BLOB]) + _sized(value)
        case list():
            return (3 if large else 2), _container([], value, large)
        case dict():
            return (1 if large else 0), _container([*value], [*value.values()], large)
    raise AssertionError(value)


def _sized(data: bytes) -> bytes:
    size, head = len(data), b""
    while size > 127:
        head += bytes([size & 127 | 128])
        size >>= 7
    return head + bytes([size]) + data


def _decimal(value: Decimal) -> bytes:
    """A DECIMAL(27,9) or, for fractions, (12,12): whole groups, four bytes each, or one of two."""
    digits = f"{abs(value):.12f}" if abs(value) < 1 else f"{abs(value):019.9f}"
    whole, fraction = digits.split(".")
    if abs(value) < 1:
        groups, size, head = [(fraction[:9], 4), (fraction[9:], 2)], 6, bytes([12, 12])
    else:
        whole = whole.zfill(18)
        groups, size, head = [(whole[:9], 4), (whole[9:], 4), (fraction, 4)], 12, bytes([27, 9])
    bits = int.from_bytes(b"".join(int(text).to_bytes(width) for text, width in groups)) ^ 1 << 8 * size - 1
    return head + (bits if value >= 0 else bits ^ (1 << 8 * size) - 1).to_bytes(size)


def _container(names: list[str], values: list[Any], large: bool) -> bytes:
    width = 4 if large else 2
    keys = [name.encode() for name in names]
    at = 2 * width + len(keys) * (width + 2) + len(values) * (width + 1)
    head, body = b"", b""
    for key in keys:
        head += (at + len(body)).to_bytes(width, "little") + len(key).to_bytes(2, "little")
        body += key
    for value in values:
        kind, data = _encode(value, large)
        if kind in INLINE[large]:
            head += bytes([kind]) + data.ljust(width, b"\0")
        else:
            head += bytes([kind]) + (at + len(body)).to_bytes(width, "little")
            body += data
    size = at + len(body)
    return len(values).to_bytes(width, "little") + size.to_bytes(width, "little") + head + body


def result(function: Any, data: bytes) -> Any:
    try:
        return function(data)
    except (ValueError, LookupError, struct.error) as error:
        return type(error), str(error)


def plain(value: Any) -> Any:
    """What a JSON reader makes of it; what JSON does not have is left out."""
    match value:
        case list():
            return [plain(each) for each in value]
        case dict():
            return {name: plain(each) for name, each in value.items()}
        case Decimal():
            return float(value)
        case bytes():
            return None
    return value


def known(value: Any, read: Any) -> Any:
    """`read` without what `plain` leaves out."""
    match value:
        case list():
            return [known(*pair) for pair in zip(value, read, strict=True)]
        case dict():
            return {name: known(each, read[name]) for name, each in value.items()}
        case bytes():
            return None
    return read


@given(DOCUMENTS, st.booleans())
@example(5e-324, False)
@example([1e15, 1e16, 1.5e15, 123456789012345.6, 1e-14, 1e-15, -0.0], False)
@settings(max_examples=300)
def test_a_document_is_itself(value: Any, large: bool) -> None:
    data = encode(value, large)
    text = text_of(data)
    assert text == binary_json.text_of(data)
    assert known(value, json.loads(text.encode("latin-1"))) == plain(value)


@given(DOCUMENTS, st.booleans(), st.data())
@settings(max_examples=200)
def test_both_say_the_same_of_a_document_that_is_damaged(
    value: Any, large: bool, data: st.DataObject
) -> None:
    wrong = bytearray(encode(value, large))
    for _ in range(data.draw(st.integers(0, 3))):
        wrong[data.draw(st.integers(0, len(wrong) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(wrong[: data.draw(st.integers(0, len(wrong)))])
    assert result(text_of, damaged) == result(binary_json.text_of, damaged)


@given(st.integers(0, 16), st.binary(max_size=120))
@settings(max_examples=300)
def test_both_say_the_same_of_garbage(kind: int, garbage: bytes) -> None:
    damaged = bytes([kind]) + garbage
    assert result(text_of, damaged) == result(binary_json.text_of, damaged)
