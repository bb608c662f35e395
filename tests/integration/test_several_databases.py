"""One tailer process follows Postgres, MongoDB, MySQL and MariaDB at once: the same document gives the same event in
all of them, and the death of one database is nothing to the others."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import psycopg
import pytest
import yaml
from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from pymongo import MongoClient

from broadcaster.demo.mysql import EmbeddedMysql
from broadcaster.demo.postgres import EmbeddedPostgres
from cdc.log.embedded import EmbeddedLog
from servers.mongo import Mongod, temporary_mongod
from servers.mysql import MysqlServers
from servers.postgres import MAJORS, Servers, temporary_postgres
from support.tail import Event, Tail
from support.tailer_process import TailerProcess

TEXT = "é\n\"'\\ 🎈"
BIG = 2**53 + 1
MOMENT = "2024-02-29T12:34:56.25"
ID = UUID("6f0c3c1a-52a4-4c5e-9d60-0d3c7f3a1b2c")
BYTES = b"\x00\xff'\\\n"
NESTED = {"a": [1, 2.5, "x", None, True, {}], "b": {"c": TEXT, "big": 12345}}

DOCUMENT = {
    "text": TEXT,
    "small": -42,
    "large": str(BIG),
    "yes": True,
    "price": "12.50",
    "day": "2024-02-29",
    "moment": f"{MOMENT}Z",
    "clock": MOMENT,
    "ident": str(ID),
    "data": "AP8nXAo=",
    "nested": NESTED,
    "nothing": None,
}
"""As every event has it, less what a database has no type for."""

KINDS = {
    "large": "int64",
    "price": "decimal",
    "day": "date",
    "moment": "timestamptz",
    "clock": "timestamp",
    "ident": "uuid",
    "data": "bytes",
}


class Server(Protocol):
    """A server of the test's own."""

    def kill(self) -> None: ...

    def start(self) -> None: ...


class Place(ABC):
    """One database with an empty collection `items`. key: what its key's field is called; lacks: fields for which it
    has no type."""

    key = "id"
    lacks: frozenset[str] = frozenset()

    def __init__(self, server: Server, conn: str) -> None:
        self.server = server
        self.conn = conn

    @abstractmethod
    def insert(self, number: int) -> None:
        """The document, with this key. This and the others return once it is durable."""

    @abstractmethod
    def rename(self, number: int, text: str) -> None:
        """Change its `text`."""

    @abstractmethod
    def delete(self, number: int) -> None:
        """Remove it."""


class OnPostgres(Place):
    def __init__(self, server: EmbeddedPostgres) -> None:
        super().__init__(server, server.url)
        self._execute(
            "CREATE TABLE items (id int PRIMARY KEY, text text, small int, large bigint, yes bool, "
            "price numeric(10, 2), day date, moment timestamptz, clock timestamp, ident uuid, data bytea, "
            "nested jsonb, nothing text)"
        )

    def insert(self, number: int) -> None:
        values = (number, TEXT, -42, BIG, True, "12.50", "2024-02-29", f"{MOMENT}Z", MOMENT, ID, BYTES)
        self._execute(f"INSERT INTO items VALUES ({'%s, ' * 12}NULL)", *values, json.dumps(NESTED))

    def rename(self, number: int, text: str) -> None:
        self._execute("UPDATE items SET text = %s WHERE id = %s", text, number)

    def delete(self, number: int) -> None:
        self._execute("DELETE FROM items WHERE id = %s", number)

    def _execute(self, statement: str, *values: object) -> None:
        with psycopg.connect(self.conn, autocommit=True) as connection:
            connection.execute(statement.encode(), values or None)


class OnMysql(Place):
    lacks = frozenset({"ident"})
    ident = ""

    def __init__(self, server: EmbeddedMysql) -> None:
        super().__init__(server, server.url_for("app"))
        self._mysql = server
        self._execute("CREATE DATABASE app")
        self._execute(
            "CREATE TABLE app.items (id int PRIMARY KEY, text varchar(40) CHARACTER SET utf8mb4, small int, "
            "large bigint, yes boolean, price decimal(10, 2), day date, moment timestamp(3) NULL, "
            f"clock datetime(6), {self.ident} data varbinary(40), nested json, nothing text)"
        )

    def insert(self, number: int) -> None:
        moment = MOMENT.replace("T", " ")
        values = [number, TEXT, -42, BIG, True, "12.50", "2024-02-29", moment, moment]
        values += [str(ID)] if self.ident else []
        marks = ", ".join(["%s"] * (len(values) + 2))
        self._execute(f"INSERT INTO app.items VALUES ({marks}, NULL)", *values, BYTES, json.dumps(NESTED))

    def rename(self, number: int, text: str) -> None:
        self._execute("UPDATE app.items SET text = %s WHERE id = %s", text, number)

    def delete(self, number: int) -> None:
        self._execute("DELETE FROM app.items WHERE id = %s", number)

    def _execute(self, statement: str, *values: object) -> None:
        with self._mysql.connect() as connection, connection.cursor() as cursor:
            cursor.execute("SET time_zone = '+00:00'")
            cursor.execute(statement, values or None)


class OnMariadb(OnMysql):
    lacks = frozenset()
    ident = "ident uuid,"


