"""Records to the rows that the embedded log stores, and back. (pure)

A row is a batch or a part of one, as in Kafka's record batches: one checksum and one blob for many records. The blob
is MessagePack of three columns, since columns become tuples again without a step of Python per record:
[collection indexes (empty: all 0), keys, values]. A large one is a zstd frame (RFC 8878): events resemble one another
so much that a tenth remains, and squeezing them costs less than writing them.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import msgspec
import zstandard

from cdc.event import Entry, Record

TARGET_BYTES = 512 * 1024
"""A row ends with the record that reaches this size."""

_SQUEEZE_BYTES = 4 * 1024
_ZSTD_LEVEL = 1
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # MessagePack of a list never begins so
_MAX_BYTES = 2 * 1024**3  # more than SQLite stores, so a frame that claims it is damaged

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[list[int], list[bytes], list[bytes | None]]).decode


@dataclass(frozen=True, slots=True)
class Row:
    """Consecutive records: offsets `first` to `last`, both included.

    collections: the names that occur, as a JSON list; the payload's indexes refer to it.
    payload: empty if there are no records at all (see `bare`).
    crc: CRC-32 of `collections` and `payload`.
    """

    first: int
    last: int
    collections: str
    payload: bytes
    crc: int


def pack(records: Sequence[Record], first: int, target: int = TARGET_BYTES) -> Iterator[Row]:
    """The rows of these records, whose first one gets the offset `first`."""
    start, size = 0, 0
    for index, (_, key, value) in enumerate(records, 1):
        size += len(key) if value is None else len(key) + len(value)
        if size >= target:
            yield _pack_one(records[start:index], first + start)
            start, size = index, 0
    if start < len(records):
        yield _pack_one(records[start:] if start else records, first + start)


def bare(offset: int) -> Row:
    """A row without records that takes an offset all the same: something else stands in the log there."""
    return Row(offset, offset, "[]", b"", _checksum("[]", b""))


def _pack_one(records: Sequence[Record], first: int) -> Row:
    collections, keys, values = zip(*records, strict=True)
    names = {name: index for index, name in enumerate(dict.fromkeys(collections))}
    indexes = [names[name] for name in collections] if len(names) > 1 else []
    listed = json.dumps(list(names))
    payload = _encode((indexes, keys, values))
    if len(payload) > _SQUEEZE_BYTES:
        payload = zstandard.ZstdCompressor(_ZSTD_LEVEL).compress(payload)
    return Row(first, first + len(records) - 1, listed, payload, _checksum(listed, payload))


def unpack(row: Row) -> list[Entry]:
    """The row's entries. Raises ValueError with the reason if the row is not what `pack` made."""
    if _checksum(row.collections, row.payload) != row.crc:
        raise ValueError("its checksum does not match")
    if not row.payload:
        return []
    names = names_of(row.collections)
    offsets = range(row.first, row.last + 1)
    try:
        indexes, keys, values = _decode(_expand(row.payload))
        columns = [names[index] for index in indexes] if indexes else [names[0]] * len(keys)
        return list(zip(offsets, columns, keys, values, strict=True))
    except (msgspec.MsgspecError, zstandard.ZstdError, IndexError, ValueError) as error:
        raise ValueError(f"its payload does not decode: {error}") from error


def memory_size(payload: bytes) -> int:
    """How many bytes the payload has once it is read. Raises ValueError if it is damaged."""
    if not payload.startswith(_ZSTD_MAGIC):
        return len(payload)
    try:
        size = zstandard.frame_content_size(payload)
    except zstandard.ZstdError as error:
        raise ValueError(f"its payload does not decode: {error}") from error
    if not 0 <= size <= _MAX_BYTES:
        raise ValueError("its payload does not decode: no frame has such a size")
    return size


def _expand(payload: bytes) -> bytes:
    if memory_size(payload) == len(payload):
        return payload
    return zstandard.ZstdDecompressor().decompress(payload)


@lru_cache(maxsize=1024)
def names_of(collections: str) -> tuple[str, ...]:
    """The names in a row's `collections`."""
    return tuple(json.loads(collections))


def _checksum(collections: str, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(collections.encode()))
