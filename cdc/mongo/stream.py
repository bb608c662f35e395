"""Follows a database's change stream: the next batch is on its way while this one is decoded.

Where nothing happens a poll returns after `AWAIT_MS`, and with it the place up to which nothing happened.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import pymongo
from pymongo.errors import PyMongoError

from cdc.errors import LivetailError
from cdc.event import Batch, Position
from cdc.mongo.assemble import BATCH_BYTES, Assembler
from cdc.mongo.connect import Client, explain, force_progress
from cdc.mongo.cursor import Cursor
from cdc.mongo.decode import Decoder
from cdc.mongo.reply import Reply
from cdc.mongo.single import event_reader
from cdc.mongo.target import Target

AWAIT_MS: Final = (
    25  # a new live query on an idle server waits for half of it; 10 would double what idling costs
)
MAX_PENDING: Final = (
    8 << 20
)  # bytes not taken beyond which reading stops; one batch, 16 MiB at most, is on its way then
_BUSY_MS: Final = (
    1  # behind events: whether a transaction ends there is told by what follows, or that nothing does
)
_TURN_S: Final = 0.001  # of decoding, then the loop gets its turn
_EVENTS_AT_ONCE: Final = 64
_CLOSE_S: Final = 0.3


class MongoStream:
    """A `cdc.tailer.Stream` on an open cursor; it closes `client` too.

    images_missing: called when an event shows that a collection keeps no images.
    """

    def __init__(
        self,
        client: Client,
        target: Target,
        cursor: Cursor,
        assembler: Assembler,
        images_missing: Callable[[], None],
    ) -> None:
        self._client = client
        self._target = target
        self._cursor = cursor
        self._assembler = assembler
        self._images_missing = images_missing
        self._decoder = Decoder(target.collections)
        self._reader = event_reader(target.collections, assembler.source)
        self._failure: LivetailError | None = None
        self._closing = False
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def take(self) -> Batch:
        """See `cdc.tailer.Stream`."""
        while True:
            self._changed.clear()
            batch = self._assembler.take()
            if batch is not None:
                if self._assembler.pending <= MAX_PENDING:
                    self._room.set()
                return batch
            if self._failure is not None:
                raise self._failure
            await self._changed.wait()

    def confirm(self, position: Position) -> None:
        """See `cdc.tailer.Stream`; the oplog is trimmed whoever reads it."""

    def fail(self, failure: LivetailError) -> None:
        """End the stream, once what is pending was taken."""
        self._failure = self._failure or failure
        self._changed.set()

    async def close(self) -> None:
        """See `cdc.tailer.Stream`."""
        self._closing = True
        self._room.set()
        await asyncio.wait([self._reading], timeout=_CLOSE_S)
        self._reading.cancel()
        await asyncio.wait([self._reading], timeout=_CLOSE_S)
        await self._within(self._cursor.close())
        await self._within(self._client.close())

    async def _within(self, work: Awaitable[None]) -> None:
        """Do this within a moment, whether or not the server is still there; cancelled it would be left half done."""
        with suppress(PyMongoError), pymongo.timeout(_CLOSE_S):
            await work

    async def _read(self) -> None:
        try:
            await self._follow()
        except PyMongoError as error:
            self.fail(explain(self._target, error))
        except LivetailError as error:
            self.fail(error)

    async def _follow(self) -> None:
        coming = self._ahead(AWAIT_MS)
        try:
            while not self._closing:
                reply = await coming
                if reply.cursor:
                    coming = self._ahead(_BUSY_MS if reply.events else AWAIT_MS)
                await self._add(reply)
                if not reply.cursor:  # the database was dropped
                    await self._cursor.close()
                    self._cursor = self._cursor.again()
                    await self._cursor.open(reply.token)
                    coming = self._ahead(AWAIT_MS)
        finally:
            coming.cancel()
            await asyncio.wait([coming])

    def _ahead(self, await_ms: int) -> asyncio.Task[Reply]:
        """The next batch, asked for now; its failure is for whoever awaits it."""
        coming = asyncio.create_task(self._cursor.more(await_ms))
        coming.add_done_callback(lambda done: done.cancelled() or done.exception())
        return coming

    async def _add(self, reply: Reply) -> None:
        """Decode a batch, in small portions: the loop has other work."""
        assembler = self._assembler
        at = 0
        while at < len(reply.events):
            while assembler.pending > MAX_PENDING and not self._closing:
                self._room.clear()
                await self._room.wait()
            at = self._turn(reply, at)
            self._changed.set()
            await asyncio.sleep(0)
        if not reply.events:
            assembler.idle(reply.token, now_ms())
            self._changed.set()
            if assembler.in_transaction:
                await force_progress(self._client, self._target)

    def _turn(self, reply: Reply, at: int) -> int:
        """Decode a batch from event `at` on, as far as a turn goes; where to go on."""
        assembler, decoder, reader = self._assembler, self._decoder, self._reader
        now, ends_at = now_ms(), time.monotonic() + _TURN_S
        while True:
            end = min(at + _EVENTS_AT_ONCE, len(reply.events))
            run = None if decoder.in_event else reader.read(reply, at, end, BATCH_BYTES, now, assembler.open)
            if run is not None:
                at += len(run.records)
                assembler.add_run(run, now)
            else:
                change = decoder.decode(reply.raw, reply.text, reply.events[at])
                at += 1
                if change is not None:
                    assembler.add(change, now)
                    if change.images_missing:
                        self._images_missing()
            if at == len(reply.events) or assembler.pending > MAX_PENDING or time.monotonic() >= ends_at:
                return at


def now_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000
