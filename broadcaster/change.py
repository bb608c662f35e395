"""Log entries as the broadcaster works on them: changes with lazily decoded rows, grouped by transaction. (pure)"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeAlias

from broadcaster.evaluate import decode_row
from cdc.codec import decode_envelope
from cdc.event import Entry

Row: TypeAlias = dict[str, Any]

Delta: TypeAlias = tuple[bytes, bytes, bytes | None, bytes]
"""(type, key, doc, rank): `insert` and `update` carry the row, `delete` None. rank: of a row, where the live query has
an order; else empty. In an aggregate doc is the row's share, and rank the one that it had, if it had one."""

INSERT: Final = b"insert"
UPDATE: Final = b"update"
DELETE: Final = b"delete"


class Change:
    """One row change. Rows are raw JSON (`before`, `after`; None where the event has none) and decoded once, when
    the first predicate asks."""

    __slots__ = ("_after_row", "_before_row", "after", "before", "collection", "key", "offset", "op", "types")

    def __init__(
        self,
        offset: int,
        collection: str,
        op: str,
        key: bytes,
        before: bytes | None,
        after: bytes | None,
        types: dict[str, str] | None,
    ) -> None:
        self.offset = offset
        self.collection = collection
        self.op = op
        self.key = key
        self.before = before
        self.after = after
        self.types = types
        self._before_row: Row | None = None
        self._after_row: Row | None = None

    @property
    def before_row(self) -> Row:
        if self._before_row is None:
            assert self.before is not None
            self._before_row = decode_row(self.before)
        return self._before_row

    @property
    def after_row(self) -> Row:
        if self._after_row is None:
            assert self.after is not None
            self._after_row = decode_row(self.after)
        return self._after_row


class Part:
    """Consecutive changes of one transaction.

    tx: the database's transaction id; identity: (tx, commit position), unique within the log's epoch;
    time: of the commit, Unix ms.
    """

    __slots__ = ("changes", "identity", "time")

    def __init__(self, identity: tuple[str, int], time: int) -> None:
        self.identity = identity
        self.time = time
        self.changes: list[Change] = []

    @property
    def tx(self) -> str:
        return self.identity[0]


def transactions(
    entries: Sequence[Entry], wanted: Callable[[str], bool] = lambda _: True
) -> Iterator[tuple[Part, int, int]]:
    """Group a chunk's entries: (part, first offset, last offset) for each transaction, in order.

    Changes of unwanted collections are left out of the part, but not of the offsets. Tombstones carry nothing new, nor
    do rows that a tailer has read (`r`): whoever asks reads for himself.
    """
    part: Part | None = None
    first = last = 0
    for offset, collection, key, value in entries:
        if value is None:
            last = offset
            continue
        envelope = decode_envelope(value)
        if envelope.op == "r":
            last = offset
            continue
        source = envelope.source
        identity = (source.txId, source.commit_lsn)
        if part is None or identity != part.identity:
            if part is not None:
                yield part, first, last
            part, first = Part(identity, source.ts_ms), offset
        last = offset
        if wanted(collection):
            part.changes.append(
                Change(
                    offset,
                    collection,
                    envelope.op,
                    key,
                    envelope.before,
                    envelope.after,
                    envelope.types,
                )
            )
    if part is not None:
        yield part, first, last
