"""Connections that are told the same: what they get is made once, and written to each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

from broadcaster.metrics import Metrics
from broadcaster.outbox import Tick
from broadcaster.outcome import Outcome
from broadcaster.sse import chunked, cursor_text, frames

if TYPE_CHECKING:
    import asyncio

    from broadcaster.connection import Connection, Place
    from broadcaster.livequery import LiveQuery

Key: TypeAlias = "tuple[bytes, bool, bool, tuple[tuple[bytes, LiveQuery], ...]]"
"""What members have in common: their cursor but for its offsets; whether their responses are chunked; whether they
coalesce; their live queries, each with the id that they gave it, as JSON."""


class Audience:
    """Connections with the same live queries under the same ids, which were told everything and have read it.

    While a connection is a member it is told nothing by itself; before that it leaves (`Connection.leave`), with what
    the audience has for it and did not send yet. Its subscriptions do not stand in `LiveQuery.subscriptions` meanwhile.

    places: for each database of the live queries, where its feed stands; in the cursor's order. size: bytes that wait
    for the end of the loop's tick.
    """

    __slots__ = ("_events", "_ids", "_members", "_metrics", "_payloads", "_places", "_tick", "key", "size")

    def __init__(self, key: Key, places: Sequence[Place], tick: Tick, metrics: Metrics) -> None:
        self.key = key
        self.size = 0
        self._places = places
        self._tick = tick
        self._metrics = metrics
        self._ids: dict[LiveQuery, list[bytes]] = {}
        for id_json, query in key[3]:
            self._ids.setdefault(query, []).append(id_json)
        self._members: dict[Connection, asyncio.Transport] = {}
        self._events: list[tuple[bytes, bytes]] = []
        self._payloads: list[bytes] = []

    @property
    def is_to_defer(self) -> bool:
        """Whether its members want fewer and larger frames, now that so much waits."""
        return self.key[2] and self.size > next(iter(self._members)).slow_bytes

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits to be sent, so that one may join who was told everything."""
        return not (self._events or self._payloads)

    def subscribers(self, query: LiveQuery) -> int:
        """How many subscriptions of its members this live query has."""
        return len(self._ids[query]) * len(self._members)

    def join(self, connection: Connection) -> None:
        """Tell this connection, too, from here on. The audience is idle, and so is the connection."""
        if not self._members:
            for query in self._ids:
                query.audiences[self.key] = self
        self._members[connection] = connection.outbox.transport

    def leave(self, connection: Connection) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
        """Tell this one no more. Returns what it was not sent yet: the events of the open transaction, and payloads."""
        del self._members[connection]
        left = self._events.copy(), self._payloads.copy()
        if not self._members:
            self._events.clear()
            self._payloads.clear()
            self.size = 0
            for query in self._ids:
                del query.audiences[self.key]
        return left

    def disperse(self) -> None:
        """Have all members leave."""
        for connection in list(self._members):
            connection.leave()

    def tell(self, query: LiveQuery, outcome: Outcome) -> None:
        """Queue what a transaction did to this live query; nothing is sent before its `end`."""
        for id_json in self._ids[query]:
            self._events.append((b"diff", b'{"id":%b,%b' % (id_json, outcome.suffix)))

    def end(self) -> None:
        """A transaction was told: send it at the end of the loop's tick; the last event carries the cursor."""
        if not self._events:  # they left in the midst of it
            return
        self._metrics.frames(self._events, len(self._members))
        payload = frames(self._events, cursor_text(self.key[0], [place.place for place in self._places]))
        self._events.clear()
        if not self._payloads:
            self._tick.add(self._flush)
        self._payloads.append(payload)
        self.size += len(payload)

    def _flush(self) -> None:
        payload = b"".join(self._payloads)
        if not payload:
            return
        self._payloads.clear()
        self.size = 0
        if self.key[1]:
            payload = chunked(payload)
        left: list[Connection] = []
        for connection, transport in self._members.items():
            try:
                if transport.is_closing():
                    left.append(connection)
                    continue
                transport.write(payload)
                if transport.get_write_buffer_size():
                    left.append(connection)
            except Exception:
                connection.outbox.give_up()
                left.append(connection)
        for connection in left:
            connection.leave()
            connection.outbox.check()
