"""One chunk on its way from the database into the stream. (pure)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cdc.codec import decode_envelope, encode_read
from cdc.event import Batch, Record
from cdc.snapshot.reader import ChunkRead, Row

MOST_KEYS: Final = 200_000
"""Keys that may change while one chunk is read; beyond, it is read again."""
MOST_PASSED: Final = 200_000
"""Transactions that a read might not show yet. Half are forgotten then, the oldest: taken for shown, since so many
have followed."""
_TRUNCATED: Final = b"null"


class Passed:
    """The newest transactions that the stream has had, which a read that begins now should show."""

    def __init__(self) -> None:
        self._ids: list[str] = []

    def add(self, records: Sequence[Record]) -> None:
        """Those of these records."""
        ids = self._ids
        for _, _, value in records:
            if value is None:
                continue
            tx = decode_envelope(value).source.txId
            if tx and (not ids or ids[-1] != tx):
                ids.append(tx)
        if len(ids) > MOST_PASSED:
            del ids[: -MOST_PASSED // 2]

    def take(self) -> list[str]:
        """All of them; none is left."""
        taken, self._ids = self._ids, []
        return taken

    def put(self, ids: Sequence[str]) -> None:
        """These, too."""
        self._ids = [*ids, *self._ids]


class Chunk:
    """From the place in the stream at which its reading begins, which must lie between two transactions.

    past: what the read should show of what was before. `spoilt`: it must be read again.
    """

    def __init__(self, collection: str, past: Sequence[str]) -> None:
        self.collection = collection
        self.past = past
        self.spoilt = False
        self.read: ChunkRead | None = None
        self._rows: dict[bytes, Row] = {}
        self._touched: set[bytes] = set()

    def spoil(self) -> None:
        """Nothing of it is of use."""
        self.spoilt = True
        self._rows.clear()
        self._touched.clear()

    def pass_by(self, batch: Batch) -> None:
        """The stream has this now: what it touches is newer than what the read saw, or the same."""
        if any(reset.collection == self.collection for reset in batch.resets):
            self.spoil()
        if self.spoilt:
            return
        for collection, key, _ in batch.records:
            if collection != self.collection:
                continue
            if key == _TRUNCATED:
                self._rows.clear()
            self._rows.pop(key, None)
            if self.read is None:
                self._touched.add(key)
        if len(self._touched) > MOST_KEYS:
            self.spoil()

    def accept(self, read: ChunkRead) -> list[str]:
        """Take what was read. The transactions before it that it does not show: with any, the chunk is spoilt."""
        unseen = [tx for tx in self.past if not read.shows(tx)]
        if unseen:
            self.spoil()
        if self.spoilt:
            return unseen
        self.read = read
        if _TRUNCATED not in self._touched:
            self._rows = {row[0]: row for row in read.rows if row[0] not in self._touched}
        self._touched.clear()
        return []

    def records(self, now_ms: int) -> list[Record]:
        """Its rows as `r` events; the last row of a collection says that it is."""
        assert self.read is not None
        source = {**self.read.source, "ts_ms": now_ms}
        rows = list(self._rows.values())
        records: list[Record] = []
        for number, (key, doc, types) in enumerate(rows, 1):
            last = self.read.done and number == len(rows)
            said = {**source, "snapshot": "last" if last else "true"}
            records.append((self.collection, key, encode_read(doc, said, now_ms, types)))
        return records
