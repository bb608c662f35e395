"""One partition of a collection's topic, as it is read: batches as they came, the records of one extent at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from cdc.errors import CursorExpired
from cdc.log.kafka.fetch import Fetched
from cdc.log.kafka.frame import Extent

Item = tuple[bytes, bytes | None]


class Tap:
    """following: the Kafka offset to fetch next."""

    def __init__(self, topic: str, number: int) -> None:
        self._topic = topic
        self._number = number
        self._batches: deque[Any] = deque()
        self._rest: list[Any] = []  # of a batch that reaches beyond an extent
        self.following = 0

    def seek(self, offset: int) -> None:
        """Nothing before this offset will be asked for; what was not fetched of it need not be."""
        while self._batches and self._batches[0].next_offset <= offset:
            self._batches.popleft()
        if not self._batches:
            self.following = max(self.following, offset)

    def feed(self, fetched: Fetched) -> None:
        """What a fetch at `following` brought. Raises CursorExpired where that is gone."""
        if fetched.gone:
            raise self._lost("what follows is not kept any more")
        self._batches.extend(fetched.batches)
        self.following = fetched.following

    def holds(self, offset: int) -> bool:
        """Whether everything up to this offset was fetched."""
        return self.following > offset

    def take(self, extent: Extent) -> list[Item]:
        """The records of the extent, which comes after those taken before. Raises CursorExpired where not exactly those
        are there."""
        found = [record for record in self._rest if record.offset >= extent.first]
        self._rest = []
        while self._batches and self._batches[0].base_offset <= extent.last:
            found += self._batches.popleft()
        if found and (found[0].offset < extent.first or found[-1].offset > extent.last):
            self._rest = [record for record in found if record.offset > extent.last]
            found = [record for record in found if extent.first <= record.offset <= extent.last]
        if len(found) != extent.records + extent.tombstones:
            raise self._lost(
                f"{len(found)} records lie in the offsets {extent.first} to {extent.last}, where the log has "
                f"{extent.records + extent.tombstones}"
            )
        if not extent.tombstones:
            return [(record.key, record.value) for record in found]
        items = [(record.key, record.value) for record in found if record.value is not None]
        if len(items) != extent.records:
            raise self._lost("its tombstones are not those of the log")
        return items

    def _lost(self, why: str) -> CursorExpired:
        return CursorExpired(
            f"Kafka: topic {self._topic}, partition {self._number}: {why}; retention, compaction or somebody else's "
            "records: start over from the database"
        )


def weave(
    first: int, rows: Sequence[tuple[str, Sequence[int], Sequence[Item]]]
) -> list[tuple[int, str, bytes, bytes | None]]:
    """Entries in the log's order: of each partition the collection, the places in the batch and the records there."""
    entries = [
        (first + place, name, key, value)
        for name, places, items in rows
        for place, (key, value) in zip(places, items, strict=True)
    ]
    if len(rows) > 1:
        entries.sort(key=lambda entry: entry[0])
    return entries
