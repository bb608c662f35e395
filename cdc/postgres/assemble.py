"""pgoutput messages to batches of finished events: transactions, relations, positions. (pure)

One `Assembler` serves one connection: what the server announced on it (relations) ends with it. Large transactions
come out in parts; nothing else leaves before its commit.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cdc.errors import ProtocolError
from cdc.event import Batch, Position, Record, Reset
from cdc.postgres.memory import Memory, shape_of
from cdc.postgres.messages import (
    Delete,
    Insert,
    LogicalMessage,
    Origin,
    Relation,
    Truncate,
    TypeName,
    Update,
)
from cdc.postgres.pgoutput import EPOCH_2000_US, FRAME_HEAD, XLogData, decode, decode_frame
from cdc.postgres.relation import TRUNCATED, KnownRelation
from cdc.postgres.rowreader import CopyData, Held, row_reader
from cdc.postgres.values import PgType
from cdc.transaction import Collection, Transaction
from cdc.wire_text import string, wire_text

MAX_PART_BYTES: Final = 1 << 20

_XLOG_DATA: Final = ord("w")
_BEGINS: Final = ord("B")
_COMMITS: Final = ord("C")
_KIND_END: Final = FRAME_HEAD + 1
# Begin and Commit within their frames, laid out as in `pgoutput`: with small transactions they are most of the stream.
_BEGIN: Final = struct.Struct(f">{_KIND_END}xQqI")
_COMMIT: Final = struct.Struct(f">{_KIND_END}xxQQ8x")


class NeedRelation(Exception):
    """The stream introduces a table, or new columns of one: `learn` what the catalog says, then feed the message
    again; nothing of it was taken in. type_oids: the types of its columns."""

    def __init__(self, relation: Relation) -> None:
        super().__init__(f"{relation.schema}.{relation.table}")
        self.relid = relation.relid
        self.schema = relation.schema
        self.table = relation.table
        self.type_oids = tuple(column.oid for column in relation.columns)


@dataclass(frozen=True, slots=True)
class RelationInfo:
    """What the catalog says of a table.

    collection: its name in the log; None: it is not wanted after all.
    key: the primary key's columns in key order; empty if the catalog does not know the table any more: then the key
        remembered in the position's state is used.
    partitioned: it is a partitioned table, whose changes are published as its own.
    types: those of its columns, and what they are made of, that are not built in.
    """

    collection: str | None
    key: tuple[str, ...] = ()
    partitioned: bool = False
    types: Mapping[int, PgType] = field(default_factory=dict)


@dataclass(slots=True)
class _Complete:
    """Complete transactions that go out as one batch; order: the position up to which they are complete."""

    resets: tuple[Reset, ...]
    records: list[Record] = field(default_factory=list)
    order: int = 0
    state: Mapping[str, Any] = field(default_factory=dict)
    ts_ms: int = 0
    size: int = 0


class Assembler:
    """Feeds on one connection's messages, gives batches.

    position: where the log stands; transactions that it covers are dropped, its `state` is what `memory` holds.
    collections: (schema, table) → collection, the tables wanted; rows of others are skipped.
    now_ms: Unix time, for events' `ts_ms`; asked at most once per transaction or part of one.
    """

    def __init__(
        self,
        *,
        project: str,
        alias: str,
        database: str,
        version: str,
        position: Position,
        collections: Mapping[tuple[str, str], str],
        now_ms: Callable[[], int],
        max_part_bytes: int = MAX_PART_BYTES,
    ) -> None:
        self._origin = (
            f'"version":{_json(version)},"connector":"postgresql","name":{_json(f"{project}.{alias}")}'
            f',"snapshot":"false","epoch":{_json(position.epoch)},"db":{_json(database)}'
        )
        self._epoch = position.epoch
        self._resumed_at = self._order = self._taken = position.order
        self._memory = Memory(position.state)
        self._wanted = collections
        self._now_ms = now_ms
        self._max_part = max_part_bytes
        self._collections = {name: Collection(name) for name in collections.values()}
        self._announced: dict[int, Relation] = {}
        self._relations: dict[int, KnownRelation | None] = {}
        self._answer: RelationInfo | None = None
        self._transaction = Transaction()
        self._open = self._repeats = False
        self._resets: list[Reset] = []
        self._complete: deque[_Complete] = deque()
        self._rows = row_reader(self._transaction, now_ms)
        self._rows.order = position.order

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open: its commit has not been fed yet."""
        return self._open or self._rows.is_holding

    @property
    def pending_bytes(self) -> int:
        """Bytes of event values not yet taken."""
        return self._transaction.size + self._rows.size + sum(complete.size for complete in self._complete)

    @property
    def has_records(self) -> bool:
        """Whether `take` would give records now. Pending bytes alone do not say so: of an open transaction the newest
        event of each collection, however large, waits for what follows."""
        return bool(self._complete or self._rows.has_singles) or (
            self._transaction.size > self._max_part and self._transaction.has_part
        )

    def shape(self, collection: str) -> str | None:
        """The collection's shape as the stream knows it, see `memory.shape_of`; None before it was ever seen."""
        return self._memory.shape(collection)

    def feed(self, message: bytes | memoryview) -> None:
        """Take in one XLogData frame. Raises NeedRelation, before anything is taken in; ProtocolError for what is
        not understood; SetupError for a table whose key is unknown."""
        if self._rows.read(message):
            return
        held = self._rows.unhold()
        if held is not None:
            self._go_on(held)
            if self._rows.read(message):
                return
        if len(message) == _BEGIN.size and message[0] == _XLOG_DATA and message[FRAME_HEAD] == _BEGINS:
            commit_lsn, commit_time_us, xid = _BEGIN.unpack(message)
            self._begin(commit_lsn, commit_time_us, xid, self._now_ms())
        elif len(message) == _COMMIT.size and message[0] == _XLOG_DATA and message[FRAME_HEAD] == _COMMITS:
            self._commit(*_COMMIT.unpack(message))
        else:
            self._feed_any(bytes(message))

    def copy(self, get: CopyData, most: int) -> tuple[int, int, bytes | memoryview | None]:
        """Feed frames, at most so many, up to one that `feed` or `progress` must see; see `RowReader.copy`."""
        return self._rows.copy(get, most)

    def progress(self, wal_end: int) -> None:
        """Take in a keep-alive: all that committed below `wal_end` was sent. Says nothing inside a transaction."""
        self._gather()
        if not self.in_transaction and wal_end > self._order:
            self._move(wal_end)

    def learn(self, info: RelationInfo) -> None:
        """Answer the last NeedRelation, whose message is fed again next."""
        self._answer = info

    def take(self) -> Batch | None:
        """What is pending: complete transactions, in one batch or, before a reset, several; else the first part of an
        open transaction that is larger than a part may be; else the position, if it moved; else None."""
        self._gather()
        if self._complete:
            done = self._complete.popleft()
            self._taken = done.order
            return Batch(done.records, Position(self._epoch, done.order, done.state), done.ts_ms, done.resets)
        if self._transaction.size > self._max_part and (part := self._transaction.take_part(self._now_ms())):
            resets, self._resets = tuple(self._resets), []
            return Batch(part, None, self._transaction.commit_ms, resets)
        if self._order > self._taken:
            self._taken = self._order
            return Batch([], Position(self._epoch, self._order, self._memory.state), self._now_ms())
        return None

    def _feed_any(self, message: bytes) -> None:
        """Any message but a sound Begin or Commit, the general way."""
        frame = decode_frame(message)
        if not isinstance(frame, XLogData):
            raise ProtocolError("CopyData 'k', byte 0: a keep-alive where a message was expected")
        decoded = decode(frame.message)
        match decoded:
            case Origin() | TypeName() | LogicalMessage():
                pass  # they tell nothing of any row; the position moves with the next commit
            case _ if not self._open:
                raise ProtocolError(f"pgoutput message {frame.message[:1]!r} outside a transaction")
            case Relation():
                self._announce(decoded)
            case Truncate():
                for known in [self._known(relid) for relid in decoded.relids]:
                    if known is not None and not self._repeats:
                        known.add(self._transaction, frame.start, TRUNCATED)
            case Insert() | Update() | Delete():
                known = self._known(decoded.relid)
                if known is not None and not self._repeats:
                    for change in known.changes(decoded):
                        known.add(self._transaction, frame.start, change)

    def _known(self, relid: int) -> KnownRelation | None:
        """The relation, or None if it is not wanted."""
        if relid not in self._relations:
            raise ProtocolError(f"a change of relation {relid}, which was never announced")
        return self._relations[relid]

    def _gather(self) -> None:
        """Take over what was complete at once."""
        singles = self._rows.release()
        if singles is None:
            return
        if singles.records:
            self._add_complete(singles.records, singles.size, singles.commit_ms)
        self._move(singles.order)

    def _go_on(self, held: Held) -> None:
        """Open a transaction that turned out to be more than one row."""
        self._begin(held.commit_lsn, held.commit_time_us, held.xid, held.now_ms)
        if held.record is not None:
            name, key, event = held.record
            collection = self._collections[name]
            self._transaction.enter(collection)
            self._transaction.add(collection, key, event)

    def _begin(self, commit_lsn: int, commit_time_us: int, xid: int, now_ms: int) -> None:
        self._gather()
        if self._open:
            raise ProtocolError("pgoutput message 'B' inside a transaction")
        self._open = True
        self._repeats = commit_lsn < self._resumed_at
        if self._repeats:
            return
        if commit_lsn < self._order:
            raise ProtocolError(
                f"a transaction committed at {commit_lsn}, though everything below {self._order} was sent"
            )
        self._rows.is_open = True
        self._transaction.begin(str(xid), commit_lsn, _unix_ms(commit_time_us), now_ms)

    def _commit(self, commit_lsn: int, end_lsn: int) -> None:
        transaction = self._transaction
        if not self._open:
            raise ProtocolError("pgoutput message 'C' outside a transaction")
        self._open = False
        self._rows.is_open = False
        if self._repeats:
            if end_lsn > self._resumed_at:
                raise ProtocolError(f"the position {self._resumed_at} lies inside a commit")
            return
        if commit_lsn != transaction.commit_lsn or end_lsn < commit_lsn:
            raise ProtocolError(
                f"a transaction began with its commit at {transaction.commit_lsn}, but it is at {commit_lsn}"
            )
        size, records = transaction.size, transaction.finish()
        resets, self._resets = tuple(self._resets), []
        if records or resets or transaction.partial:
            self._add_complete(records, size, transaction.commit_ms, resets)
        self._memory.commit()
        self._move(end_lsn)

    def _add_complete(
        self, records: list[Record], size: int, commit_ms: int, resets: tuple[Reset, ...] = ()
    ) -> None:
        if resets or not self._complete:
            self._complete.append(_Complete(resets))
        complete = self._complete[-1]
        complete.records += records
        complete.size += size
        complete.ts_ms = commit_ms

    def _move(self, order: int) -> None:
        """Everything complete is complete up to `order`."""
        self._order = self._rows.order = order
        if self._complete:
            self._complete[-1].order = order
            self._complete[-1].state = self._memory.state

    def _announce(self, relation: Relation) -> None:
        """A relation, new or again: the server repeats itself after much that changes nothing, such as ANALYZE."""
        known = self._announced.get(relation.relid)
        if known is not None and _described(known) == _described(relation):
            return
        if (relation.schema, relation.table) not in self._wanted:
            self._install(relation, None)
            return
        info, self._answer = self._answer, None
        if info is None:
            raise NeedRelation(relation)
        if info.collection is None:
            self._install(relation, None)
            return
        collection = self._collections.setdefault(info.collection, Collection(info.collection))
        key = self._memory.choose_key(relation, info.key, collection.name)
        if not self._repeats or self._memory.shape(collection.name) is None:
            shape = shape_of((column.name, column.oid, column.typmod) for column in relation.columns)
            changed = self._memory.learn(collection.name, shape, key)
            reset = Reset(collection.name, changed)
            if changed and reset not in self._resets:
                self._resets.append(reset)
        place = f'{self._origin},"schema":{_json(relation.schema)},"table":{_json(relation.table)}'
        self._install(
            relation, KnownRelation(collection, relation.columns, key, info.types, place, info.partitioned)
        )

    def _install(self, relation: Relation, known: KnownRelation | None) -> None:
        self._announced[relation.relid] = relation
        self._relations[relation.relid] = known
        self._rows.install(relation.relid, known)


def _described(relation: Relation) -> object:
    columns = [(column.name, column.oid, column.typmod) for column in relation.columns]
    return relation.schema, relation.table, columns


def _unix_ms(time_us: int) -> int:
    return (time_us + EPOCH_2000_US) // 1000


def _json(text: str) -> str:
    return string(wire_text(text))
