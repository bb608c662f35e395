"""What several transactions did to one live query's rows, for a reader that is behind. (pure)"""

from __future__ import annotations

from broadcaster.change import Delta
from broadcaster.livequery import Told
from broadcaster.outcome import Outcome


class Deferred:
    """Changes merged by row: what leads from the result before the first transaction to that after the last.

    before: of a window or an aggregate, what was shown before the first one; its changes are not merged, but what is
    shown in the end is compared with that. size: bytes that it keeps; transactions: how many it merges; tx, time: those
    of the last one.
    """

    __slots__ = ("_rows", "before", "size", "time", "transactions", "tx")

    def __init__(self, before: Told | None = None) -> None:
        self.before = before
        self._rows: dict[
            bytes, tuple[bool, bytes | None]
        ] = {}  # by key: whether the client has the row; its doc
        self.size = self.transactions = self.time = 0
        self.tx = ""

    @property
    def deltas(self) -> list[Delta]:
        """One change for each row that is not as it was, or may not be."""
        return [
            (b"delete" if doc is None else b"update" if is_there else b"insert", key, doc, b"")
            for key, (is_there, doc) in self._rows.items()
        ]

    def add(self, outcome: Outcome) -> None:
        """Merge another transaction."""
        self.transactions += 1
        self.tx, self.time = outcome.tx, outcome.time
        if self.before is not None:
            return
        for kind, key, doc, _ in outcome.deltas:
            before = self._rows.pop(key, None)
            is_there = kind != b"insert"
            if before is not None:
                is_there, old = before
                self.size -= len(key) + len(old or b"")
            if is_there or doc is not None:
                self._rows[key] = is_there, doc
                self.size += len(key) + len(doc or b"")
