"""Sorted and limited live queries from a database to the Python client, on each kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from pymongo import AsyncMongoClient

from broadcaster.client import Client
from servers.mongo import LEAKS, MongoDatabase
from servers.mysql import MysqlDatabase
from servers.postgres import Database
from support.live import dev, until

pytestmark = LEAKS
Write: TypeAlias = Callable[[dict[int, int | None]], Awaitable[None]]
"""Of these rows, n; None deletes the row: all in one transaction."""

SQL = ("CREATE TABLE scores (id int PRIMARY KEY, n int)", "INSERT INTO scores VALUES {}")
START = {number: number * 37 % 101 for number in range(1, 101)}


async def follow(client: Client, key: str, write: Write) -> None:
    """The best five of a hundred, while rows come, change and go, most of them at once in the end."""
    scores: dict[int, int | None] = dict(START)
    live = client.live_query("db", "scores", {"n": {"$gte": 10}}, sort=["-n"], limit=5)
    everything = client.live_query("db", "scores", {"n": {"$gte": 90}}, sort=["n", f"-{key}"])

    def best(docs: list[dict[str, Any]]) -> bool:
        ranked = sorted((-n, id_) for id_, n in scores.items() if n is not None and n >= 10)
        return [(-doc["n"], doc[key]) for doc in docs] == ranked[:5]

    def high(docs: list[dict[str, Any]]) -> bool:
        ranked = sorted((n, -id_) for id_, n in scores.items() if n is not None and n >= 90)
        return [(doc["n"], -doc[key]) for doc in docs] == ranked

    assert await until(live, best) == ["initial"]
    assert await until(everything, high) == ["initial"]
    random = Random(1)
    changes: list[dict[int, int | None]] = [
        {random.randrange(1, 101): random.choice([None, random.randrange(120)]) for _ in range(3)}
        for _ in range(20)
    ]
    changes.append(dict.fromkeys(range(1, 80), None))
    changes.append({200: 500})
    for change in changes:
        scores |= change
        await write(change)
    assert "reset" not in await until(live, best)
    assert "reset" not in await until(everything, high)


async def test_on_postgres(postgres_db: Database, tmp_path: Path) -> None:
    postgres_db.execute(f"{SQL[0]}; {SQL[1].format(', '.join(map(str, START.items())))}")

    async def write(change: dict[int, int | None]) -> None:
        postgres_db.execute("; ".join(map(statement, change.items())))

    def statement(item: tuple[int, int | None]) -> str:
        if item[1] is None:
            return f"DELETE FROM scores WHERE id = {item[0]}"
        return f"INSERT INTO scores VALUES {item} ON CONFLICT (id) DO UPDATE SET n = excluded.n"

    async with dev("db", postgres_db.url, tmp_path, "scores") as client:
        await follow(client, "id", write)


async def test_on_mysql(each_mysql_db: MysqlDatabase, tmp_path: Path) -> None:
    each_mysql_db.execute(SQL[0], SQL[1].format(", ".join(map(str, START.items()))))

    async def write(change: dict[int, int | None]) -> None:
        each_mysql_db.execute("BEGIN", *map(statement, change.items()), "COMMIT")

    def statement(item: tuple[int, int | None]) -> str:
        if item[1] is None:
            return f"DELETE FROM scores WHERE id = {item[0]}"
        return f"INSERT INTO scores VALUES {item} ON DUPLICATE KEY UPDATE n = {item[1]}"

    async with dev("db", each_mysql_db.url, tmp_path, "scores") as client:
        await follow(client, "id", write)


async def test_on_mongo(mongo_db: MongoDatabase, tmp_path: Path) -> None:
    async with AsyncMongoClient(mongo_db.url) as mongo:
        scores = mongo[mongo_db.name]["scores"]
        await scores.insert_many([{"_id": id_, "n": n} for id_, n in START.items()])

        async def write(change: dict[int, int | None]) -> None:
            async with mongo.start_session() as session, await session.start_transaction():
                for id_, n in change.items():
                    if n is None:
                        await scores.delete_one({"_id": id_}, session=session)
                    else:
                        await scores.replace_one({"_id": id_}, {"n": n}, upsert=True, session=session)

        async with dev("db", mongo_db.url, tmp_path, "scores") as client:
            await follow(client, "_id", write)
