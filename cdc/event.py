"""The words that the tailers, the log and the broadcaster share: records, positions, batches. (pure)

A *position* is a place in a database's log; an *offset* is a place in ours. They never mix.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Final, TypeAlias

import msgspec


class Op(StrEnum):
    """What happened to a row, in Debezium's letters."""

    CREATE = "c"
    UPDATE = "u"
    DELETE = "d"
    READ = "r"
    TRUNCATE = "t"


class Absent(Enum):
    """The type of `ABSENT`: a field that a row image does not carry, which is neither NULL nor unchanged."""

    ABSENT = "ABSENT"


ABSENT: Final = Absent.ABSENT

Record: TypeAlias = tuple[str, bytes, bytes | None]
"""(collection, key, value) as written: `key` is the JSON object of the primary key, `value` the event's envelope
(see `cdc.codec`). A plain tuple because there is one per row change."""

Entry: TypeAlias = tuple[int, str, bytes, bytes | None]
"""(offset, collection, key, value) as read back."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a database's log, up to which everything committed is in the event log.

    epoch: which log this is (Postgres: the cluster's system identifier); positions of two epochs do not compare.
    order: grows with the log (Postgres: the LSN). Everything that committed below it is contained.
    state: what the source must remember with it (Postgres: the shape of each relation); JSON types only.
    """

    epoch: str
    order: int
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reset:
    """From here on nothing earlier says anything about this collection: it was dropped and made anew, or its columns
    changed without a row event. Live queries on it start over from the database.

    tx: the id of the transaction that did it, as `txId` in events: only a read that shows it is of use. Empty where the
        database has none, or every read shows it.
    """

    collection: str
    reason: str
    tx: str = field(default="", compare=False)


@dataclass(slots=True)
class Batch:
    """What one append makes durable at once.

    position: where the database's log stands after these records; None while the records are the first part of a
        transaction too large for one batch, whose rest follows: nothing of it is visible until a batch with a
        position ends it.
    ts_ms: when the database committed the last transaction herein (Unix ms), or when the position was seen.
    """

    records: list[Record]
    position: Position | None
    ts_ms: int
    resets: tuple[Reset, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """One appended batch (or part of a large one) as a reader gets it.

    entries: in the log's order; a transaction's are consecutive, and a transaction spans several chunks only when
        all of them but the last have no position.
    end: the offset to continue after; grows from chunk to chunk, also where all entries were filtered away.
    position: the reader has now seen everything up to here; None inside a large transaction.
    ts_ms: as in `Batch`.
    """

    entries: list[Entry]
    end: int
    position: Position | None
    ts_ms: int
    resets: tuple[Reset, ...] = ()


class SourceInfo(msgspec.Struct, frozen=True):
    """The envelope's `source` block, as far as a reader needs it. txId: empty where no transaction did it."""

    ts_ms: int
    txId: str = ""  # noqa: N815 - Debezium's name
    commit_lsn: int = 0


class TransactionInfo(msgspec.Struct, frozen=True):
    """The envelope's `transaction` block."""

    id: str
    total_order: int
    data_collection_order: int
    last: bool = False


_NULL: Final = msgspec.Raw(b"null")


class Envelope(msgspec.Struct, frozen=True):
    """A change event as read: rows stay raw JSON, since most readers only route them."""

    op: str
    source: SourceInfo
    transaction: TransactionInfo | None = None
    raw_before: msgspec.Raw = msgspec.field(name="before", default=_NULL)
    raw_after: msgspec.Raw = msgspec.field(name="after", default=_NULL)
    types: dict[str, str] | None = None

    @property
    def before(self) -> bytes | None:
        """The old row's JSON; None if there is none, or the database could not give it."""
        return _row(self.raw_before)

    @property
    def after(self) -> bytes | None:
        """The new row's JSON; None if there is none."""
        return _row(self.raw_after)


def _row(raw: msgspec.Raw) -> bytes | None:
    row = bytes(raw)
    return None if row == b"null" else row
