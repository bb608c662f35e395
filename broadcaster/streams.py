"""The streams that are open: each from the head of its response until either side closes it.

An HTTP server's state of a request, with its parser and its tasks, is several times what a stream needs. So aiohttp
reads the request and writes the response's head; then the transport is the outbox's, and aiohttp lets go of it.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from broadcaster.access import Access, Grants
from broadcaster.admission import Admitted
from broadcaster.connection import Connection
from broadcaster.errors import RequestError
from broadcaster.heartbeats import Heartbeat, Heartbeats
from broadcaster.hub import Hub
from broadcaster.identity import Identity
from broadcaster.metrics import Metrics
from broadcaster.outbox import Outbox, Tick
from broadcaster.sse import Cursor, retry
from broadcaster.subscription import Subscription
from cdc.config import Realtime

log = logging.getLogger(__name__)

_RETRY_MS: Final = (1_000, 4_000)
_CLOSE_SECONDS: Final = 2.0
_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "private, no-cache, no-store, no-transform",
    "X-Accel-Buffering": "no",
}


@dataclass(frozen=True, slots=True)
class _Stream:
    """recheck: asks again what the client may read, None where that cannot change."""

    connection: Connection
    admitted: Admitted
    heartbeat: Heartbeat
    recheck: asyncio.Task[None] | None


class Streams:
    """Opens streams, and ends them."""

    def __init__(self, hub: Hub, access: Access, metrics: Metrics, realtime: Realtime) -> None:
        self._hub = hub
        self._access = access
        self._metrics = metrics
        self._limits = realtime.limits
        self._tick = Tick()
        self._heartbeats = Heartbeats(realtime.heartbeat, Connection.progress, self._expired)
        self._streams: dict[Outbox, _Stream] = {}
        self._none_left = asyncio.Event()

    @property
    def connections(self) -> list[Connection]:
        """Those that are open."""
        return [stream.connection for stream in self._streams.values()]

    async def open(
        self,
        request: web.Request,
        granted: Grants,
        cursor: Cursor | None,
        identity: Identity | None,
        admitted: Admitted,
        *,
        coalesce: bool,
        headers: Mapping[str, str],
    ) -> web.StreamResponse:
        """Answer with the stream of live queries that the client may have. headers: more of the response's."""
        response = web.StreamResponse(headers={**_HEADERS, **headers})
        response.force_close()  # the connection ends with the stream
        is_chunked = request.version >= (1, 1)
        if is_chunked:
            response.enable_chunked_encoding()
        try:
            await response.prepare(request)
            await response.write(retry(random.randint(*_RETRY_MS)))
        except ConnectionResetError:  # the client has gone meanwhile
            return response
        transport = request.transport
        if transport is None or transport.is_closing():
            return response
        outbox = Outbox(
            transport,
            tick=self._tick,
            is_chunked=is_chunked,
            limit=self._limits.unsent_bytes,
            on_evict=self._evicted,
            on_lost=self._lost,
        )
        connection = self._connection(outbox, granted, coalesce=coalesce)
        changing = [(one, grant) for one, grant in granted if self._access.asks_others(one)]
        _let_go(request)
        transport.set_protocol(outbox)
        admitted.stay()
        self._streams[outbox] = _Stream(
            connection,
            admitted,
            self._heartbeats.add(connection, float("inf") if identity is None else identity.expires),
            asyncio.create_task(self._recheck(connection, changing, identity)) if changing else None,
        )
        self._none_left.clear()
        self._metrics.connections.set(len(self._streams))
        self._hub.start(connection, list(connection.subscriptions.values()), cursor)
        return response

    def _connection(self, outbox: Outbox, granted: Grants, *, coalesce: bool) -> Connection:
        connection = Connection(
            outbox,
            {one.database: self._hub.feeds[one.database] for one, _ in granted},
            self._metrics,
            coalesces=coalesce,
            on_behind=self._hub.catch_up,
        )
        for one, (node, view) in granted:
            connection.subscriptions[one.id] = Subscription(
                one.id,
                self._hub.feeds[one.database].intern(one.collection, node, view, one.order, one.aggregation),
                connection,
                skip_initial=one.skip_initial,
                limits=self._limits,
            )
        return connection

    def _lost(self, outbox: Outbox) -> None:
        """The transport is closed."""
        stream = self._streams.pop(outbox)
        self._hub.stop(stream.connection)
        self._heartbeats.remove(stream.heartbeat)
        if stream.recheck is not None:
            stream.recheck.cancel()
        stream.admitted.leave()
        self._metrics.connections.set(len(self._streams))
        if not self._streams:
            self._none_left.set()

    def _expired(self, connection: Connection) -> None:
        message = "the token has expired; reconnect with a fresh one"
        connection.error(None, RequestError("token_expired", message))
        connection.close()

    async def _recheck(self, connection: Connection, granted: Grants, identity: Identity | None) -> None:
        """End the stream once a client may read something else than when it came: it reconnects to what it may."""
        try:
            one, error = await self._access.until_changed(granted, identity)
            connection.error(connection.subscriptions[one.id], error)
        except Exception:
            log.exception("what a client may read cannot be found out; its connection is closed")
            connection.error(None, RequestError("internal", "the server made a mistake; reconnect"))
        connection.close()

    def _evicted(self) -> None:
        self._metrics.evictions.labels("slow_reader").inc()

    async def close(self) -> None:
        """End all streams; those of readers too slow for that are cut off."""
        for connection in self.connections:
            connection.close()
        if self._streams:
            try:
                async with asyncio.timeout(_CLOSE_SECONDS):
                    await self._none_left.wait()
            except TimeoutError:
                for outbox in list(self._streams):
                    outbox.abort()
                await self._none_left.wait()


def _let_go(request: web.Request) -> None:
    """Make aiohttp forget the request's transport.

    To aiohttp the connection is lost, which it has to take at any time: it cancels the request's tasks, and would close
    the transport if it still had one.
    """
    protocol, transport = request.protocol, request.transport
    assert transport is not None
    protocol.transport = None
    protocol.connection_lost(None)
    transport.resume_reading()  # which it may have paused, and without which nobody sees the client leave
