"""The MongoDB source on a real server: the shared suite, then what is MongoDB's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from cdc.metrics import DatabaseMetrics
from cdc.mongo.source import MongoSource
from cdc.mongo.target import Target
from integration.conformance import Change, Conformance, Delete, Doc, Insert, Update
from servers.mongo import MongoDatabase


def stored(doc: Doc) -> Doc:
    """The suite's document as MongoDB has it."""
    return {"_id" if name == "id" else name: value for name, value in doc.items()}


class MongoDriver:
    """The suite's driver: a database with `items`, `others` and, not followed, `elsewhere`."""

    key_field = "_id"
    changes_keys = False
    truncates = False

    def __init__(self, client: AsyncMongoClient[Doc], database: MongoDatabase) -> None:
        self.client = client
        self.url = database.url
        self.db = client[database.name]

    def target(self, *collections: str, manage: bool = True) -> Target:
        return Target("todo-app", "db", self.url, manage, self.db.name, collections or ("items", "others"))

    def source(self, _: DatabaseMetrics) -> MongoSource:
        return MongoSource(self.target(), watch_every=0.2)

    def following(self, *collections: str, manage: bool = True) -> Callable[[DatabaseMetrics], MongoSource]:
        return lambda _: MongoSource(self.target(*collections, manage=manage), watch_every=0.2)

    async def transaction(self, *changes: Change, commit: bool = True) -> None:
        for change in changes:
            if change.collection not in await self.db.list_collection_names():
                await self.db.create_collection(change.collection)
        async with self.client.start_session() as session:
            await session.start_transaction()
            for change in changes:
                await self._apply(session, change)
            await (session.commit_transaction() if commit else session.abort_transaction())

    async def _apply(self, session: Any, change: Change) -> None:
        collection = self.db[change.collection]
        if isinstance(change, Insert):
            await collection.insert_many([stored(doc) for doc in change.docs], session=session)
        elif isinstance(change, Delete):
            await collection.delete_many({} if change.id is None else {"_id": change.id}, session=session)
        else:
            assert isinstance(change, Update)
            which = {"n": {"$gte": change.least}} if change.id is None else {"_id": change.id}
            await collection.update_many(which, {"$set": change.fields}, session=session)

    async def truncate(self, collection: str) -> None:
        raise NotImplementedError

    async def write_elsewhere(self) -> None:
        await self.db["elsewhere"].insert_one({})

    async def documents(self, collection: str) -> list[Doc]:
        found = await self.db[collection].find(sort=[("_id", 1)]).to_list()
        return [{"id": doc.pop("_id"), **doc} for doc in found]


@pytest.fixture
async def driver(mongo_db: MongoDatabase) -> AsyncIterator[MongoDriver]:
    async with AsyncMongoClient(mongo_db.url) as client:
        yield MongoDriver(client, mongo_db)


class TestMongo(Conformance):
    """The shared suite."""
