"""A hub without network and database: a memory log to write to, a reader that answers from a table, and connections
whose frames are parsed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry

from broadcaster.aggregate import Aggregation
from broadcaster.connection import Connection
from broadcaster.errors import RequestError
from broadcaster.feed import Feed
from broadcaster.hub import Hub
from broadcaster.livequery import LiveQuery
from broadcaster.metrics import Metrics
from broadcaster.order import Order
from broadcaster.outbox import Tick
from broadcaster.query import parse_where
from broadcaster.snapshot.gathering import Gathering
from broadcaster.snapshot.reader import Snapshot
from broadcaster.sse import Cursor, parse_cursor
from broadcaster.subscription import Subscription
from broadcaster.view import WHOLE, View
from cdc.config import Limits
from cdc.event import Batch, Position, Record, Reset
from support.memory_log import MemoryLog
from support.wire import WiredOutbox

EPOCH = "cluster"
Row = dict[str, Any]


def event(
    op: str,
    tx: int,
    order: int,
    *,
    before: Row | None = None,
    after: Row | None = None,
    collection: str = "todos",
) -> Record:
    """One record as a Postgres tailer writes it; the key is `id`, the commit position 100 × tx."""
    row = after or before
    key = "null" if row is None else json.dumps({"id": row["id"]}, separators=(",", ":"))
    value = {
        "before": before,
        "after": after,
        "source": {"txId": str(tx), "ts_ms": 1_790_000_000_000 + tx, "commit_lsn": 100 * tx},
        "op": op,
        "transaction": {"id": str(tx), "total_order": order, "data_collection_order": order},
    }
    return collection, key.encode(), json.dumps(value, separators=(",", ":")).encode()


class FakeOutbox:
    """Collects what is sent; it is its own transport."""

    is_chunked = False

    def __init__(self, tick: Tick) -> None:
        self.tick = tick
        self.transport = self
        self.sent = b""
        self.is_closed = False
        self.unsent = 0
        self.limit = 1 << 20
        self.evicted = False
        self.gate = asyncio.Event()
        self.gate.set()

    def send(self, payload: bytes, *, asked: bool = False) -> None:
        self.sent += payload

    def write(self, payload: bytes) -> None:
        self.sent += payload

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.is_closed

    @property
    def is_idle(self) -> bool:
        return not self.unsent and not self.is_closed

    def check(self) -> None:
        pass

    async def drain(self) -> None:
        await self.gate.wait()

    def flush(self) -> None:
        pass

    def evict(self) -> None:
        self.evicted = True
        self.is_closed = True

    def close(self) -> None:
        self.is_closed = True


class FakeReader:
    """A database of one table: `rows` by id. `before_answer` runs between the read and its position."""

    def __init__(self) -> None:
        self.rows: dict[Any, Row] = {}
        self.order = 0
        self.hidden: set[str] = set()
        self.reads = 0
        self.positions = 0
        self.nudges = 0
        self.failure: RequestError | None = None
        self.before_answer: Callable[[], Any] | None = None

    async def read(self, query: LiveQuery, max_rows: int, max_bytes: int) -> Snapshot:
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        found = Gathering(query, max_rows, max_bytes)
        for id_, row in self.rows.items():
            key, doc = (json.dumps(value, separators=(",", ":")).encode() for value in ({"id": id_}, row))
            found.take(key, doc, None)
        hidden = frozenset(self.hidden)
        if self.before_answer is not None:
            await self.before_answer()
        return found.snapshot(EPOCH, self.order, lambda tx: tx not in hidden, ("id",))

    async def position(self) -> tuple[str, int]:
        self.positions += 1
        return EPOCH, self.order

    async def shows(self) -> Callable[[str], bool]:
        hidden = frozenset(self.hidden)
        return lambda tx: tx not in hidden

    async def nudge(self) -> None:
        self.nudges += 1

    async def close(self) -> None:
        pass


class World:
    """Everything wired; use as an async context manager."""

    def __init__(self, **limits: int) -> None:
        self.log = MemoryLog()
        self.reader = FakeReader()
        self.limits = Limits(**limits)
        metrics = Metrics(CollectorRegistry())
        self.metrics = metrics
        self.tick = Tick()
        self.feed = Feed(
            "pg",
            self.log,
            metrics,
            restart=lambda subscription, reason: self.hub.restart(subscription, reason),
            refill=lambda subscription: self.hub.refill(subscription),
            limits=self.limits,
        )
        self.hub = Hub({"pg": self.feed}, {"pg": self.reader}, self.limits, metrics)
        self._tx = 0

    async def __aenter__(self) -> World:
        self.writer = await self.log.writer()
        await self.writer.append(Batch([], Position(EPOCH, 0), 0))
        self._task = asyncio.create_task(self.hub.run())
        await self.feed.boundary()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})
        await self.log.close()

    async def commit(
        self,
        *changes: tuple[Any, ...],
        resets: tuple[Reset, ...] = (),
        seen: bool = True,
        beside: tuple[Row, ...] = (),
    ) -> int:
        """One transaction into the log (and into the reader's table, if `seen`): changes are (op, before, after);
        beside: rows that it puts into `others` after them."""
        self._tx += 1
        records = [
            event(op, self._tx, place + 1, before=before, after=after)
            for place, (op, before, after) in enumerate(changes)
        ]
        records += [
            event("c", self._tx, place, after=row, collection="others")
            for place, row in enumerate(beside, len(records) + 1)
        ]
        for op, before, after in changes if seen else ():
            if op == "t":
                self.reader.rows.clear()
            if before is not None:
                self.reader.rows.pop(before["id"], None)
            if after is not None:
                self.reader.rows[after["id"]] = after
        order = 100 * self._tx + 50
        self.reader.order = max(self.reader.order, order)
        await self.writer.append(Batch(records, Position(EPOCH, order), 0, resets))
        return self._tx

    def connect(
        self,
        cursor: str | None = None,
        view: View = WHOLE,
        order: Order | None = None,
        collection: str = "todos",
        aggregation: Aggregation | None = None,
        coalesces: bool = False,
        outbox: FakeOutbox | WiredOutbox | None = None,
        **wheres: object,
    ) -> Client:
        """A connection with one subscription for each keyword: id=where."""
        client = Client(self, outbox or FakeOutbox(self.tick), coalesces=coalesces)
        for id_, where in wheres.items():
            query = self.feed.intern(collection, parse_where(where), view, order, aggregation)
            client.connection.subscriptions[id_] = Subscription(
                id_, query, client.connection, skip_initial=False, limits=self.limits
            )
        given = None if cursor is None else parse_cursor(cursor) or Cursor()
        self.hub.start(client.connection, list(client.connection.subscriptions.values()), given)
        return client


class Client:
    """What a client sees: `frames` are (event, data, cursor or None); `rows` what applying them gives."""

    def __init__(self, world: World, outbox: FakeOutbox | WiredOutbox, *, coalesces: bool = False) -> None:
        self._world = world
        self.outbox: Any = outbox
        self.connection = Connection(
            self.outbox,
            {"pg": world.feed},
            world.metrics,
            coalesces=coalesces,
            on_behind=world.hub.catch_up,
        )

    @property
    def frames(self) -> list[tuple[str, Any, str | None]]:
        out = []
        for block in self.outbox.sent.decode().split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            out.append((fields["event"], json.loads(fields["data"]), fields.get("id")))
        return out

    @property
    def events(self) -> list[str]:
        return [event for event, _, _ in self.frames]

    @property
    def cursor(self) -> str:
        return [cursor for _, _, cursor in self.frames if cursor is not None][-1]

    def rows(self, id_: str = "q", rows: dict[str, Row] | None = None) -> dict[str, Row]:
        """The result of applying all frames, checking that each change fits what was there."""
        rows = dict(rows or {})
        for kind, data, _ in self.frames:
            if data.get("id") != id_:
                continue
            if kind == "reset":
                rows.clear()
            elif kind == "initial":
                rows |= {json.dumps({"id": doc["id"]}): doc for doc in data["docs"]}
            elif kind == "diff":
                for change in data["changes"]:
                    key = json.dumps(change["find"])
                    assert (key in rows) == (change["type"] != "insert"), (change, rows)
                    if change["type"] == "delete":
                        del rows[key]
                    else:
                        rows[key] = change["doc"]
        return rows

    async def until(self, count: int, event: str) -> None:
        """Wait until so many events of a kind were sent."""
        async with asyncio.timeout(5):
            while self.events.count(event) < count:
                await asyncio.sleep(0.001)

    def close(self) -> None:
        self._world.hub.stop(self.connection)
