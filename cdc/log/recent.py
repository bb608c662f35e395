"""The newest chunks of a log in memory, so that a replay need not read them again. (pure)"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence, Set
from dataclasses import replace
from typing import Final

from cdc.event import Chunk, Entry

_ENTRY_BYTES: Final = 200
"""What an entry takes beside its key and value."""


class RecentChunks:
    """Chunks that follow one another, up to `limit` bytes of them; the oldest are forgotten.

    epoch: of the log that they are from; start, end: the offsets start < offset <= end are in here, of `collections`
    (None: of all).
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: list[Chunk] = []
        self._sizes: list[int] = []
        self._ends: list[int] = []
        self._size = 0
        self.epoch = ""
        self.start = self.end = 0
        self.collections: frozenset[str] | None = None

    def begin(self, epoch: str, offset: int, collections: Set[str] | None = None) -> None:
        """From here on chunks of these collections will be added. What is in here stays where it leads there."""
        wanted = None if collections is None else frozenset(collections)
        if (epoch, offset, wanted) != (self.epoch, self.end, self.collections):
            self._chunks, self._sizes, self._ends, self._size = [], [], [], 0
            self.epoch, self.start, self.end, self.collections = epoch, offset, offset, wanted

    def add(self, chunks: Sequence[Chunk]) -> None:
        """What a reader got next."""
        for chunk in chunks:
            self.end = chunk.end
            if not chunk.entries and not chunk.resets and self._chunks and chunk.end == self._ends[-1]:
                continue
            size = sum(_size(entry) for entry in chunk.entries) + _ENTRY_BYTES
            self._chunks.append(chunk)
            self._sizes.append(size)
            self._ends.append(chunk.end)
            self._size += size
        self._forget()

    def _forget(self) -> None:
        if self._size <= self._limit:
            return
        count = 0
        while self._size > self._limit and count < len(self._chunks):
            self._size -= self._sizes[count]
            count += 1
        self.start = self._ends[count - 1]
        del self._chunks[:count], self._sizes[:count], self._ends[:count]

    def covers(self, epoch: str, after: int, wanted: Set[str] | None = None) -> bool:
        """Whether what follows this offset, up to the end, is in here, of the wanted collections (None: of all)."""
        if self.collections is not None and (wanted is None or not wanted <= self.collections):
            return False
        return epoch == self.epoch and self.start <= after < self.end

    def read(self, after: int, wanted: Set[str] | None, most: int) -> list[Chunk]:
        """Chunks that follow the offset, as a `LogReader` gives them, about so many bytes; only where it covers it."""
        found: list[Chunk] = []
        size = 0
        for index in range(bisect_left(self._ends, after + 1), len(self._chunks)):
            chunk = _filtered(self._chunks[index], after, wanted)
            if found and not found[-1].entries and not found[-1].resets:
                found.pop()
            found.append(chunk)
            size += sum(_size(entry) for entry in chunk.entries)
            if size >= most:
                break
        return found


def _filtered(chunk: Chunk, after: int, wanted: Set[str] | None) -> Chunk:
    if wanted is None and (not chunk.entries or chunk.entries[0][0] > after):
        return chunk
    return replace(
        chunk,
        entries=[
            entry for entry in chunk.entries if entry[0] > after and (wanted is None or entry[1] in wanted)
        ],
        resets=tuple(reset for reset in chunk.resets if wanted is None or reset.collection in wanted),
    )


def _size(entry: Entry) -> int:
    return len(entry[2]) + len(entry[3] or b"") + _ENTRY_BYTES
