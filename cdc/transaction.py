"""The open transaction of a log that comes row by row: its events so far, their numbering, and which is the last of
each collection. (pure)"""

from __future__ import annotations

from typing import Final

from cdc.event import Record

_END: Final = b"}}"  # of an event: the ends of its transaction block and of itself
_LAST: Final = b',"last":true'


class Collection:
    """What one collection knows of the open transaction.

    order: events so far; newest: where in the records the latest is, which may turn out to be the last; tail: how many
        of its bytes come behind its numbers.
    """

    __slots__ = ("name", "newest", "number", "order", "tail")

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 0
        self.order = 0
        self.newest = -1
        self.tail = len(_END)


class Transaction:
    """The open transaction, one object used over and over. The generated code writes to it directly.

    part: changes with every transaction and every part taken of one; whoever keeps text made of what is here makes
        it anew when `part` moved.
    id: its name in the events; commit_lsn: its place in the log's order; commit_ms, now_ms: Unix time of the commit, of
    the reading.
    total: events so far; records and size: those not yet taken, and the bytes of their values.
    """

    __slots__ = (
        "_touched", "commit_lsn", "commit_ms", "id", "now_ms", "number", "part", "partial", "records", "size", "total"
    )  # fmt: skip

    def __init__(self) -> None:
        self.part = self.number = 0
        self.begin("", 0, 0, 0)

    def begin(self, id: str, commit_lsn: int, commit_ms: int, now_ms: int) -> None:  # noqa: A002 - as Debezium has it
        self.id = id
        self.commit_lsn = commit_lsn
        self.commit_ms = commit_ms
        self.now_ms = now_ms
        self.part += 1
        self.number += 1
        self.partial = False
        self.total = 0
        self.size = 0
        self.records: list[Record] = []
        self._touched: list[Collection] = []

    def enter(self, collection: Collection) -> None:
        """Let the collection take part, from 0 on if it does not yet."""
        if collection.number != self.number:
            collection.number = self.number
            collection.order = 0
            collection.newest = -1
            self._touched.append(collection)

    def add(self, collection: Collection, key: bytes, event: bytes) -> None:
        """Append an event that was numbered total + 1 and order + 1."""
        self.total += 1
        self.size += len(event)
        collection.order += 1
        collection.newest = len(self.records)
        self.records.append((collection.name, key, event))

    @property
    def has_part(self) -> bool:
        """Whether `take_part` would give any."""
        return len(self.records) > sum(collection.newest >= 0 for collection in self._touched)

    def take_part(self, now_ms: int) -> list[Record]:
        """The events so far but the newest of each collection, which stay: whether it is the last is not known yet.

        So where a transaction comes in parts its collections may be out of step, though each is in order.
        """
        kept = sorted((c for c in self._touched if c.newest >= 0), key=lambda collection: collection.newest)
        places = {collection.newest for collection in kept}
        part = [record for i, record in enumerate(self.records) if i not in places]
        if not part:
            return part
        self.records = [self.records[collection.newest] for collection in kept]
        for i, collection in enumerate(kept):
            collection.newest = i
        self.size = sum(len(event or b"") for _, _, event in self.records)
        self.part += 1
        self.now_ms = now_ms
        self.partial = True
        return part

    def forget(self) -> None:
        """Drop the events that were not taken, whose numbers stay given away."""
        for collection in self._touched:
            collection.newest = -1
        self.records = []
        self.size = 0

    def finish(self) -> list[Record]:
        """The remaining events, the last of each collection marked as such."""
        records = self.records
        for collection in self._touched:
            if collection.newest >= 0:
                name, key, event = records[collection.newest]
                assert event is not None
                end = len(event) - collection.tail
                records[collection.newest] = (name, key, event[:end] + _LAST + event[end:])
        self.records = []
        self.size = 0
        return records