class OnMongo(Place):
    key = "_id"
    lacks = frozenset({"day", "clock"})

    def __init__(self, server: Mongod) -> None:
        super().__init__(server, server.url.replace("/?", "/app?"))

    def insert(self, number: int) -> None:
        document = {
            "_id": number,
            "text": TEXT,
            "small": -42,
            "large": Int64(BIG),
            "yes": True,
            "price": Decimal128("12.50"),
            "moment": datetime.fromisoformat(f"{MOMENT}+00:00").astimezone(UTC),
            "ident": Binary.from_uuid(ID),
            "data": Binary(BYTES),
            "nested": NESTED,
            "nothing": None,
        }
        with MongoClient[Any](self.conn, w="majority", journal=True) as client:
            client["app"]["items"].insert_one(document)

    def rename(self, number: int, text: str) -> None:
        with MongoClient[Any](self.conn, w="majority", journal=True) as client:
            client["app"]["items"].update_one({"_id": number}, {"$set": {"text": text}})

    def delete(self, number: int) -> None:
        with MongoClient[Any](self.conn, w="majority", journal=True) as client:
            client["app"]["items"].delete_one({"_id": number})


@pytest.fixture(scope="module")
def places(postgres_servers: Servers, mysql_servers: MysqlServers) -> Iterator[dict[str, Place]]:
    """By alias."""
    with ExitStack() as stack:
        postgres = temporary_postgres(postgres_servers.installation(MAJORS[-1]))
        yield {
            "sql-postgres": OnPostgres(stack.enter_context(postgres)),
            "mongo": OnMongo(stack.enter_context(temporary_mongod())),
            "sql-mysql": OnMysql(stack.enter_context(mysql_servers.temporary("mysql"))),
            "maria": OnMariadb(stack.enter_context(mysql_servers.temporary("mariadb"))),
        }


class Running:
    """A tailer that follows all places, and what its logs hold."""

    def __init__(self, folder: Path, places: dict[str, Place], project: str) -> None:
        self._folder = folder
        live = {"isRealtimeEnabled": True}
        databases = {
            alias: {"conn": place.conn, "collections": {"items": live}} for alias, place in places.items()
        }
        self._config = yaml.safe_dump({"id": project, "modules": {"crud": databases}})
        self._logs = {alias: EmbeddedLog(folder / "log", alias) for alias in places}
        self.tails = {alias: Tail(log, key_field=places[alias].key) for alias, log in self._logs.items()}

    async def __aenter__(self) -> Running:
        self._tailer = TailerProcess.start(self._folder, self._config)
        for tail in self.tails.values():
            await tail.until(lambda tail: bool(tail.positions))
        return self

    async def __aexit__(self, *error: object) -> None:
        self._tailer.kill()
        for log in self._logs.values():
            await log.close()


def told(event: Event) -> dict[str, Any]:
    """The event less what differs from database to database: the source, the times, the transaction's name."""
    value = {
        name: part for name, part in event.value.items() if name not in ("source", "ts_ms", "transaction")
    }
    transaction = {name: part for name, part in event.transaction.items() if name != "id"}
    return {"key": event.key, "transaction": transaction, **value}


def written(number: int, lacks: frozenset[str], text: str = TEXT) -> dict[str, Any]:
    """The row that a place has of the document."""
    row = {"id": number, **DOCUMENT, "text": text}
    return {name: value for name, value in row.items() if name not in lacks}


async def test_the_same_document_gives_the_same_event(places: dict[str, Place], tmp_path: Path) -> None:
    async with Running(tmp_path, places, "events") as running:
        for place in places.values():
            await asyncio.to_thread(place.insert, 7)
            await asyncio.to_thread(place.rename, 7, "b")
            await asyncio.to_thread(place.delete, 7)
        for alias, place in places.items():
            first, second = written(7, place.lacks), written(7, place.lacks, "b")
            common = {
                "key": {"id": 7},
                "transaction": {"total_order": 1, "data_collection_order": 1, "last": True},
                "types": {name: kind for name, kind in KINDS.items() if name not in place.lacks},
            }
            assert [told(event) for event in await running.tails[alias].count(3)] == [
                {**common, "op": "c", "before": None, "after": first},
                {**common, "op": "u", "before": first, "after": second},
                {**common, "op": "d", "before": second, "after": None},
            ], alias


async def test_the_death_of_one_is_nothing_to_the_others(places: dict[str, Place], tmp_path: Path) -> None:
    numbers = iter(range(1, 1000))
    inserted: dict[str, list[int]] = {alias: [] for alias in places}

    async def insert(alias: str) -> None:
        number = next(numbers)
        await asyncio.to_thread(places[alias].insert, number)
        inserted[alias].append(number)

    async with Running(tmp_path, places, "deaths") as running:

        async def arrived(alias: str) -> None:
            """All that was inserted, once each, in order."""
            events = await running.tails[alias].count(len(inserted[alias]))
            assert [event.key["id"] for event in events] == inserted[alias], alias

        for alias in places:
            await insert(alias)
        for victim in places:
            others = [alias for alias in places if alias != victim]
            await insert(victim)
            await asyncio.to_thread(places[victim].server.kill)
            for alias in others:
                await insert(alias)
                await arrived(alias)
            await asyncio.to_thread(places[victim].server.start)
            await insert(victim)
            await arrived(victim)
        for alias in places:
            await arrived(alias)
            reasons = [reset.reason for reset in running.tails[alias].resets]
            assert reasons == (["server_crashed"] if alias == "maria" else []), alias
