"""A batch's records, sorted into partitions. (pure)"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cdc.event import Op, Record
from cdc.log.kafka.order import encode_order
from cdc.log.kafka.partition import partition_of

PART_BYTES: Final = 512 << 10
"""A part ends with the record that reaches this size; a larger record is alone."""

_OP: Final = b'},"op":"'  # closes the envelope's `source`; nothing that comes after can look the same
_DELETE: Final = ord(Op.DELETE.value)

Item = tuple[bytes, bytes | None]
Place = tuple[str, int]
"""A collection and a partition of its topic."""


@dataclass(frozen=True, slots=True)
class Parcels:
    """Keys and values by place; order: see `cdc.log.kafka.order`; tombstones: how many were added to each place."""

    items: Mapping[Place, Sequence[Item]]
    order: bytes
    tombstones: Mapping[Place, int]


def parts(records: Sequence[Record]) -> Iterator[tuple[Sequence[Record], int]]:
    """The records in parts that are one Kafka batch each, with their size in bytes."""
    start, size = 0, 0
    for index, (_, key, value) in enumerate(records):
        added = len(key) if value is None else len(key) + len(value)
        if size and size + added > PART_BYTES:
            yield records[start:index], size
            start, size = index, 0
        size += added
    if start < len(records):
        yield (records[start:] if start else records), size


def sort_out(
    records: Sequence[Record], partitions: Mapping[str, int], is_compact: Callable[[str], bool]
) -> Parcels:
    """partitions: how many the topic of each collection has. In a compacted topic a delete is followed by a tombstone,
    which makes compaction forget the key."""
    items: dict[Place, list[Item]] = {}
    indexes: list[int] = []
    numbers: dict[Place, int] = {}
    tombstones: dict[Place, int] = {}
    compact = {name for name in partitions if is_compact(name)}
    for name, key, value in records:
        count = partitions[name]
        place = (name, 0 if count == 1 else partition_of(key, count))
        into = items.get(place)
        if into is None:
            into = items[place] = []
            numbers[place] = len(numbers)
        into.append((key, value))
        indexes.append(numbers[place])
        if name in compact and value is not None and value[value.rfind(_OP) + len(_OP)] == _DELETE:
            into.append((key, None))
            tombstones[place] = tombstones.get(place, 0) + 1
    return Parcels(items, encode_order(indexes, len(items)), tombstones)
