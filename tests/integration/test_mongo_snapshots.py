"""MongoDB's collections read into the log while they are written: what a follower ends with is the collection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from bson import Decimal128, Int64, ObjectId
from bson.binary import Binary, UuidRepresentation
from bson.datetime_ms import DatetimeMS
from pymongo import AsyncMongoClient

from cdc.mongo.chunks import MongoChunks
from cdc.snapshot import stream as snapshot_stream
from cdc.snapshot.snapshots import Snapshots
from integration.conformance import one
from integration.test_mongo_source import MongoDriver
from servers.mongo import LEAKS, MongoDatabase
from support.snapshots import Gate, assert_read_whole, is_read, reading
from support.tail import new_tail

pytestmark = LEAKS


@pytest.fixture
async def driver(mongo_db: MongoDatabase) -> AsyncIterator[MongoDriver]:
    async with AsyncMongoClient(mongo_db.url) as client:
        yield MongoDriver(client, mongo_db)


def snapshots(driver: MongoDriver, *initial: str) -> Snapshots:
    return Snapshots("db", partial(MongoChunks, driver.target()), ("items", "others"), initial)


async def write(driver: MongoDriver, chance: random.Random, until: asyncio.Event) -> None:
    """Random commands all over the collection."""
    items = driver.db["items"]
    while not until.is_set():
        low = chance.randrange(20_000)
        some = {"_id": {"$gte": low, "$lt": low + 300}}
        await items.update_many(some, {"$inc": {"n": 1}})
        await items.delete_many({"_id": {"$gte": low, "$lt": low + 60}})
        await items.update_one({"_id": low + 5}, {"$set": {"name": "new", "n": 0}}, upsert=True)


async def test_a_collection_that_is_written_meanwhile(
    driver: MongoDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_stream, "CHUNK_BYTES", 20_000)
    docs = [{"_id": number * 10, "name": "x" * 150, "n": 0} for number in range(2000)]
    await driver.db.create_collection("items", changeStreamPreAndPostImages={"enabled": True})
    await driver.db["items"].insert_many(docs)
    tail, done = new_tail("_id"), asyncio.Event()
    async with tail.running(driver.source, snapshots(driver, "items")):
        writing = asyncio.create_task(write(driver, random.Random(1), done))
        await tail.until(is_read)
        done.set()
        await writing
        await driver.transaction(one("others", 999))
        await tail.key("others", {"id": 999})
    assert_read_whole(tail, await driver.documents("items"))


IDS: list[Any] = [
    *range(0, 40, 3),
    1.5,
    Int64(2**60),
    Decimal128("7.25"),
    float("nan"),
    *(f"word {number}" for number in range(9)),
    "ä'\"$x",
    *(ObjectId() for _ in range(9)),
    *({"a": number, "b": [1, None]} for number in range(9)),
    Binary(b"\x00\xff"),
    Binary.from_uuid(UUID(int=7), UuidRepresentation.STANDARD),
    datetime(2020, 1, 1, tzinfo=UTC),
    DatetimeMS(2**60),
    True,
    None,
]


async def test_ids_of_all_types(driver: MongoDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks of a single document; the values are those of the stream. An index serves."""
    monkeypatch.setattr(snapshot_stream, "CHUNK_BYTES", 1)
    tail, wanted = new_tail("_id"), snapshots(driver)
    async with tail.running(driver.source, wanted):
        await tail.until(lambda tail: bool(tail.positions))
        await driver.db["items"].insert_many([{"_id": each, "n": number} for number, each in enumerate(IDS)])
        streamed = {str(event.key): event for event in await tail.count(len(IDS))}
        wanted.begin("items")
        await tail.until(is_read)
    read = tail.events[len(IDS) :]
    assert len(read) == len(IDS)
    assert {str(event.key): (event.op, event.after, event.value.get("types")) for event in read} == {
        key: ("r", event.after, event.value.get("types")) for key, event in streamed.items()
    }
    plan = await driver.db.command(
        "explain",
        {"find": "items", "filter": {"$expr": {"$gt": ["$_id", {"$literal": 5}]}}, "sort": {"_id": 1}},
        verbosity="executionStats",
    )
    assert plan["executionStats"]["totalDocsExamined"] == plan["executionStats"]["nReturned"]


async def test_dropped_in_the_midst(driver: MongoDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_stream, "CHUNK_BYTES", 1000)
    await driver.db["items"].insert_many([{"_id": number, "name": "x" * 100} for number in range(500)])
    tail, gate = new_tail("_id"), Gate(partial(MongoChunks, driver.target()))
    async with tail.running(driver.source, Snapshots("db", gate, ("items", "others"), ("items", "others"))):
        await tail.until(lambda tail: reading(tail).get("rows", 0) > 1)
        await driver.db["items"].drop()
        await driver.db["items"].insert_one({"_id": 1000})
        await tail.until(lambda tail: bool(tail.resets))
        gate.open.set()
        await tail.until(lambda tail: is_read(tail) and reading(tail, "others")["done"])
    assert reading(tail)["rows"] <= 1
    assert tail.events[-1].after == {"id": 1000}
