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
from cdc.mongo.open_transaction import OpenTransaction
from cdc.mongo.run import Key, Run

BATCH_BYTES: Final = 1 << 20
PROGRESS_MS: Final = 100
_LAST: Final = ',"last":true'


class Assembler:
    """source: the part of the `source` block that never changes; after: where the stream begins.

    sharded: events of one transaction come from several shards, so that a silent stream says nothing of its end;
    progress beyond it does.
    pending: bytes of events not taken; source: the block up to the commit's time, as wire text; open: what there is so
    far of the last transaction of several events.
    """

    def __init__(
        self, source: Mapping[str, Any], after: Position, *, begin: bool, sharded: bool, now_ms: int
    ) -> None:
        self.pending = 0
        self.open = OpenTransaction()
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
        self._open_at = (0, "", 0)  # order, token and commit of the open transaction's last event
        if begin:
            self._sealed.append((Batch([], after, now_ms), 0))

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open, as far as can be told."""
        return self.open.key is not None

    def add(self, change: Change, now_ms: int) -> None:
        """The stream's next event."""
        self._enter(change.transaction, change.ts_ms, now_ms)
        if change.transaction is not None:
            for row in change.rows:
                self._add_open(row, change, now_ms)
            self._open_at = change.order, change.token, change.ts_ms
            self._part()
            return
        for row in change.rows:
            key, event, _ = self._encode(row, change, now_ms, 1, 1, _LAST)
            self._complete([(row.collection, key, event)], len(event))
        if change.resets:
            self._seal()
        self._pass(change.order, change.token, change.ts_ms)
        if change.resets:
            self._sealed.append((Batch([], self._tell(), change.ts_ms, change.resets), 0))
        else:
            self._seal_if_large()

    def add_run(self, run: Run, now_ms: int) -> None:
        """The stream's next events, which are finished."""
        self._enter(run.transaction, run.ts_ms, now_ms)
        if run.transaction is not None:
            self.open.extend(run)
            self._open_at = run.order, run.token, run.ts_ms
            self._part()
            return
        self._complete(run.records, run.size)
        self._pass(run.order, run.token, run.ts_ms)
        self._seal_if_large()

    def idle(self, token: str, now_ms: int) -> None:
        """The stream has nothing more for now, and stands at `token`."""
        order = token_order(token)
        if self.open.key is not None:
            if self._sharded and order <= self.open.key.order:
                return
            self._end()
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

    def _enter(self, transaction: Key | None, ts_ms: int, now_ms: int) -> None:
        """What comes next is part of this transaction, or of none."""
        if transaction != self.open.key:
            self._end()
            if transaction is not None:
                self.open.open(transaction, ts_ms, now_ms)

    def _add_open(self, row: RowChange, change: Change, now_ms: int) -> None:
        collection = self.open.collection(row.collection)
        numbers = self.open.total + 1, collection.order + 1
        key, event, collection.tail = self._encode(row, change, now_ms, *numbers)
        self.open.add(collection, key, event)

    def _part(self) -> None:
        """Let go of the open transaction what would be a batch."""
        open_ = self.open
        if open_.size >= BATCH_BYTES and open_.has_part:
            self._seal()
            part = open_.take_part(open_.now_ms)
            size = sum(len(value or b"") for _, _, value in part)
            self.pending += size
            self._sealed.append((Batch(part, None, self._open_at[2]), size))

    def _end(self) -> None:
        """The open transaction is complete, if there is one."""
        open_ = self.open
        if open_.key is None:
            return
        records = open_.finish()
        open_.key = None
        self._complete(records, sum(len(value or b"") for _, _, value in records))
        self._pass(*self._open_at)
        self._seal_if_large()

    def _encode(
        self, row: RowChange, change: Change, now_ms: int, total: int, order: int, last: str = ""
    ) -> tuple[bytes, bytes, int]:
        """(key, event, how many of its bytes come behind its numbers)."""
        tail = f'}},"types":{row.types}}}' if row.types else "}}"
        event = (
            f'{{"before":{row.before or "null"},"after":{row.after or "null"},{self.source}{change.ts_ms},'
            f'"collection":{self._name(row.collection)},"txId":"{change.order}","ord":{change.order & 0xFFFFFFFF}}},'
            f'"op":"{row.op.value}","ts_ms":{now_ms},"transaction":{{"id":"{change.order}","total_order":{total},'
            f'"data_collection_order":{order}{last}{tail}'
        )
        return utf8(row.key), utf8(event), len(utf8(tail))

    def _name(self, collection: str) -> str:
        """The collection's name in JSON, as wire text."""
        name = self._names.get(collection)
        if name is None:
            name = self._names[collection] = encode_basestring(wire_text(collection))
        return name

    def _complete(self, records: list[Record], size: int) -> None:
        """These, so many bytes, are for the next batch."""
        self._records += records
        self._size += size
        self.pending += size

    def _pass(self, order: int, token: str, ts_ms: int) -> None:
        self._seen_order, self._seen_at, self._ts_ms = order, token, ts_ms

    def _seal_if_large(self) -> None:
        if self._size >= BATCH_BYTES:
            self._seal()

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
