"""The envelope round trip, and keys that are equal only if their fields are."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.codec import decode_envelope, decode_key, encode_event, encode_key
from cdc.errors import ProtocolError
from cdc.event import SourceInfo, TransactionInfo

SOURCE = {"txId": "771", "ts_ms": 1_790_000_000_000, "commit_lsn": 23_907_384, "db": "app"}
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.none() | st.dictionaries(TEXT, JSON, max_size=4)
KEYS = st.dictionaries(
    TEXT,
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    max_size=3,
)


def as_json(row: dict[str, Any] | None) -> bytes | None:
    return None if row is None else json.dumps(row, ensure_ascii=False).encode()


@given(
    st.sampled_from("cudrt"),
    ROWS,
    ROWS,
    st.integers(1, 2**40),
    st.booleans(),
    st.dictionaries(TEXT, TEXT, max_size=2),
)
def test_round_trip(
    op: str,
    before: dict[str, Any] | None,
    after: dict[str, Any] | None,
    number: int,
    last: bool,
    types: dict[str, str],
) -> None:
    value = encode_event(
        op=op,
        before=as_json(before),
        after=as_json(after),
        source=SOURCE,
        ts_ms=5,
        total_order=number + 1,
        collection_order=number,
        last=last,
        types=types,
    )
    envelope = decode_envelope(value)
    assert (envelope.op, envelope.before, envelope.after) == (op, as_json(before), as_json(after))
    assert envelope.source == SourceInfo(1_790_000_000_000, "771", 23_907_384)
    assert envelope.transaction == TransactionInfo("771", number + 1, number, last)
    assert envelope.types == (types or None)
    assert json.loads(value)["ts_ms"] == 5


def test_field_names_and_order_are_debeziums() -> None:
    value = encode_event(
        op="u", before=b'{"a":1}', after=None, source=SOURCE, ts_ms=5, total_order=1, collection_order=1
    )
    assert list(json.loads(value)) == ["before", "after", "source", "op", "ts_ms", "transaction"]


def test_rows_may_be_left_out() -> None:
    envelope = decode_envelope(
        b'{"op":"c","source":{"txId":"1","ts_ms":2},"transaction":'
        b'{"id":"1","total_order":1,"data_collection_order":1},"unknown":{}}'
    )
    assert (envelope.before, envelope.after, envelope.types) == (None, None, None)


@pytest.mark.parametrize("value", [b"", b"[]", b"{}", b'{"op":1}', b"\xff", b'{"before":' + b"[" * 5_000])
def test_what_is_no_envelope_is_refused(value: bytes) -> None:
    with pytest.raises(ProtocolError, match="a record of the log is not a change event"):
        decode_envelope(value)


@given(KEYS)
def test_keys_round_trip(fields: dict[str, Any]) -> None:
    decoded = decode_key(encode_key(fields))
    assert list(decoded.items()) == list(fields.items())
    assert [type(value) for value in decoded.values()] == [type(value) for value in fields.values()]


@given(KEYS, KEYS)
def test_keys_are_injective(a: dict[str, Any], b: dict[str, Any]) -> None:
    same = [(name, type(value), value) for name, value in a.items()] == [
        (name, type(value), value) for name, value in b.items()
    ]
    assert (encode_key(a) == encode_key(b)) >= same
    if encode_key(a) == encode_key(b):
        assert same


@pytest.mark.parametrize(
    ("a", "b"),
    [({"k": "a,b", "l": "c"}, {"k": "a", "l": "b,c"}), ({"k": 1}, {"k": "1"}), ({"k": 1}, {"k": True})],
)
def test_keys_that_look_alike_differ(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert encode_key(a) != encode_key(b)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_key_that_json_cannot_hold_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=r"k: .* is no JSON number"):
        encode_key({"k": value})


@pytest.mark.parametrize("key", [b"", b"[]", b"null", b"\xff"])
def test_what_is_no_key_is_refused(key: bytes) -> None:
    with pytest.raises(ProtocolError, match="a key that is not a JSON object"):
        decode_key(key)
