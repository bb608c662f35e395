"""Kafka's record batches as a broker would give them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from aiokafka.record._crc32c import crc
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

_CONTROL = 0x20
_ATTRIBUTES_AT = 21
_CRC_AT = 17
Item = tuple[bytes | None, bytes | None]


def batch(
    base: int,
    items: Sequence[Item],
    *,
    offsets: Sequence[int] | None = None,
    producer: int = 1,
    transactional: bool = True,
    control: bool = False,
) -> bytes:
    """One whose first record has the Kafka offset `base`, if all are there; offsets: of those that compaction left."""
    builder = DefaultRecordBatchBuilder(2, 4, int(transactional), producer, 0, 0, 1 << 30)
    for place, (key, value) in enumerate(items):
        builder.append(place if offsets is None else offsets[place] - base, 0, key, value, [])
    data = builder.build()
    if control:
        data[_ATTRIBUTES_AT + 1] |= _CONTROL
        data[_CRC_AT : _CRC_AT + 4] = struct.pack(">I", crc(bytes(data[_ATTRIBUTES_AT:])))
    return struct.pack(">q", base) + bytes(data[8:])


def marker(base: int, *, commits: bool, producer: int = 1) -> bytes:
    """The end of a transaction."""
    return batch(base, [(struct.pack(">hh", 0, int(commits)), b"\0" * 6)], producer=producer, control=True)


def parsed(*data: bytes) -> tuple[Any, ...]:
    """As aiokafka reads them."""
    records = MemoryRecords(b"".join(data))
    found = []
    while records.has_next():
        found.append(records.next_batch())
    return tuple(found)
