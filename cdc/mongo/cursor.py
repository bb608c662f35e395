"""A database's change stream as a cursor of its own: aggregate, then getMore after getMore.

Beside pymongo's own there are two reasons for it: the replies stay bytes, since their documents become JSON and nothing
else, and the next batch can be on its way while one is decoded.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.asynchronous.client_session import AsyncClientSession

from cdc.mongo.connect import Client
from cdc.mongo.decode import resume_token_of
from cdc.mongo.reply import Reply, read_reply
from cdc.mongo.target import Target

Command: TypeAlias = dict[str, Any]

BATCH_EVENTS: Final = 1_000
_RAW: Final = CodecOptions(document_class=RawBSONDocument)
_COLLECTION: Final = "$cmd.aggregate"  # where cursors of a whole database are


class Cursor:
    """An open change stream. Not to be used by two tasks at once.

    A reply is waited for to the end: a command that is cancelled costs the connection.
    """

    def __init__(self, client: Client, target: Target, *, split: bool) -> None:
        """split: whether the server can (and so shall) split events that are too large for a message."""
        self._client = client
        self._target = target
        self._split = split
        self._session: AsyncClientSession = client.start_session(causal_consistency=False)
        self._number = 0

    async def open(self, token: str | None) -> Reply:
        """Begin behind `token`, or now. The reply holds no events, but the place where the stream begins.

        What the server's own filter passes are events of the live collections and those that end a collection's life.
        Raises PyMongoError.
        """
        stage: Command = {"fullDocument": "whenAvailable", "fullDocumentBeforeChange": "whenAvailable"}
        if token is not None:
            stage["startAfter"] = resume_token_of(token)  # unlike resumeAfter it gets past an invalidate
        names = {"$in": list(self._target.collections)}
        ends = {"$in": ["dropDatabase", "invalidate"]}
        match = {"$or": [{"ns.coll": names}, {"to.coll": names}, {"operationType": ends}]}
        pipeline: list[Command] = [{"$changeStream": stage}, {"$match": match}]
        if self._split:
            pipeline.append({"$changeStreamSplitLargeEvent": {}})  # must be the last
        reply = await self._run({"aggregate": 1, "pipeline": pipeline, "cursor": {"batchSize": 0}})
        self._number = reply.cursor
        return reply

    def again(self) -> Cursor:
        """Another like it, to be opened."""
        return Cursor(self._client, self._target, split=self._split)

    async def more(self, await_ms: int) -> Reply:
        """The next batch; without events if none came up within about `await_ms`. Raises PyMongoError."""
        command = {
            "getMore": self._number,
            "collection": _COLLECTION,
            "batchSize": BATCH_EVENTS,
            "maxTimeMS": await_ms,
        }
        reply = await self._run(command)
        self._number = reply.cursor
        return reply

    async def close(self) -> None:
        """Let the server forget it. Raises PyMongoError if the server is not there to do so."""
        try:
            if self._number:
                await self._send({"killCursors": _COLLECTION, "cursors": [self._number]})
        finally:
            await self._session.end_session()

    async def _run(self, command: Command) -> Reply:
        return read_reply(bytes((await self._send(command)).raw))

    async def _send(self, command: Command) -> RawBSONDocument:
        database = self._client[self._target.database]
        return await database.command(command, codec_options=_RAW, session=self._session)
