"""Reads MongoDB's collections in chunks by `_id`. See `cdc.snapshot.reader`."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

import bson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.raw_bson import RawBSONDocument
from pymongo.errors import NotPrimaryError, PyMongoError

from cdc import VERSION
from cdc.mongo.connect import Client, cancellable, connect, explain, force_progress, reason
from cdc.mongo.decode import order_of
from cdc.mongo.setup import epoch_of
from cdc.mongo.target import Target
from cdc.mongo.values import encode_document
from cdc.snapshot.reader import ChunkRead, Row

if TYPE_CHECKING:
    from pymongo.asynchronous.command_cursor import AsyncCommandCursor

_FETCH_ROWS: Final = 200
_MOST_ROWS: Final = 10_000
_LONGEST_MS: Final = 60_000
_RAW: Final = CodecOptions(document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_MS)
_log = logging.getLogger(__name__)


class MongoChunks:
    """A `ChunkReader` on a client of its own, which connects at the first read. `after`: a document with the `_id`
    alone, as BSON in base64."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._client: Client | None = None

    @cancellable
    async def read(self, collection: str, after: str | None, max_bytes: int) -> ChunkRead:
        """See `ChunkReader`. Everything is as of one cluster time, which a majority has: what committed up to then is
        seen, and nothing later."""
        try:
            client = self._connected()
            epoch = await epoch_of(client)
            time = (await client.admin.command("ping")).get("operationTime")
            if time is None:  # with authentication on, it comes signed, and the keys are not there at once
                raise NotPrimaryError("the server has only just started and tells no time yet")
            rows, last, done = await self._fetch(client, collection, after, max_bytes, time)
        except PyMongoError as error:
            raise explain(self._target, error) from error
        order = order_of(time)
        source = {
            "version": VERSION,
            "connector": "mongodb",
            "name": f"{self._target.project}.{self._target.alias}",
            "snapshot": "true",
            "db": self._target.database,
            "collection": collection,
        }
        return ChunkRead(rows, last, done, epoch, order + 1, _shows(order), source)

    @cancellable
    async def nudge(self) -> None:
        """See `ChunkReader`."""
        try:
            await force_progress(self._connected(), self._target)
        except PyMongoError as error:
            _log.debug("%s: nudge failed: %s", self._target.alias, reason(error))

    async def close(self) -> None:
        """See `ChunkReader`."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _connected(self) -> Client:
        if self._client is None:
            self._client = connect(self._target.conn)
        return self._client

    async def _fetch(
        self, client: Client, collection: str, after: str | None, max_bytes: int, time: Any
    ) -> tuple[list[Row], str | None, bool]:
        """(documents, the last one's `_id`, whether there are no more). `$gt` in an expression compares with `_id`s of
        all types, which in a filter it does not."""
        beyond = {} if after is None else {"$expr": {"$gt": ["$_id", {"$literal": _id_of(after)}]}}
        found = await client[self._target.database].cursor_command(
            "find",
            collection,
            filter=beyond,
            sort={"_id": 1},
            limit=_MOST_ROWS + 1,
            collation={"locale": "simple"},
            batchSize=_FETCH_ROWS,
            readConcern={"level": "snapshot", "atClusterTime": time},
            maxTimeMS=_LONGEST_MS,
            codec_options=_RAW,
        )
        cursor = cast("AsyncCommandCursor[RawBSONDocument]", found)  # pymongo's types forget the options
        rows: list[Row] = []
        last, size = after, 0
        try:
            async for document in cursor:
                if len(rows) == _MOST_ROWS or (rows and size >= max_bytes):
                    return rows, last, False
                row = encode_document(bytes(document.raw))
                rows.append((row.key, row.json, row.types or None))
                size += len(row.json)
                last = base64.b64encode(bson.encode({"_id": document["_id"]}, codec_options=_RAW)).decode()
        finally:
            await cursor.close()
        return rows, last, True


def _id_of(after: str) -> Any:
    return bson.decode(base64.b64decode(after), codec_options=_RAW)["_id"]


def _shows(time: int) -> Callable[[str], bool]:
    """A transaction's id is its cluster time."""
    return lambda transaction: int(transaction) <= time
