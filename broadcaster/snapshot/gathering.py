"""What a snapshot keeps of the rows that a database gives. (pure)"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from broadcaster.evaluate import decode_row
from broadcaster.livequery import LiveQuery
from broadcaster.snapshot.bounds import check_size
from broadcaster.snapshot.reader import Snapshot
from broadcaster.window import margin

_ROW_BYTES: Final = 150
"""What a row of an aggregate takes beside its key and its share, until the read has met the stream."""


class Gathering:
    """One query's rows, one after the other: those that match, of an ordered result the first ones.

    pushed: so many leading fields of the order (then of the primary key) are the order in which the rows come. rounded:
        it is the first field, as `Order.rounded` has it; the rows come in several reads, some of them twice.
    rows: key → doc, of an aggregate key → share; ranks: key → rank, of an ordered result; both in the order of the
        result; totals: of an aggregate, what the rows come to.
    """

    def __init__(
        self, query: LiveQuery, max_rows: int, max_bytes: int, pushed: int = 0, *, rounded: bool = False
    ) -> None:
        self._query = query
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._pushed = pushed
        self._rounded = rounded
        self._docs: dict[bytes, bytes] = {}
        self._order: list[tuple[bytes, bytes, bytes]] = []
        self._wanted = wanted(query)
        self._is_cut = False
        self._size = 0
        self.totals = None if query.shares is None else query.new_totals()
        counts_rows_only = query.shares is not None and not query.shares.measured
        self._known: dict[bytes, bytes] | None = {} if counts_rows_only else None  # few shares, of many rows

    def take(self, key: bytes, doc: bytes, kinds: Mapping[str, str] | None) -> bool:
        """Keep the row if it is of the result; False once no later row can be, of those that are read in order. Raises
        RequestError: result_too_large, too_many_groups."""
        query = self._query
        row = decode_row(doc)
        if not query.test(row, kinds):
            return True
        if query.shares is not None:
            self._count(key, query.shares.of(row, kinds))
        elif query.order is None:
            self._docs[key] = doc
            self._size += len(doc)
        elif key not in self._docs:
            parts = query.order.parts(key, row, kinds)
            rounded = self._rounded
            leading = query.order.rounded(key, row, kinds) if rounded else b"".join(parts[: self._pushed])
            if self._wanted is not None and len(self._order) >= self._wanted:
                self._is_cut = True
                if leading > self._order[-1][2]:
                    return False
            self._keep(key, doc, b"".join(parts), leading)
        rows = len(self._docs) if self._wanted is None and query.shares is None else 0
        check_size(rows, self._size, self._max_rows, self._max_bytes)
        return True

    def _count(self, key: bytes, share: bytes) -> None:
        assert self.totals is not None
        before = self._docs.pop(key, None)
        if before is not None:
            self.totals.uncount(before)
        self._docs[key] = self._known.setdefault(share, share) if self._known is not None else share
        self.totals.count(share)
        self._query.check_groups(self.totals)
        self._size += len(key) + _ROW_BYTES + (len(share) if self._known is None else 0)

    def _keep(self, key: bytes, doc: bytes, rank: bytes, leading: bytes) -> None:
        order = self._order
        if len(order) == self._wanted:
            if rank > order[-1][0]:
                return
            _, last, _ = order.pop()
            self._size -= len(self._docs.pop(last))
        insort(order, (rank, key, leading))
        self._docs[key] = doc
        self._size += len(doc)

    def snapshot(self, epoch: str, order: int, shows: Callable[[str], bool], key: Sequence[str]) -> Snapshot:
        """What was kept, as the snapshot of which the rest is told."""
        rows, ranks = self.rows, self.ranks
        return Snapshot(rows, epoch, order, shows, key, ranks, self.bound, self.totals)

    @property
    def rows(self) -> Mapping[bytes, bytes]:
        if self._query.order is None:
            return self._docs
        return {key: self._docs[key] for _, key, _ in self._order}

    @property
    def ranks(self) -> Mapping[bytes, bytes]:
        return {key: rank for rank, key, _ in self._order}

    @property
    def bound(self) -> bytes | None:
        """The rank up to which these are all rows; None if there are no others at all."""
        return self._order[-1][0] if self._is_cut else None


def wanted(query: LiveQuery) -> int | None:
    """How many of an ordered result's first rows are worth knowing; None: all."""
    limit = None if query.order is None else query.order.limit
    return None if limit is None else limit + margin(limit)
