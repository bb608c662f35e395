"""From a document to a live query's client: everything in one process, on a real mongod."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from bson.objectid import ObjectId
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from servers.mongo import LEAKS, Mongod, MongoDatabase
from support.live import dev, until
from support.tail import eventually

pytestmark = LEAKS


@pytest.fixture
async def todos(mongo_db: MongoDatabase) -> AsyncIterator[Any]:
    async with AsyncMongoClient(mongo_db.url) as client:
        yield client[mongo_db.name]["todos"]


async def test_documents_enter_change_and_leave(mongo_db: MongoDatabase, todos: Any, tmp_path: Path) -> None:
    first = ObjectId()
    await todos.insert_one({"_id": first, "title": "a", "done": False})
    async with dev("mongo", mongo_db.url, tmp_path, "todos") as client:
        live = client.live_query("mongo", "todos", {"done": False})
        initial = await anext(live)
        assert (initial.type, initial.docs) == ("initial", [{"_id": str(first), "title": "a", "done": False}])
        await todos.insert_one({"_id": "own", "done": False})
        await todos.insert_one({"_id": 3, "done": True})
        await todos.update_one({"_id": 3}, {"$set": {"done": False}})
        await todos.update_one({"_id": "own"}, {"$set": {"title": "b"}})
        await todos.update_one({"_id": first}, {"$set": {"done": True}})
        await todos.delete_one({"_id": 3})
        changes = [await anext(live) for _ in range(5)]
        assert [(change.type, change.find["_id"]) for change in changes] == [
            ("insert", "own"),
            ("insert", 3),
            ("update", "own"),
            ("delete", str(first)),
            ("delete", 3),
        ]
        by_id = client.live_query("mongo", "todos", {"_id": str(first)})
        assert (await anext(by_id)).docs == [{"_id": str(first), "title": "a", "done": True}]


async def test_a_transaction_is_one_frame(mongo_db: MongoDatabase, todos: Any, tmp_path: Path) -> None:
    async with dev("mongo", mongo_db.url, tmp_path, "todos") as client:
        live = client.live_query("mongo", "todos")
        await anext(live)
        async with todos.database.client.start_session() as session, await session.start_transaction():
            await todos.insert_many([{"_id": number} for number in range(3)], session=session)
            await todos.update_many({}, {"$set": {"n": 1}}, session=session)
        changes = [await anext(live) for _ in range(6)]
        assert [len(change.docs) for change in changes] == [3] * 6


async def test_a_drop_starts_over(mongo_db: MongoDatabase, todos: Any, tmp_path: Path) -> None:
    async with dev("mongo", mongo_db.url, tmp_path, "todos") as client:
        await todos.insert_one({"_id": 1})
        live = client.live_query("mongo", "todos")
        await anext(live)
        await todos.drop()
        assert (await until(live, lambda docs: docs == []))[0] == "reset"
        await todos.insert_one({"_id": 2})
        await until(live, lambda docs: docs == [{"_id": 2}])
        await todos.database.client.drop_database(todos.database.name)
        await until(live, lambda docs: docs == [])
        await todos.insert_one({"_id": 3})
        await until(live, lambda docs: docs == [{"_id": 3}])


async def test_without_images_what_leaves_is_told_by_starting_over(
    mongo_db: MongoDatabase, todos: Any, tmp_path: Path
) -> None:
    await todos.insert_many([{"_id": number, "done": False} for number in (1, 2, 3)])
    async with dev("mongo", mongo_db.url, tmp_path, "todos", manage=False) as client:
        live = client.live_query("mongo", "todos", {"done": False})
        await until(live, lambda docs: len(docs) == 3)
        await todos.update_one({"_id": 1}, {"$set": {"done": True}})
        assert "reset" in await until(live, lambda docs: [doc["_id"] for doc in docs] == [2, 3])
        await todos.replace_one({"_id": 2}, {"done": True})
        assert "reset" in await until(live, lambda docs: [doc["_id"] for doc in docs] == [3])
        await todos.delete_one({"_id": 3})
        assert "reset" in await until(live, lambda docs: docs == [])
        await todos.update_one({"_id": 1}, {"$set": {"done": False}})
        await until(live, lambda docs: [doc["_id"] for doc in docs] == [1])
        await todos.insert_one({"_id": 4, "done": False})
        await until(live, lambda docs: [doc["_id"] for doc in docs] == [1, 4])
    assert "changeStreamPreAndPostImages" not in str(await todos.database.list_collections())


async def test_many_readers_join_while_it_is_written_to(
    mongo_db: MongoDatabase, todos: Any, tmp_path: Path
) -> None:
    """Snapshots and the stream meet, whatever is written meanwhile: each result ends as the database is."""
    chance = random.Random(3)

    async def write() -> None:
        for number in range(400):
            which = {"_id": chance.randint(0, 30)}
            if chance.random() < 0.3:
                await todos.delete_one(which)
            else:
                await todos.replace_one(which, {"n": number, "even": number % 2 == 0}, upsert=True)

    async with dev("mongo", mongo_db.url, tmp_path, "todos") as client:
        writing = asyncio.create_task(write())
        lives = []
        while not writing.done():
            lives.append(client.live_query("mongo", "todos", {"even": True}))
            await anext(lives[-1])
        await writing
        await todos.insert_one({"_id": "last", "even": True})
        expected = sorted([doc async for doc in todos.find({"even": True})], key=str)
        for live in lives:
            await until(live, lambda docs: any(doc["_id"] == "last" for doc in docs))
            assert sorted(live.docs, key=str) == expected


async def test_sigkill_of_the_database(throwaway_mongo: Callable[..., Mongod], tmp_path: Path) -> None:
    server = throwaway_mongo("rs0")
    database = MongoDatabase(server, "app")
    async with (
        dev("mongo", database.url, tmp_path, "todos") as client,
        AsyncMongoClient(database.url) as mongo,
    ):
        todos = mongo["app"]["todos"]
        await todos.insert_one({"_id": 1, "n": 0})
        live = client.live_query("mongo", "todos")
        await until(live, lambda docs: docs == [{"_id": 1, "n": 0}])
        for round_ in range(1, 3):
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)

            async def write(n: int = round_) -> bool:
                try:
                    await todos.update_one({"_id": 1}, {"$set": {"n": n}})
                except PyMongoError:
                    return False
                return True

            await eventually(write)
            seen = await until(live, lambda docs, n=round_: docs == [{"_id": 1, "n": n}])  # type: ignore[misc]
            assert seen == ["update"]
