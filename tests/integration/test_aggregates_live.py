"""Live aggregates from a database to the Python client, held to the database's own GROUP BY, on each kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

from bson.decimal128 import Decimal128
from pymongo import AsyncMongoClient

from broadcaster.client import Client
from servers.mongo import LEAKS, MongoDatabase
from servers.mysql import MysqlDatabase
from servers.postgres import Database
from support.live import dev, until

pytestmark = LEAKS
Sale: TypeAlias = tuple[str | None, int | None, Decimal | None]
"""(shop, number, price)."""
Write: TypeAlias = Callable[[dict[int, Sale | None]], Awaitable[None]]
"""These rows are so from now on, None deletes one: all in one transaction."""
Answer: TypeAlias = Callable[[], Awaitable[list[dict[str, Any]]]]
"""What the database itself says of each shop: `shop`, `n`, `some`, `total`, `revenue`, `mean`, `least`, `most`."""

AGGREGATE = {
    "n": {"count": True},
    "some": {"count": "number"},
    "total": {"sum": "number"},
    "revenue": {"sum": "price"},
    "mean": {"avg": "number"},
    "least": {"min": "number"},
    "most": {"max": "price"},
}
TABLE = "CREATE TABLE sales (id int PRIMARY KEY, shop varchar(20), number int, price decimal(20, 4))"
GROUPED = (
    "SELECT shop, count(*) AS n, count(number) AS some, sum(number) AS total, sum(price) AS revenue, "
    "sum(number) / nullif(count(number), 0) AS mean, min(number) AS least, max(price) AS most "
    "FROM sales WHERE id >= 10 GROUP BY shop"
).replace("sum(number) /", "1.0 * sum(number) /")
BIG = 2**31 - 1


def drawn(random: Random) -> Sale:
    return (
        random.choice(["Ulm", "Köln", None]),
        random.choice([None, BIG, -BIG, *range(-3, 4)]),
        random.choice([None, Decimal("0.1000"), Decimal("12.5"), Decimal("-3.25"), Decimal("99999999999999.0001")]),
    )  # fmt: skip


def comparable(rows: list[dict[str, Any]]) -> dict[Any, list[Any]]:
    """By shop, numbers as numbers: averages to the digits that every database gives."""
    return {
        row["shop"]: [
            None
            if row[name] is None
            else round(float(row[name]), 3)
            if name == "mean"
            else Decimal(str(row[name]))
            for name in AGGREGATE
        ]
        for row in rows
    }


async def follow(client: Client, write: Write, answer: Answer, seed: int, key: str) -> None:
    random = Random(seed)
    where = {key: {"$gte": 10}}
    by_shop = client.live_query("db", "sales", where, aggregate=AGGREGATE, group_by=["shop"])
    whole = client.live_query("db", "sales", where, aggregate={"n": {"count": True}})
    expected = comparable(await answer())
    assert await until(by_shop, lambda docs: comparable(docs) == expected) == ["initial"]
    for _ in range(25):
        chosen = random.sample(range(60), random.randint(1, 6))
        await write({id_: random.choice([None, drawn(random), drawn(random)]) for id_ in chosen})
    expected = comparable(await answer())
    rows = sum(int(one[0]) for one in expected.values())
    assert "reset" not in await until(by_shop, lambda docs: comparable(docs) == expected)
    assert "reset" not in await until(whole, lambda docs: docs == [{"n": rows}])
    later = client.live_query("db", "sales", where, aggregate=AGGREGATE, group_by=["shop"])
    assert await until(later, lambda docs: comparable(docs) == expected) == ["initial"]
    await write(dict.fromkeys(range(60), None))
    assert "reset" not in await until(by_shop, lambda docs: docs == [])
    assert "reset" not in await until(whole, lambda docs: docs == [{"n": 0}])


def sql(id_: int, sale: Sale | None, upsert: str) -> str:
    if sale is None:
        return f"DELETE FROM sales WHERE id = {id_}"
    shop, number, price = ("NULL" if value is None else repr(str(value)) for value in sale)
    return f"INSERT INTO sales VALUES ({id_}, {shop}, {number}, {price}) {upsert}"


async def test_on_postgres(postgres_db: Database, tmp_path: Path) -> None:
    postgres_db.execute(TABLE)
    upsert = "ON CONFLICT (id) DO UPDATE SET shop = excluded.shop, number = excluded.number, price = excluded.price"

    async def write(change: dict[int, Sale | None]) -> None:
        postgres_db.execute("; ".join(sql(id_, sale, upsert) for id_, sale in change.items()))

    async def answer() -> list[dict[str, Any]]:
        names = ["shop", *AGGREGATE]
        return [dict(zip(names, row, strict=True)) for row in postgres_db.execute(GROUPED)]

    await write({id_: drawn(Random(id_)) for id_ in range(40)})
    async with dev("db", postgres_db.url, tmp_path, "sales") as client:
        await follow(client, write, answer, 1, "id")


async def test_on_mysql(each_mysql_db: MysqlDatabase, tmp_path: Path) -> None:
    each_mysql_db.execute(TABLE + " CHARACTER SET utf8mb4")
    upsert = "ON DUPLICATE KEY UPDATE shop = VALUES(shop), number = VALUES(number), price = VALUES(price)"

    async def write(change: dict[int, Sale | None]) -> None:
        each_mysql_db.execute("BEGIN", *[sql(id_, sale, upsert) for id_, sale in change.items()], "COMMIT")

    async def answer() -> list[dict[str, Any]]:
        names = ["shop", *AGGREGATE]
        return [dict(zip(names, row, strict=True)) for row in each_mysql_db.execute(GROUPED)]

    await write({id_: drawn(Random(id_)) for id_ in range(40)})
    async with dev("db", each_mysql_db.url, tmp_path, "sales") as client:
        await follow(client, write, answer, 2, "id")


async def test_on_mongo(mongo_db: MongoDatabase, tmp_path: Path) -> None:
    async with AsyncMongoClient(mongo_db.url) as mongo:
        sales = mongo[mongo_db.name]["sales"]

        async def write(change: dict[int, Sale | None]) -> None:
            async with mongo.start_session() as session, await session.start_transaction():
                for id_, sale in change.items():
                    if sale is None:
                        await sales.delete_one({"_id": id_}, session=session)
                        continue
                    shop, number, price = sale
                    doc = {"shop": shop, "number": number, "price": price and Decimal128(price)}
                    await sales.replace_one({"_id": id_}, doc, upsert=True, session=session)

        async def answer() -> list[dict[str, Any]]:
            present = {"$sum": {"$cond": [{"$ne": ["$number", None]}, 1, 0]}}
            prices = {"$sum": {"$cond": [{"$ne": ["$price", None]}, 1, 0]}}
            group = {
                "_id": "$shop",
                "n": {"$sum": 1},
                "some": present,
                "prices": prices,
                "total": {"$sum": "$number"},
                "revenue": {"$sum": "$price"},
                "mean": {"$avg": "$number"},
                "least": {"$min": "$number"},
                "most": {"$max": "$price"},
            }
            found = await sales.aggregate([{"$match": {"_id": {"$gte": 10}}}, {"$group": group}])
            return [
                row
                | {
                    "shop": row["_id"],
                    "total": row["total"] if row["some"] else None,
                    "revenue": row["revenue"] if row["prices"] else None,
                }
                async for row in found
            ]

        await sales.insert_one({"_id": 0})
        await write({id_: drawn(Random(id_)) for id_ in range(40)})
        async with dev("db", mongo_db.url, tmp_path, "sales") as client:
            await follow(client, write, answer, 3, "_id")
