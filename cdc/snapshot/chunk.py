"""One chunk on its way from the database into the stream. (pure)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from cdc.codec import decode_envelope, encode_read
from cdc.event import Batch, Record, Reset
from cdc.snapshot.reader import ChunkRead, Row

MOST_KEYS: Final = 200_000
"""Keys that may change while one chunk is read; beyond, it is read again."""
MOST_PASSED: Final = 100_000
"""Changes that a read might not show yet. Half are forgotten then, the oldest: taken for shown, since so many have
followed."""
_TRUNCATED: Final = b"null"
_RESET: Final = b""

Touch: TypeAlias = tuple[str, str, bytes]
"""(transaction, collection, key); the key is empty for a reset"""


class Passed:
    """The newest changes that the stream has had, which a read that begins now should show."""

    def __init__(self) -> None:
        self._touches: list[Touch] = []

    def add(self, records: Sequence[Record]) -> None:
        """Those of these records."""
        touches = self._touches
        for collection, key, value in records:
            if value is not None and (tx := decode_envelope(value).source.txId):
                touches.append((tx, collection, key))
        if len(touches) > MOST_PASSED:
            del touches[: -MOST_PASSED // 2]

    def add_resets(self, resets: Sequence[Reset]) -> None:
        """Those of them that a read might not show."""
        self._touches += [(reset.tx, reset.collection, _RESET) for reset in resets if reset.tx]

    def take(self) -> list[Touch]:
        """All of them; none is left."""
        taken, self._touches = self._touches, []
        return taken

    def put(self, touches: Sequence[Touch]) -> None:
        """These, too, which were before."""
        self._touches = [*touches, *self._touches]


class Chunk:
    """From the place in the stream at which its reading begins, which must lie between two transactions.

    past: what the read should show of what was before. `spoilt`: it must be read again.
    """

    def __init__(self, collection: str, past: Sequence[Touch]) -> None:
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

    def accept(self, read: ChunkRead) -> list[Touch]:
        """Take what was read. What it does not show of the past, though it should: the stream has newer images of those
        rows, as of those that it touched since. One that lacks a reset is worth nothing."""
        shown = {tx: read.shows(tx) for tx in {tx for tx, _, _ in self.past}}
        unseen = [touch for touch in self.past if not shown[touch[0]]]
        if self.spoilt:
            return unseen
        newer = self._touched.union(key for _, collection, key in unseen if collection == self.collection)
        self._touched.clear()
        if _RESET in newer:
            self.spoil()
            return unseen
        self.read = read
        if _TRUNCATED not in newer:
            self._rows = {row[0]: row for row in read.rows if row[0] not in newer}
        return unseen

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
