"""MySQL's compressed transactions, unpacked event by event. (pure)"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import zstandard

from cdc.errors import ProtocolError
from cdc.mysql.binlog import HEADER_SIZE, packed_int
from cdc.mysql.packets import Span

_CHUNK: Final = 1 << 18
_SIZE_AT: Final = 9  # where an event's header has its size
_END, _COMPRESSION = 0, 2  # fields
_ZSTD, _NONE = 0, 255


def unpack(data: bytes, at: int, end: int) -> Iterator[Span]:
    """The events in the body of a TRANSACTION_PAYLOAD_EVENT, without checksums. About 256 KiB are unpacked at a time,
    or one event if that is larger. Raises ProtocolError, also while it is iterated."""
    try:
        compression = _ZSTD
        while True:
            field, at = packed_int(data, at)
            if field == _END:
                break
            size, at = packed_int(data, at)
            if field == _COMPRESSION:
                compression, _ = packed_int(data, at)
            at += size
            if at >= end:
                raise IndexError("cut short")
        if compression not in (_ZSTD, _NONE):
            raise ValueError(f"compression {compression} is not known")
        chunks = _inflated(data[at:end]) if compression == _ZSTD else iter([data[at:end]])
        yield from _events(chunks)
    except (IndexError, ValueError, zstandard.ZstdError) as error:
        raise ProtocolError(f"binlog event transaction_payload: {error}") from error


def _inflated(packed: bytes) -> Iterator[bytes]:
    with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as reader:
        while chunk := reader.read(_CHUNK):
            yield chunk


def _events(chunks: Iterator[bytes]) -> Iterator[Span]:
    data, at = b"", 0
    while True:
        while len(data) - at >= HEADER_SIZE:
            size = int.from_bytes(data[at + _SIZE_AT : at + _SIZE_AT + 4], "little")
            if size < HEADER_SIZE:
                raise ValueError(f"an event of {size} bytes")
            if len(data) - at < size:
                break
            yield data, at, at + size
            at += size
        else:
            size = HEADER_SIZE
        parts, have = [data[at:]], len(data) - at
        while have < size:
            chunk = next(chunks, None)
            if chunk is None:
                if have:
                    raise IndexError("cut short inside an event")
                return
            parts.append(chunk)
            have += len(chunk)
        data, at = b"".join(parts), 0
