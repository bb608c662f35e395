"""Changes to batches: transactions kept together, numbered, each batch with its position. (pure)

Only the next event tells where a transaction of several documents ends, or the stream's own word that nothing follows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any, Final

import msgspec

from cdc.event import Batch, Position, Record
from cdc.mongo.convert import utf8, wire_text
from cdc.mongo.decode import Change, RowChange, token_order
from cdc.mongo.single import Singles

BATCH_BYTES: Final = 1 << 20
PROGRESS_MS: Final = 100
_LAST: Final = ',"last":true'

_Row = tuple[RowChange, int, int]  # with its number in the transaction and among its collection's, from 1


class Assembler:
    """source: the part of the `source` block that never changes; after: where the stream begins.

    sharded: events of one transaction come from several shards, so that a silent stream says nothing of its end;
    progress beyond it does.
    pending: bytes of events not taken; source: the block up to the commit's time, as wire text.
    """

    def __init__(
        self, source: Mapping[str, Any], after: Position, *, begin: bool, sharded: bool, now_ms: int
    ) -> None:
        self.pending = 0
        block = wire_text(msgspec.json.encode(source).decode()).removesuffix("}")
        self.source = f'"source":{block},"ts_ms":'
        self._names: dict[str, str] = {}
        self._epoch = after.epoch
        self._sharded = sharded
        self._told_order = self._seen_order = after.order
        self._seen_at: Position | str = after  # or its token: a position is made where one is wanted
        self._told_ms = 0
        self._records: list[Record] = []
        self._size = 0
        self._ts_ms = 0
        self._sealed: deque[tuple[Batch, int]] = deque()
        self._transaction: tuple[int, bytes, int] | None = None
        self._open: list[_Row] = []
        self._open_size = 0
        self._orders: dict[str, int] = {}
        self._total = 0
        self._last_change: Change | None = None
        if begin:
            self._sealed.append((Batch([], after, now_ms), 0))

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, as far as can be told."""
        return self._transaction is not None

    def add(self, change: Change, now_ms: int) -> None:
        """The stream's next event."""
        if self._transaction is not None and change.transaction != self._transaction:
            self._end(now_ms)
        if change.transaction is not None:
            self._transaction, self._last_change = change.transaction, change
            for row in change.rows:
                self._add_open(row, change, now_ms)
            return
        for row in change.rows:
            self._records.append(self._encode((row, 1, 1), change, now_ms, last=True))
            self._grow(self._records[-1])
        if change.resets:
            self._seal()
        self._pass(change)
        if change.resets:
            self._sealed.append((Batch([], self._tell(), change.ts_ms, change.resets), 0))
        elif self._size >= BATCH_BYTES:
            self._seal()

    def add_singles(self, singles: Singles, now_ms: int) -> None:
        """The stream's next events, which are finished."""
        if self._transaction is not None:
            self._end(now_ms)
        self._records += singles.records
        self._size += singles.size
        self.pending += singles.size
        self._seen_order, self._seen_at, self._ts_ms = singles.order, singles.token, singles.ts_ms
        if self._size >= BATCH_BYTES:
            self._seal()

    def idle(self, token: str, now_ms: int) -> None:
        """The stream has nothing more for now, and stands at `token`."""
        order = token_order(token)
        if self._transaction is not None:
            if self._sharded and order <= self._transaction[0]:
                return
            self._end(now_ms)
        if order > self._seen_order:
            self._seen_order, self._seen_at = order, token
        if (
            not self._records
            and self._seen_order > self._told_order
            and now_ms - self._told_ms >= PROGRESS_MS
        ):
            self._told_ms = now_ms
            self._sealed.append((Batch([], self._tell(), now_ms), 0))

    def take(self) -> Batch | None:
        """The next batch; None if nothing is complete."""
        if not self._sealed and self._records:
            self._seal()
        if not self._sealed:
            return None
        batch, size = self._sealed.popleft()
        self.pending -= size
        return batch

    def _add_open(self, row: RowChange, change: Change, now_ms: int) -> None:
        order = self._orders[row.collection] = self._orders.get(row.collection, 0) + 1
        self._total += 1
        self._open.append((row, self._total, order))
        self._open_size += len(row.before or b"") + len(row.after or b"")
        if self._open_size >= BATCH_BYTES and len(self._open) > len(self._orders):
            self._seal()
            newest = self._newest()
            part = [self._encode(each, change, now_ms) for each in self._open if each[1] not in newest]
            self._open = [each for each in self._open if each[1] in newest]
            self._open_size = 0
            self._put(Batch(part, None, change.ts_ms))

    def _newest(self) -> frozenset[int]:
        """The numbers of the last row so far of each collection."""
        return frozenset({row.collection: number for row, number, _ in self._open}.values())

    def _end(self, now_ms: int) -> None:
        """The open transaction is complete."""
        change = self._last_change
        assert change is not None
        last = self._newest()
        for each in self._open:
            self._records.append(self._encode(each, change, now_ms, last=each[1] in last))
            self._grow(self._records[-1])
        self._transaction = self._last_change = None
        self._open, self._open_size = [], 0
        self._orders, self._total = {}, 0
        self._pass(change)
        if self._size >= BATCH_BYTES:
            self._seal()

    def _encode(self, row: _Row, change: Change, now_ms: int, *, last: bool = False) -> Record:
        what, total_order, collection_order = row
        order = change.order
        types = f',"types":{what.types}' if what.types else ""
        event = (
            f'{{"before":{what.before or "null"},"after":{what.after or "null"},{self.source}{change.ts_ms},'
            f'"collection":{self._name(what.collection)},"txId":"{order}","ord":{order & 0xFFFFFFFF}}},'
            f'"op":"{what.op.value}","ts_ms":{now_ms},"transaction":{{"id":"{order}","total_order":{total_order},'
            f'"data_collection_order":{collection_order}{_LAST if last else ""}}}{types}}}'
        )
        return what.collection, utf8(what.key), utf8(event)

    def _name(self, collection: str) -> str:
        """The collection's name in JSON, as wire text."""
        name = self._names.get(collection)
        if name is None:
            name = self._names[collection] = encode_basestring(wire_text(collection))
        return name

    def _grow(self, record: Record) -> None:
        size = len(record[2] or b"")
        self._size += size
        self.pending += size

    def _pass(self, change: Change) -> None:
        self._seen_order, self._seen_at = change.order, change.token
        self._ts_ms = change.ts_ms

    def _seal(self) -> None:
        """What is complete becomes a batch."""
        if not self._records:
            return
        self._sealed.append((Batch(self._records, self._tell(), self._ts_ms), self._size))
        self._records, self._size = [], 0

    def _tell(self) -> Position:
        """The position that was seen, which now goes out."""
        if isinstance(self._seen_at, str):
            self._seen_at = Position(self._epoch, self._seen_order, {"token": self._seen_at})
        self._told_order = self._seen_order
        return self._seen_at

    def _put(self, batch: Batch) -> None:
        size = sum(len(value or b"") for _, _, value in batch.records)
        self.pending += size
        self._sealed.append((batch, size))
