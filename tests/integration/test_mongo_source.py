"""The MongoDB source on a real server: the shared suite, then what is MongoDB's own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from bson.int64 import Int64
from bson.objectid import ObjectId
from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from cdc.errors import PositionLost, ProtocolError, SetupError, SourceUnavailable
from cdc.event import Position
from cdc.health import State
from cdc.metrics import DatabaseMetrics
from cdc.mongo import stream as stream_module
from cdc.mongo.chunks import MongoChunks
from cdc.mongo.connect import connect, force_progress
from cdc.mongo.cursor import Cursor
from cdc.mongo.decode import Decoder, RowChange
from cdc.mongo.setup import check
from cdc.mongo.source import MongoSource
from cdc.mongo.target import Target
from cdc.snapshot.snapshots import Snapshots
from integration.conformance import Change, Conformance, Delete, Doc, Insert, Update, folded
from servers.mongo import LEAKS, Mongod, MongoDatabase
from support.snapshots import read_anew
from support.tail import Tail, eventually, new_tail

pytestmark = LEAKS


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


async def followed(tail: Tail) -> None:
    await tail.until(lambda tail: bool(tail.positions))


async def failure_of(tail: Tail, task: asyncio.Task[None]) -> BaseException | None:
    await asyncio.wait([task], timeout=30)
    assert task.done(), tail.health
    return task.exception()


async def test_images_are_switched_on_and_again_after_a_drop(driver: MongoDriver) -> None:
    await driver.db["items"].insert_one({"_id": 1, "n": 1})
    tail = new_tail()
    async with tail.running(driver.source):
        await followed(tail)
        await driver.db["items"].update_one({"_id": 1}, {"$set": {"n": 2}})
        assert (await tail.count(1))[0].change == ("u", {"_id": 1, "n": 1}, {"_id": 1, "n": 2})
        await driver.db["items"].drop()
        await tail.until(lambda tail: bool(tail.resets))
        await driver.db["items"].insert_one({"_id": 2, "n": 0})

        async def has_image() -> bool:
            seen = len(tail.events)
            await driver.db["items"].update_one({"_id": 2}, {"$inc": {"n": 1}})
            return (await tail.count(seen + 1))[-1].before is not None

        await eventually(has_image)
    assert [(reset.collection, reset.reason) for reset in tail.resets] == [("items", "collection_dropped")]


async def test_without_images_before_is_unknown_never_partial(driver: MongoDriver) -> None:
    tail = new_tail()
    async with tail.running(driver.following("items", manage=False)):
        await followed(tail)
        await driver.db["items"].insert_one({"_id": 1, "n": 1})
        await driver.db["items"].update_one({"_id": 1}, {"$set": {"n": 2}})
        await driver.db["items"].replace_one({"_id": 1}, {"n": 3})
        await driver.db["items"].delete_one({"_id": 1})
        events = await tail.count(4)
    assert [event.change for event in events] == [
        ("c", None, {"_id": 1, "n": 1}),
        ("u", None, None),
        ("u", None, {"_id": 1, "n": 3}),
        ("d", None, None),
    ]
    assert "changeStreamPreAndPostImages" not in str(await driver.db.list_collections())


async def test_renames_and_drops_are_told(driver: MongoDriver) -> None:
    await driver.db["fresh"].insert_one({"_id": 1})
    tail = new_tail()
    async with tail.running(driver.source):
        await followed(tail)
        await driver.db["fresh"].rename("items", dropTarget=True)
        await driver.db["items"].rename("stale")
        await driver.client.drop_database(driver.db.name)
        await tail.until(lambda tail: any(reset.reason == "database_dropped" for reset in tail.resets))
        await driver.db["items"].insert_one({"_id": 2})
        events = await tail.count(1)
    assert events[0].after == {"_id": 2}
    told = [(reset.collection, reset.reason) for reset in tail.resets]
    assert ("items", "collection_renamed") in told
    assert ("items", "database_dropped") in told and ("others", "database_dropped") in told


async def test_the_invalidated_stream_is_resumed_by_the_next_tailer(driver: MongoDriver) -> None:
    tail = new_tail()
    async with tail.running(driver.source):
        await followed(tail)
    await driver.db["items"].insert_one({"_id": 1})
    await driver.client.drop_database(driver.db.name)
    await driver.db["items"].insert_one({"_id": 2})
    for _ in range(2):
        async with tail.running(driver.source):
            await tail.count(2)
    assert [event.key["_id"] for event in tail.events] == [1, 2]


async def test_transactions_that_come_from_several_shards_end_by_progress(
    driver: MongoDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica set that is taken for a cluster: its silence ends no transaction, so progress is forced."""
    forced = []

    async def counted(*arguments: Any) -> None:
        forced.append(arguments)
        await force_progress(*arguments)

    monkeypatch.setattr(stream_module, "force_progress", counted)

    class Sharded(MongoSource):
        async def open(self, after: Position | None) -> Any:
            following = await super().open(after)
            following._stream._assembler._sharded = True
            return following

    tail = new_tail()
    async with tail.running(lambda _: Sharded(driver.target(), watch_every=0.2)):
        await followed(tail)
        await driver.transaction(Insert("items", ({"id": 1}, {"id": 2})))
        assert len(await tail.count(2)) == 2
    assert forced


