"""The position record: what makes a log of many topics and partitions one log. (pure)

One for each appended batch, or part of a large one, in the same Kafka transaction: how far the database's log is
contained, which offsets of ours the batch has, and where in Kafka its records lie, in which order. A byte that names
the format, then MessagePack.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from cdc.errors import LogError
from cdc.event import Position, Reset

_FORMAT: Final = b"\x01"


class Extent(msgspec.Struct, frozen=True, array_like=True):
    """Where a batch's records lie in one partition: Kafka offsets `first` to `last`, both included, `records` of our
    log and beside them `tombstones`, the null values that follow deletes in a compacted topic."""

    collection: str
    partition: int
    first: int
    last: int
    records: int
    tombstones: int = 0


class Place(msgspec.Struct, frozen=True, array_like=True):
    """A `Position`. `order` in decimal, since it may exceed 64 bits; `state` as JSON, to be compared as it is."""

    epoch: str
    order: str
    state: bytes


class Frame(msgspec.Struct, frozen=True, array_like=True):
    """One position record.

    epoch: of the log; base: the offset that the epoch began after.
    first, count: the batch has the log's offsets first <= offset < first + count; none if it moves the position only.
    place: None while a transaction goes on, or where the epoch begins without position.
    ts_ms: as in `Batch`; stored_ms: when its transaction was written (Unix ms).
    size: bytes of this batch's keys and values; stored: the same in Kafka, compressed; total: what is stored of the
        epoch up to and with this batch; whole: as total, but without all batches of the transaction that this is in.
    ends: for each collection the last Kafka offset of the log in each partition, -1 if none.
    extents, order: where the records are, see `Extent` and `cdc.log.kafka.order`.
    """

    epoch: str
    base: int
    first: int
    count: int
    place: Place | None
    ts_ms: int
    stored_ms: int
    resets: tuple[tuple[str, str, str], ...]
    size: int
    stored: int
    total: int
    whole: int
    ends: dict[str, list[int]]
    extents: tuple[Extent, ...]
    order: bytes = b""

    @property
    def end(self) -> int:
        """The last offset of the log up to and with this batch."""
        return self.first + self.count - 1


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Frame).decode
_encode_state: Final = msgspec.json.Encoder().encode
_decode_state: Final = msgspec.json.Decoder(dict[str, Any]).decode


def encode_frame(frame: Frame) -> bytes:
    """The record's value."""
    return _FORMAT + _encode(frame)


def decode_frame(value: bytes | None) -> Frame:
    """Raises LogError for what is no position record, or one of a later version."""
    if not value or not value.startswith(_FORMAT):
        raise LogError(
            "the position topic holds a record of another format: it was written by a newer Livetail (update this "
            "one) or by something else (delete the topic to start anew)"
        )
    try:
        return _decode(memoryview(value)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LogError(
            f"a record of the position topic is damaged ({error}); delete the topic to start anew"
        ) from error


def place_of(position: Position | None) -> Place | None:
    """As it stands in a frame."""
    if position is None:
        return None
    return Place(position.epoch, str(position.order), _encode_state(position.state))


def resets_of(frame: Frame) -> tuple[Reset, ...]:
    """The frame's resets."""
    return tuple(Reset(*reset) for reset in frame.resets)


class Positions:
    """Places to `Position`; remembers the state met last, which the next one has as a rule."""

    def __init__(self) -> None:
        self._bytes = b"{}"
        self._state: Mapping[str, Any] = {}

    def load(self, place: Place | None) -> Position | None:
        """Raises LogError where it is damaged."""
        if place is None:
            return None
        if place.state != self._bytes:
            try:
                self._state = _decode_state(place.state)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise LogError(
                    f"a position in the log is damaged ({error}); delete the position topic to start anew"
                ) from error
            self._bytes = place.state
        return Position(place.epoch, int(place.order), self._state)
