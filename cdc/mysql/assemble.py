"""Binlog events to batches of finished change events: transactions, tables, positions. (pure)

One `Assembler` serves one connection. Large transactions come out in parts; nothing else leaves before its commit.
A binlog has what happened in the order of commits, with one exception: rows of an XA transaction come when it is
prepared, and are held until its outcome.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cdc.errors import ProtocolError
from cdc.event import Batch, Position, Record, Reset
from cdc.mysql import binlog
from cdc.mysql.binlog import HEADER, HEADER_SIZE, Begin, Query
from cdc.mysql.events import EventReader
from cdc.mysql.gtid import GtidPosition, GtidSet
from cdc.mysql.packets import Packets, Span
from cdc.mysql.single import single_reader
from cdc.mysql.statement import Control, control, xid_of
from cdc.mysql.tables import Catalog, Tables
from cdc.mysql.writer import Origin
from cdc.mysql.xa import Held, Pending
from cdc.transaction import Transaction

MAX_PART_BYTES: Final = 1 << 20

_MS: Final = 1000


@dataclass(slots=True)
class _Complete:
    """Complete transactions that go out as one batch; position: None while it is the newest."""

    resets: tuple[Reset, ...]
    records: list[Record] = field(default_factory=list)
    position: Position | None = None
    ts_ms: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Start:
    """Where reading begins. after: what the log has already; file, offset: the beginning of an event, which is asked
    of the server, `after` or earlier; created: when the file was begun (Unix s), 0 if that is not known; gtids: all
    transactions up to `after`."""

    after: Position
    file: str
    offset: int
    created: int
    gtids: GtidSet | GtidPosition


class Assembler:
    """Feeds on one connection's packets, gives batches.

    numbered: transactions are named by their GTIDs, else by their places. crash_safe: a server that was killed comes
    back with what its binlog has. now_ms: Unix time, asked once per transaction or part of one.
    """

    def __init__(
        self,
        *,
        origin: Origin,
        start: Start,
        collections: Mapping[tuple[str, str], str],
        catalog: Catalog,
        mariadb: bool,
        numbered: bool,
        crash_safe: bool,
        now_ms: Callable[[], int],
        max_part_bytes: int = MAX_PART_BYTES,
    ) -> None:
        self._epoch = start.after.epoch
        self._resumed_at = self._order = self._taken = start.after.order
        self._place = (start.file, start.offset)  # of `_order`, in the server's words
        self._gtids = start.gtids
        self._numbered = numbered
        self._crash_safe = crash_safe
        self._now_ms = now_ms
        self._max_part = max_part_bytes
        self._transaction = Transaction()
        self._origin = origin
        self._tables = Tables(origin, collections, catalog, self._transaction, mariadb=mariadb)
        self._single = single_reader(self._tables.current, mariadb=mariadb, numbered=numbered)
        self._pending = Pending()
        self._complete: deque[_Complete] = deque()
        self._resets: list[Reset] = []
        # The open transaction: begun by its GTID, open once it is known to have an end of its own.
        self._begun = self._open = self._repeats = self._doubtful = False
        self._begin_place = self._place
        self._gtid: str | None = None
        self._held: Held | None = None
        rows = dict.fromkeys(binlog.ROWS, self._on_rows)
        self._reader = EventReader(
            {
                **rows,
                binlog.FORMAT_DESCRIPTION: self._on_new_file,
                binlog.QUERY: self._on_query,
                binlog.XID: self._on_xid,
                binlog.TABLE_MAP: self._on_table_map,
                binlog.HEARTBEAT: self._on_heartbeat,
                binlog.GTID: self._on_gtid,
                binlog.ANONYMOUS_GTID: self._on_gtid,
                binlog.TAGGED_GTID: self._on_gtid,
                binlog.MARIADB_GTID: self._on_gtid,
                binlog.XA_PREPARE: self._on_xa_prepare,
                binlog.EXECUTE_LOAD_QUERY: self._on_load_query,
                binlog.QUERY_COMPRESSED: self._on_compressed_query,
            },
            start.file,
            start.offset,
            start.created,
            self._singles,
        )

    # --- what the stream asks

    @property
    def pending_bytes(self) -> int:
        """Bytes of event values not yet taken."""
        return self._transaction.size + sum(complete.size for complete in self._complete)

    @property
    def has_records(self) -> bool:
        """Whether `take` would give records now: of an open transaction the newest event of each collection waits."""
        return bool(self._complete) or (
            self._transaction.size > self._max_part and self._transaction.has_part
        )

    def advance(self, packets: Packets, budget: int) -> bool:
        """Take in events, `budget` bytes of them or one that is larger; whether there may be more.

        Raises NeedCatalog, to be called again after `learn`; ProtocolError for what is not understood; ServerError;
        PositionLost if this is not the binlog that was left; SetupError for a table without a key.
        """
        return self._reader.advance(packets, budget)

    def learn(self, catalog: Catalog) -> None:
        """Answer the last NeedCatalog."""
        self._tables.learn(catalog)

    def take(self) -> Batch | None:
        """What is pending: complete transactions, in one batch or, before a reset, several; else the first part of an
        open transaction that is larger than a part may be; else the position, if it moved; else None."""
        if self._complete:
            done = self._complete.popleft()
            position = done.position or self._position()
            self._taken = position.order
            return Batch(done.records, position, done.ts_ms, done.resets)
        if self._transaction.size > self._max_part and (part := self._transaction.take_part(self._now_ms())):
            return Batch(part, None, self._transaction.commit_ms)
        if self._order > self._taken:
            self._taken = self._order
            return Batch([], self._position(), self._now_ms())
        return None

    def _position(self) -> Position:
        file, offset = self._place
        state: dict[str, Any] = {"file": file, "pos": offset, "gtid": str(self._gtids)}
        if self._reader.created:
            state["created"] = self._reader.created
        if (held := self._pending.oldest) is not None:
            state["xa"] = {"file": held.start[0], "pos": held.start[1], "created": held.created}
        return Position(self._epoch, self._order, state)

    # --- the transaction's beginning and end

    def _on_gtid(self, data: bytes, at: int, end: int) -> None:
        reader = self._reader
        if self._begun:
            self._abandon()
        match reader.kind:
            case binlog.MARIADB_GTID:
                begin = binlog.decode_mariadb_gtid(data, at, end, reader.server)
            case binlog.TAGGED_GTID:
                begin = binlog.decode_tagged_gtid(data, at, end)
            case kind:
                begin = binlog.decode_gtid(data, at, end, kind == binlog.ANONYMOUS_GTID)
        self._begin(begin)

    def _begin(self, begin: Begin) -> None:
        reader = self._reader
        order = reader.begin_order
        self._begun = True
        self._open = begin.standalone is False
        self._gtid = begin.gtid
        self._begin_place = (reader.file, reader.begin)
        self._repeats = order < self._resumed_at
        self._held = Held(self._begin_place, reader.created) if begin.prepares else None
        commit_ms = begin.commit_ms if begin.commit_ms is not None else reader.stamp * _MS
        gtid = begin.gtid or ""
        name = gtid if gtid and self._numbered else f"{reader.file}:{reader.begin}"
        self._transaction.begin(name, order, commit_ms, self._now_ms())
        self._origin.begin(reader.file, reader.server, begin.gtid)

    def _end(self) -> None:
        """What was begun is complete."""
        self._begun = self._open = False
        self._held = None
        if not self._repeats:
            transaction = self._transaction
            size, records = transaction.size, transaction.finish()
            resets = tuple(replace(reset, tx=transaction.id) for reset in dict.fromkeys(self._resets))
            self._resets = []
            if records or resets or transaction.partial:
                self._put(resets, records, size, transaction.commit_ms)
        if self._gtid is not None:
            self._gtids.add(self._gtid)
        self._move()

    def _put(self, resets: tuple[Reset, ...], records: list[Record], size: int, commit_ms: int) -> None:
        if resets or not self._complete:
            if self._complete:
                self._complete[-1].position = self._position()
            self._complete.append(_Complete(resets))
        complete = self._complete[-1]
        complete.records += records
        complete.size += size
        complete.ts_ms = commit_ms

    def _move(self) -> None:
        """Everything complete is complete up to the newest event."""
        reader = self._reader
        if reader.order > self._order:
            self._order = reader.order
            self._place = (reader.file, reader.end)

    def _singles(self, data: bytes, at: int, budget: int) -> int:
        """Take in transactions of one row, as many as come; see `events.Ahead`."""
        reader = self._reader
        if self._begun or self._tables.stale or reader.order < self._resumed_at:
            return at
        singles = self._single.read(
            data, at, budget, reader.file, reader.order - reader.end, reader.end, self._now_ms()
        )
        if singles is None:
            return at
        reader.skip_to(singles.end)
        self._put((), singles.records, singles.size, singles.commit_ms)
        for source, first, last in singles.gtids:
            self._gtids.extend(source, first, last)
        self._move()
        return singles.at

    def _abandon(self) -> None:
        """The server went down while it wrote this transaction; it never was. What of it was given out already, and
        cannot be taken back, is covered by resets."""
        transaction = self._transaction
        touched = self._tables.touched() if transaction.partial else []
        transaction.forget()
        self._begun = self._open = False
        self._held = None
        self._resets = []
        if touched and not self._repeats:
            self._put(tuple(Reset(name, "rows_unknown") for name in touched), [], 0, transaction.commit_ms)
        self._move()

    def _doubt(self) -> None:
        """Of the rows so far it is not known which are there: none is told, and what they are of begins anew."""
        if not self._repeats:
            self._resets += [Reset(name, "rows_unknown") for name in self._tables.touched()]
            self._transaction.forget()

    # --- events

    def _on_new_file(self, data: bytes, at: int, end: int) -> None:
        reader = self._reader
        if self._begun:
            self._abandon()
        self._tables.forget()
        if reader.torn and not self._crash_safe and reader.order > self._resumed_at:
            resets = tuple(Reset(name, "server_crashed") for name in self._tables.all())
            self._put(resets, [], 0, reader.stamp * _MS)
        self._move()

    def _on_heartbeat(self, data: bytes, at: int, end: int) -> None:
        if not self._begun:
            self._move()

    def _on_xid(self, data: bytes, at: int, end: int) -> None:
        if not self._begun:
            raise ProtocolError(f"{self._here()}: the end of a transaction that did not begin")
        if self._held is not None:
            self._replay(self._held)
        else:
            self._end()

    def _on_query(self, data: bytes, at: int, end: int) -> None:
        if self._begun and binlog.is_begin(data, at, end):
            self._open = True
            self._origin.thread = int.from_bytes(data[at : at + 4], "little")
            return
        self._statement(binlog.decode_query(data, at, end))

    def _on_compressed_query(self, data: bytes, at: int, end: int) -> None:
        self._statement(binlog.decode_compressed_query(data, at, end))

    def _on_load_query(self, data: bytes, at: int, end: int) -> None:
        self._statement(binlog.decode_load_query(data, at, end))

    def _statement(self, query: Query) -> None:
        if not self._begun:
            self._begin(Begin(None))
        self._origin.thread = query.thread
        match control(query.statement):
            case Control.BEGIN:
                self._open = True
            case Control.XA_START:
                self._open = True
                self._held = Held(self._begin_place, self._reader.created)
            case Control.COMMIT:
                self._on_xid(b"", 0, 0)
            case Control.ROLLBACK:
                self._doubt()
                self._held = None
                self._end()
            case Control.ROLLBACK_TO:
                if self._held is not None:
                    self._held.doubt()
                else:
                    self._doubt()
            case Control.XA_COMMIT:
                self._xa_commit(query)
            case Control.XA_ROLLBACK:
                self._pending.resolve(xid_of(query.statement))
                self._end()
            case Control.NOTHING:
                pass
            case None:
                self._apply(query)
                if not self._open:
                    self._end()

    def _apply(self, query: Query) -> None:
        """A statement that is no control: DDL, or DML in statement format."""
        effect = self._tables.statements.effect(query)
        if self._repeats:
            if effect.relearn:
                self._tables.stale = True
            return
        if effect.truncated is not None:
            self._tables.truncate(effect.truncated, self._reader.begin)
        self._resets += effect.resets
        if effect.relearn:
            self._tables.stale = True

    def _on_table_map(self, data: bytes, at: int, end: int) -> None:
        collections = self._tables.announce(data, at, end)
        if self._held is not None and collections:
            self._pending.hold(self._held, binlog.TABLE_MAP, data[at:end], collections)

    def _on_rows(self, data: bytes, at: int, end: int) -> None:
        kind = self._reader.kind
        table = self._tables.of(data, at)
        if table is None:
            return
        if self._held is not None:
            self._pending.hold(self._held, kind, data[at:end], table.changes)
            return
        if self._repeats:
            return
        if not self._begun:
            raise ProtocolError(f"{self._here()}: rows outside a transaction")
        self._resets += table.add(kind, data, at, end, self._reader.begin)

    # --- XA transactions

    def _on_xa_prepare(self, data: bytes, at: int, end: int) -> None:
        prepare = binlog.decode_xa_prepare(data, at, end)
        if not self._begun:
            raise ProtocolError(f"{self._here()}: the end of an XA transaction that did not begin")
        held = self._held
        if held is None:
            raise ProtocolError(f"{self._here()}: a transaction is prepared that was not begun as XA")
        if prepare.one_phase:
            self._replay(held)
            return
        self._pending.prepare(prepare.xid, held)
        self._end()

    def _xa_commit(self, query: Query) -> None:
        held = self._pending.resolve(xid_of(query.statement))
        if held is None:
            if not self._repeats:
                self._resets += [Reset(name, "rows_unknown") for name in self._tables.all()]
            self._end()
        else:
            self._replay(held)

    def _replay(self, held: Held) -> None:
        """The rows that were held happen now."""
        self._held = None
        if self._repeats:
            self._end()
        elif held.lost:
            self._resets += [Reset(name, "rows_unknown") for name in sorted(held.touched)]
            self._end()
        else:
            self._reader.insert(_as_events(held.events), self._end)

    def _here(self) -> str:
        return f"binlog {self._reader.file}, offset {self._reader.begin}"


def _as_events(events: list[tuple[int, bytes]]) -> Iterator[Span]:
    for kind, body in events:
        event = HEADER.pack(0, kind, 0, HEADER_SIZE + len(body), 0, 0) + body
        yield event, 0, len(event)