async def test_every_type_of_id(driver: MongoDriver) -> None:
    ids = [ObjectId("65f0a1b2c3d4e5f6a7b8c9d0"), "text", 7, 2**60, 1.5, {"a": 1, "b": [1]}, True]
    tail = new_tail()
    async with tail.running(driver.source):
        await followed(tail)
        for each in ids:
            await driver.db["items"].insert_one({"_id": each})
            await driver.db["items"].delete_one({"_id": each})
        events = await tail.count(2 * len(ids))
    shown = ["65f0a1b2c3d4e5f6a7b8c9d0", "text", 7, str(2**60), 1.5, {"a": 1, "b": [1]}, True]
    assert [event.key["_id"] for event in events[::2]] == shown
    assert [event.before for event in events[1::2]] == [{"_id": each} for each in shown]
    assert events[0].value["types"] == {"_id": "objectId"}
    assert events[6].value["types"] == {"_id": "int64"}


async def first(cursor: Cursor, count: int) -> list[tuple[str, RowChange]]:
    """The next changes, so many, each behind its token."""
    decoder, found = Decoder(["items"]), list[tuple[str, RowChange]]()
    while len(found) < count:
        reply = await cursor.more(1_000)
        changes = [decoder.decode(reply.raw, reply.text, at) for at in reply.events]
        found += [(change.token, row) for change in changes if change is not None for row in change.rows]
    return found[:count]


async def test_a_stream_resumes_behind_every_type_of_id(driver: MongoDriver) -> None:
    """A number beyond what a double holds is found again only by the token's type bits."""
    ids = [7, Int64(8), 9.0, {"no": Int64(7), "region": "eu"}, 2**53, "text", ObjectId()]
    client = connect(driver.url)
    try:
        cursor = Cursor(client, driver.target(), split=False)
        await cursor.open(None)
        await driver.db["items"].insert_many([{"_id": {"of": each}} for each in ids])
        changes = await first(cursor, len(ids))
        await cursor.close()
        for (token, _), (_, expected) in pairwise(changes):
            cursor = Cursor(client, driver.target(), split=False)
            await cursor.open(token)
            [(_, found)] = await first(cursor, 1)
            assert found.key == expected.key
            await cursor.close()
    finally:
        await client.close()


async def test_a_change_too_large_to_tell_stops_the_tailer(driver: MongoDriver) -> None:
    tail = new_tail()
    async with tail.running(driver.source) as task:
        await followed(tail)
        await driver.db["items"].insert_one({"_id": 1, "text": "x" * 1_100})
        for _ in range(13):  # to 9 MB, by the server itself
            await driver.db["items"].update_one(
                {"_id": 1}, [{"$set": {"text": {"$concat": ["$text", "$text"]}}}]
            )
        await driver.db["items"].update_one({"_id": 1}, {"$set": {"n": 1}})
        failure = await failure_of(tail, task)
    assert isinstance(failure, ProtocolError)
    assert "16 MiB" in str(failure)


async def test_a_standalone_is_told_how_to_become_a_replica_set(
    throwaway_mongo: Callable[..., Mongod],
) -> None:
    server = throwaway_mongo(None)
    target = Target("todo-app", "db", server.url, True, "app", ("items",))
    with pytest.raises(SetupError, match=r"standalone(.|\n)*rs\.initiate\(\)"):
        await MongoSource(target).open(None)
    assert next(each.name for each in await check(target) if not each.ok) == "replica set"


