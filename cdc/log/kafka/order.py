"""The order of a batch's records over the partitions that they went to, as bytes. (pure)

One byte for each record: the index of its partition among those that the batch touched; two bytes, little-endian, where
these are more than 256. Nothing at all where there is but one.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence


def encode_order(indexes: Sequence[int], partitions: int) -> bytes:
    """The bytes; `indexes` are below `partitions`."""
    if partitions <= 1:
        return b""
    if partitions <= 256:
        return bytes(indexes)
    return _little(array("H", indexes)).tobytes()


def decode_order(order: bytes, partitions: int) -> Sequence[int]:
    """The indexes; empty where there is but one partition."""
    if partitions <= 256:
        return order
    indexes = array("H")
    indexes.frombytes(order)
    return _little(indexes)


def places_of(order: Sequence[int], index: int) -> list[int]:
    """Where in the batch, from 0, the records of this partition are."""
    return [place for place, each in enumerate(order) if each == index]


def _little(values: array[int]) -> array[int]:
    if sys.byteorder == "big":
        values.byteswap()
    return values
