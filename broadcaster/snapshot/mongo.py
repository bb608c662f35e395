"""Initial results from MongoDB: the pushed-down query at one cluster time, filtered by the evaluator."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.errors import NotPrimaryError, OperationFailure, PyMongoError

from broadcaster.errors import RequestError
from broadcaster.livequery import LiveQuery
from broadcaster.snapshot.gathering import Gathering, wanted
from broadcaster.snapshot.mongo_order import WHOLE, Read, reads
from broadcaster.snapshot.mongo_query import projection, push_down
from broadcaster.snapshot.reader import Snapshot
from cdc.mongo.connect import Client, cancellable, connect, force_progress, reason
from cdc.mongo.decode import order_of
from cdc.mongo.setup import epoch_of
from cdc.mongo.target import Target
from cdc.mongo.values import encode_document

if TYPE_CHECKING:
    from pymongo.asynchronous.command_cursor import AsyncCommandCursor

log = logging.getLogger(__name__)

_FETCH_ROWS: Final = 1_000
_MORE: Final = 8
_LONGEST_MS: Final = 60_000
_CHANGED: Final = frozenset(
    {239, 246}
)  # SnapshotTooOld, SnapshotUnavailable: worth another try at a newer time
_KEY: Final = ("_id",)
_RAW: Final = CodecOptions(document_class=RawBSONDocument)


class MongoReader:
    """Reads through a client of its own, which connects at the first read."""

    def __init__(self, target: Target) -> None:
        """Raises ConfigError if the connection string is none."""
        self._target = target
        self._client: Client | None = None
        self._complaint = ""

    @cancellable
    async def read(self, query: LiveQuery, max_rows: int, max_bytes: int) -> Snapshot:
        """See `SnapshotReader.read`. Everything is as of one cluster time, which a majority has: what committed up to
        then is seen, and nothing later. So the events of the stream beyond it are those that are not shown."""
        try:
            client = self._connected()
            epoch = await epoch_of(client)
            time = await self._now(client)
            gathered = Gathering(query, max_rows, max_bytes, rounded=True)
            first = wanted(query)
            for read in [WHOLE] if query.order is None or first is None else reads(query.order):
                limit = 0 if read.sort is None or first is None else _MORE * first
                while not await self._gather(client, query, read, limit, time, gathered):
                    limit *= _MORE
        except PyMongoError as error:
            raise self._unavailable(error) from error
        order = order_of(time)
        return gathered.snapshot(epoch, order + 1, _shows(order), _KEY)

    async def _gather(
        self, client: Client, query: LiveQuery, read: Read, limit: int, time: Any, gathered: Gathering
    ) -> bool:
        """Take what is read, as far as it is wanted; False if that is more than `limit` documents (0: any number)."""
        condition = push_down(query.node)
        ordered: dict[str, Any] = (
            {} if read.sort is None else {"sort": {read.field: read.sort}, "limit": limit}
        )
        found = await client[self._target.database].cursor_command(
            "find",
            query.collection,
            filter={"$and": [condition, read.filter]} if read.filter else condition,
            projection=projection(query.columns),
            **ordered,
            collation={"locale": "simple"},
            batchSize=_FETCH_ROWS,
            readConcern={"level": "snapshot", "atClusterTime": time},
            maxTimeMS=_LONGEST_MS,
            codec_options=_RAW,
        )
        cursor = cast("AsyncCommandCursor[RawBSONDocument]", found)  # pymongo's types forget the options
        count = 0
        try:
            async for doc in cursor:
                count += 1
                row = encode_document(bytes(doc.raw))
                if not gathered.take(row.key, row.json, row.types) and read.sort is not None:
                    return True
        finally:
            await cursor.close()
        return limit == 0 or count < limit

    @cancellable
    async def position(self) -> tuple[str, int]:
        """See `SnapshotReader.position`."""
        try:
            client = self._connected()
            return await epoch_of(client), order_of(await self._now(client)) + 1
        except PyMongoError as error:
            raise self._unavailable(error) from error

    @cancellable
    async def shows(self) -> Callable[[str], bool]:
        """See `SnapshotReader.shows`."""
        try:
            return _shows(order_of(await self._now(self._connected())))
        except PyMongoError as error:
            raise self._unavailable(error) from error

    @cancellable
    async def nudge(self) -> None:
        """See `SnapshotReader.nudge`. Failure is no matter: the join goes on waiting."""
        try:
            await force_progress(self._connected(), self._target)
        except PyMongoError as error:
            log.debug("%s: nudge failed: %s", self._target.alias, reason(error))

    async def close(self) -> None:
        """See `SnapshotReader.close`."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def _connected(self) -> Client:
        if self._client is None:
            self._client = connect(self._target.conn)
        return self._client

    async def _now(self, client: Client) -> Any:
        """The time of the newest write. Raises PyMongoError."""
        time = (await client.admin.command("ping")).get("operationTime")
        if time is None:  # with authentication on, it comes signed, and the keys are not there at once
            raise NotPrimaryError("the server has only just started and tells no time yet")
        return time

    def _unavailable(self, error: PyMongoError) -> RequestError:
        """For the client; why it is so, which may name hosts and users, is the operator's to know."""
        told = reason(error)
        changed = isinstance(error, OperationFailure) and error.code in _CHANGED
        if not changed and told != self._complaint:
            self._complaint = told
            log.error("%s: cannot be read: %s", self._target.alias, told)
        return RequestError("database_unavailable", f"`{self._target.alias}` cannot be read now")


def _shows(time: int) -> Callable[[str], bool]:
    """A transaction's id is its cluster time."""
    return lambda transaction: int(transaction) <= time