async def test_a_position_that_the_oplog_lost(throwaway_mongo: Callable[..., Mongod]) -> None:
    server = throwaway_mongo("rs0", "--oplogSize", "5", "--syncdelay", "1")
    target = Target("todo-app", "db", server.url, True, "app", ("items",))
    tail = new_tail()
    async with tail.running(lambda _: MongoSource(target)):
        await followed(tail)
    async with AsyncMongoClient(server.url) as client:
        oplog = client["local"]["oplog.rs"]
        oldest = (await oplog.find_one(sort=[("$natural", 1)]))["ts"]

        async def is_rolled_over() -> bool:
            await client["app"]["elsewhere"].insert_many([{"text": "x" * 500_000} for _ in range(10)])
            return bool((await oplog.find_one(sort=[("$natural", 1)]))["ts"] > oldest)

        await eventually(is_rolled_over)
        for _ in range(3):
            await is_rolled_over()
    async with tail.running(lambda _: MongoSource(target)) as task:
        failure = await failure_of(tail, task)
    assert isinstance(failure, PositionLost)
    assert "--reset-position" in str(failure)

    initial = Snapshots("db", partial(MongoChunks, target), ("items",), ("items",))
    async with tail.running(lambda _: MongoSource(target), initial, begins_anew=True) as task:
        await read_anew(tail, task)


async def test_sigkill_in_the_middle_of_transactions(throwaway_mongo: Callable[..., Mongod]) -> None:
    """Whatever the server says it lost or kept, what the log folds to is what it has."""
    server = throwaway_mongo("rs0")
    chance = random.Random(5)
    tail = new_tail(MongoDriver.key_field)
    async with AsyncMongoClient(server.url) as client:
        driver = MongoDriver(client, MongoDatabase(server, "app"))

        async def write(number: int) -> None:
            changes: list[Change] = [
                Insert(
                    "items", tuple({"id": number * 100 + i, "n": 0, "text": "x" * 500} for i in range(20))
                ),
                Update("items", {"n": number}, least=chance.randint(0, number)),
            ]
            if number % 3 == 0:
                changes.append(Delete("items", number * 100 - 100))
            try:
                await driver.transaction(*changes)
            except PyMongoError:
                await asyncio.sleep(0.05)

        async with tail.running(driver.source):
            await followed(tail)
            for begin in (0, 8):
                writing = asyncio.create_task(write_all(write, range(begin, begin + 8)))
                await tail.until(lambda tail, begin=begin: len(tail.events) > 30 * begin + 30)  # type: ignore[misc]
                await asyncio.to_thread(server.kill)
                await asyncio.to_thread(server.start)
                await writing
            await eventually(lambda: sentinel(driver))
            events = await tail.key("others", {"id": 1})
        assert folded(events, "items") == await driver.documents("items")


async def write_all(write: Callable[[int], Awaitable[None]], numbers: Iterable[int]) -> None:
    for number in numbers:
        await write(number)


async def sentinel(driver: MongoDriver) -> bool:
    """Whether a last document could be written to `others`."""
    try:
        await driver.db["others"].replace_one({"_id": 1}, {"n": 1}, upsert=True)
    except PyMongoError:
        return False
    return True


async def test_another_replica_set_is_not_taken_for_ours(driver: MongoDriver) -> None:
    with pytest.raises(PositionLost, match="another replica set"):
        await MongoSource(driver.target()).open(Position("0" * 24, 1, {"token": "82"}))


async def test_a_server_that_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdc.mongo.connect._SELECTION_MS", 100)
    target = Target("todo-app", "db", "mongodb://app:hunter2@127.0.0.1:1/app", True, "app", ())
    with pytest.raises(SourceUnavailable, match=r"MongoDB at 127\.0\.0\.1:1/app as user app") as refused:
        await MongoSource(target).open(None)
    assert "hunter2" not in str(refused.value)


async def test_a_user_who_may_only_read(driver: MongoDriver) -> None:
    """Sees the stream, switches no images on, and can force progress all the same."""
    user, password = f"reader_{driver.db.name}", "hunter2"
    await driver.client.admin.command(
        "createUser", user, pwd=password, roles=[{"role": "read", "db": driver.db.name}]
    )
    url = driver.url.replace("mongodb://", f"mongodb://{user}:{password}@").replace("?", "?authSource=admin&")
    target = Target("todo-app", "db", url, True, driver.db.name, ("items",))
    await driver.db.create_collection("items")
    requirements = {each.name: each for each in await check(target)}
    images = requirements.pop("collection items: pre- and post-images")
    assert all(each.ok for each in requirements.values())
    assert (images.ok, images.automatic) == (False, False)
    assert "collMod" in images.fix
    tail = new_tail()
    async with tail.running(lambda _: MongoSource(target)):
        await followed(tail)
        before = tail.positions[-1]
        client = connect(url)
        await force_progress(client, target)
        await client.close()
        await tail.until(lambda tail: tail.positions[-1].order > before.order)
    assert tail.health.state is State.STREAMING
    assert password not in repr(target)
