"""Position records to bytes and back."""

from __future__ import annotations

import pytest

from cdc.errors import LogError
from cdc.event import Position, Reset
from cdc.log.kafka.frame import (
    Extent,
    Frame,
    Place,
    Positions,
    decode_frame,
    encode_frame,
    place_of,
    resets_of,
)

FRAME = Frame(
    epoch="e1",
    base=7,
    first=9,
    count=3,
    place=Place("cluster", str(2**70), b'{"shapes":{"1":["id"]}}'),
    ts_ms=1_790_000_000_000,
    stored_ms=1_790_000_000_004,
    resets=(("todos", "columns_changed", "771"),),
    size=3000,
    stored=300,
    total=1300,
    whole=1000,
    ends={"todos": [41, -1], "users": [7]},
    extents=(Extent("todos", 0, 40, 41, 2), Extent("users", 0, 6, 7, 1, 1)),
    order=b"\x00\x01\x00",
)


def test_a_frame_is_read_as_it_was_written() -> None:
    assert decode_frame(encode_frame(FRAME)) == FRAME
    assert FRAME.end == 11
    assert resets_of(FRAME) == (Reset("todos", "columns_changed", "771"),)


@pytest.mark.parametrize("value", [None, b"", b"\x02\x90", b"{}"])
def test_what_is_no_frame_of_this_version(value: bytes | None) -> None:
    with pytest.raises(LogError, match="another format"):
        decode_frame(value)


def test_a_frame_that_is_cut_anywhere_is_damaged() -> None:
    value = encode_frame(FRAME)
    for length in range(1, len(value)):
        with pytest.raises(LogError, match="is damaged"):
            decode_frame(value[:length])


def test_positions() -> None:
    positions = Positions()
    for position in (
        None,
        Position("cluster", 2**70, {"token": "ü"}),
        Position("cluster", 5, {"token": "ü"}),
        Position("cluster", 6, {}),
    ):
        assert positions.load(place_of(position)) == position
    with pytest.raises(LogError, match="is damaged"):
        positions.load(Place("cluster", "7", b"{"))
