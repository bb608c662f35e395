"""Follows a database's change stream.

A pending `try_next` is never cancelled but at the very end: that closes the stream without a word. Where nothing
happens it returns after `AWAIT_MS`, and with it the place up to which nothing happened.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from pymongo.asynchronous.change_stream import AsyncDatabaseChangeStream
from pymongo.errors import PyMongoError

from cdc.errors import LivetailError, ProtocolError
from cdc.event import Batch, Position
from cdc.mongo.assemble import Assembler
from cdc.mongo.connect import Client, database_of, explain, force_progress
from cdc.mongo.decode import decode, resume_token_of, token_of
from cdc.mongo.target import Target

AWAIT_MS: Final = 50
MAX_PENDING: Final = 8 << 20  # bytes not taken beyond which reading stops
_BATCH_EVENTS: Final = 1_000
_EVENTS_PER_TURN: Final = 64  # about 1 ms of decoding, then the loop gets its turn
_CLOSE_S: Final = 0.3

Watching: TypeAlias = AsyncDatabaseChangeStream[dict[str, Any]]


async def watch(client: Client, target: Target, token: str | None) -> Watching:
    """Open the change stream behind `token`, or now. Raises PyMongoError.

    What the server's own filter passes are events of the live collections and those that end a collection's life.
    """
    names = {"$in": list(target.collections)}
    ends = {"$in": ["dropDatabase", "invalidate"]}
    match = {"$or": [{"ns.coll": names}, {"to.coll": names}, {"operationType": ends}]}
    return await database_of(client, target).watch(
        [{"$match": match}],
        full_document="whenAvailable",
        full_document_before_change="whenAvailable",
        start_after=None
        if token is None
        else resume_token_of(token),  # unlike resumeAfter it gets past an invalidate
        max_await_time_ms=AWAIT_MS,
        batch_size=_BATCH_EVENTS,
    )


class MongoStream:
    """A `cdc.tailer.Stream` on an open change stream; it closes `client` too.

    images_missing: called when an event shows that a collection keeps no images.
    """

    def __init__(
        self,
        client: Client,
        target: Target,
        watching: Watching,
        assembler: Assembler,
        images_missing: Callable[[], None],
    ) -> None:
        self._client = client
        self._target = target
        self._watching = watching
        self._assembler = assembler
        self._images_missing = images_missing
        self._collections = frozenset(target.collections)
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
        await self._within(self._watching.close())
        await self._within(self._client.close())

    async def _within(self, work: Awaitable[None]) -> None:
        """Do this within a moment, whether or not the server is still there."""
        try:
            async with asyncio.timeout(_CLOSE_S):
                await work
        except (TimeoutError, PyMongoError):
            pass

    async def _read(self) -> None:
        try:
            await self._follow()
        except PyMongoError as error:
            self.fail(explain(self._target, error))
        except LivetailError as error:
            self.fail(error)

    async def _follow(self) -> None:
        count = 0
        while not self._closing:
            if self._assembler.pending > MAX_PENDING:
                self._room.clear()
                await self._room.wait()
                continue
            event = await self._watching.try_next()
            if event is None:
                await self._idle()
            else:
                change = decode(event, self._collections)
                self._assembler.add(change, now_ms())
                if change.images_missing:
                    self._images_missing()
                count += 1
                if count % _EVENTS_PER_TURN == 0:
                    await asyncio.sleep(0)
            self._changed.set()

    async def _idle(self) -> None:
        token = self._watching.resume_token
        if token is None:
            raise ProtocolError(f"{self._target.alias}: the change stream has no resume token")
        self._assembler.idle(token_of(token), now_ms())
        if not self._watching.alive:  # the database was dropped
            await self._watching.close()
            self._watching = await watch(self._client, self._target, token_of(token))
        elif self._assembler.in_transaction:
            await force_progress(self._client, self._target)


def now_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000
