"""The demo on MongoDB."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TypeAlias

from bson.objectid import ObjectId
from pymongo import AsyncMongoClient
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import ConnectionFailure, PyMongoError

from broadcaster.demo.database import DemoDatabaseDown, DemoDatabaseRefuses, Id, Play, Todo
from broadcaster.demo.mongo import EmbeddedMongo
from broadcaster.demo.todos import DATABASE, FIRST

Client: TypeAlias = AsyncMongoClient[dict[str, Any]]

_SELECTION_MS: Final = 2_000


class MongoTodos:
    """A `demo.database.Todos`."""

    def __init__(self, session: AsyncClientSession) -> None:
        self._session = session
        self._todos = session.client[DATABASE]["todos"]

    async def insert(self, title: str, priority: int, owner: str) -> Id:
        """See `Todos`."""
        document = _document(title, False, priority, owner)
        await self._todos.insert_one(document, session=self._session)
        return str(document["_id"])

    async def update(self, ids: Sequence[Id], values: dict[str, Any]) -> int:
        """See `Todos`."""
        updated = await self._todos.update_many(_among(ids), {"$set": values}, session=self._session)
        return updated.matched_count

    async def delete(self, ids: Sequence[Id]) -> int:
        """See `Todos`."""
        return (await self._todos.delete_many(_among(ids), session=self._session)).deleted_count

    async def all(self) -> list[Todo]:
        """See `Todos`."""
        found = self._todos.find({}, {"done": True}, session=self._session)
        return [Todo(str(document["_id"]), bool(document.get("done"))) async for document in found]

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """See `Todos`."""
        async with await self._session.start_transaction():
            yield


class MongoTable:
    """A `demo.database.DemoTable`."""

    key_pattern: Final = "[0-9a-f]{24}"

    def __init__(self, url: str) -> None:
        self._client: Client = AsyncMongoClient(
            url,
            appname="livetail demo page",
            serverSelectionTimeoutMS=_SELECTION_MS,
            serverMonitoringMode="poll",  # no second connection, whose set-up a quick close would leak
        )

    def key(self, text: str) -> Id:
        """See `DemoTable`."""
        return text

    async def prepare(self) -> None:
        """See `DemoTable`."""
        todos = self._client[DATABASE]["todos"]
        if await todos.find_one() is None:
            await todos.insert_many([_document(*first) for first in FIRST])

    def connection(self) -> AbstractAsyncContextManager[MongoTodos]:
        """See `DemoTable`."""
        return self._connection()

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[MongoTodos]:
        try:
            async with self._client.start_session() as session:
                yield MongoTodos(session)
        except ConnectionFailure as error:
            raise DemoDatabaseDown("the demo's MongoDB does not answer") from error
        except PyMongoError as error:
            raise DemoDatabaseRefuses(f"MongoDB refuses: {error}") from error

    async def close(self) -> None:
        """See `DemoTable`."""
        await self._client.close()


class MongoDemo:
    """A `demo.database.DemoDatabase` in a folder."""

    alias: Final = "mongo"
    key: Final = "_id"
    noun: Final = "collection"
    product: Final = "MongoDB"

    def __init__(self, folder: Path) -> None:
        self._server = EmbeddedMongo(folder / "mongo")
        self.version = self._server.version
        self.data_dir = self._server.data_dir
        self.start = self._server.start
        self.stop = self._server.stop

    @property
    def port(self) -> int:
        """See `DemoDatabase`."""
        return self._server.port

    @property
    def url(self) -> str:
        """See `DemoDatabase`."""
        return self._server.url_for(DATABASE)

    def table(self) -> MongoTable:
        """See `DemoDatabase`."""
        return MongoTable(self.url)

    def play(self) -> Play:
        """See `DemoDatabase`. Python, since the driver is here for certain, and MongoDB's own shell is not."""
        code = f'import pymongo; todos = pymongo.MongoClient("{self.url}").{DATABASE}.todos'
        examples = (
            'todos.update_many({"done": False}, {"$set": {"priority": 4}})',
            "todos.delete_many({})",
        )
        return Play(shlex.join([sys.executable, "-i", "-c", code]), "Python", examples)


def _document(title: str, done: bool, priority: int, owner: str) -> dict[str, Any]:
    return {
        "_id": ObjectId(),
        "title": title,
        "done": done,
        "priority": priority,
        "owner": owner,
        "created_at": datetime.now(UTC),
    }


def _among(ids: Sequence[Id]) -> dict[str, Any]:
    return {"_id": {"$in": [ObjectId(str(each)) for each in ids]}}
