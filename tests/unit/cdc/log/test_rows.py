"""Records to rows and back."""

from __future__ import annotations

import zlib
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdc.event import Record
from cdc.log.rows import Row, bare, memory_size, pack, unpack

records_ = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "schéma.täble"]),
        st.binary(max_size=20),
        st.none() | st.binary(max_size=50),
    )
)


@given(records_, st.integers(1, 2**40), st.integers(1, 200))
def test_round_trip(records: list[Record], first: int, target: int) -> None:
    rows = list(pack(records, first, target))
    assert [entry for row in rows for entry in unpack(row)] == [
        (first + n, *r) for n, r in enumerate(records)
    ]
    for row, following in pairwise(rows):
        assert following.first == row.last + 1


@given(records_, st.integers(1, 200))
def test_a_row_ends_with_the_record_that_reaches_the_target(records: list[Record], target: int) -> None:
    rows = list(pack(records, 1, target))
    for row in rows:
        sizes = [len(key) + len(value or b"") for _, _, key, value in unpack(row)]
        assert sum(sizes[:-1]) < target
        assert row is rows[-1] or sum(sizes) >= target


def one_row() -> Row:
    (row,) = pack([("a", b"1", b"x"), ("b", b"2", None), ("a", b"3", b"yy")], 7)
    return row


def test_a_row_names_what_is_in_it() -> None:
    row = one_row()
    assert (row.first, row.last, row.collections) == (7, 9, '["a", "b"]')


def test_a_bare_row_has_an_offset_and_nothing_in_it() -> None:
    row = bare(5)
    assert (row.first, row.last, unpack(row)) == (5, 5, [])


def test_every_flipped_byte_is_found() -> None:
    row = one_row()
    for index in range(len(row.payload)):
        payload = bytearray(row.payload)
        payload[index] ^= 0x20
        with pytest.raises(ValueError, match="checksum"):
            unpack(replace(row, payload=bytes(payload)))


def test_every_truncation_is_found() -> None:
    row = one_row()
    for length in range(len(row.payload)):
        with pytest.raises(ValueError, match="checksum"):
            unpack(replace(row, payload=row.payload[:length]))


@pytest.mark.parametrize(("first", "last"), [(7, 8), (7, 10), (8, 9)])
def test_offsets_that_do_not_fit_the_records(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="does not decode"):
        unpack(replace(one_row(), first=first, last=last))


def test_large_rows_are_squeezed_and_damage_is_still_found() -> None:
    records = [("a", b"%d" % index, b"much the same as the one before %d" % index) for index in range(1000)]
    (row,) = pack(records, 1)
    assert len(row.payload) < 10_000 < memory_size(row.payload)
    assert [(entry[1], entry[2], entry[3]) for entry in unpack(row)] == records
    for payload in (row.payload[:4], row.payload[:-1], row.payload[:5] + b"\xff" * 8 + row.payload[13:]):
        checksum = zlib.crc32(payload, zlib.crc32(row.collections.encode()))
        with pytest.raises(ValueError, match="does not decode"):
            unpack(replace(row, payload=payload, crc=checksum))
