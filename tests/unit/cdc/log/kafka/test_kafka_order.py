"""The order over partitions survives being bytes."""

from __future__ import annotations

import pytest

from cdc.log.kafka.order import decode_order, encode_order, places_of


@pytest.mark.parametrize("partitions", [2, 3, 256, 257, 5000])
def test_an_order_is_read_as_it_was_written(partitions: int) -> None:
    indexes = [number * 7919 % partitions for number in range(1000)]
    order = encode_order(indexes, partitions)
    assert len(order) == 1000 * (1 if partitions <= 256 else 2)
    assert list(decode_order(order, partitions)) == indexes
    assert places_of(decode_order(order, partitions), 1) == [
        place for place, index in enumerate(indexes) if index == 1
    ]


def test_two_bytes_are_little_endian() -> None:
    assert encode_order([0, 258, 1], 300) == b"\x00\x00\x02\x01\x01\x00"


def test_one_partition_needs_no_order() -> None:
    assert encode_order([0, 0, 0], 1) == b""
    assert not decode_order(b"", 1)
