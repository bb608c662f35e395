"""What `livetail status` tells of real servers; the command itself, on Postgres, is in `test_cli.py`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pymongo
import yaml

from cdc.config import Config
from cdc.config_parse import parse
from cdc.connector import connector_of
from cdc.logs import Logs
from cdc.survey import survey
from servers.kafka_cluster import Kafka
from servers.mongo import LEAKS, MongoDatabase
from servers.mysql import MysqlDatabase
from support.tail import Tail

pytestmark = LEAKS


def configured(conn: str, kafka: str | None = None) -> Config:
    """A project with one database `db`, and in it a live collection `todos`."""
    collections = {"todos": {"isRealtimeEnabled": True, "partitions": 2}}
    modules: dict[str, Any] = {"crud": {"db": {"conn": conn, "collections": collections}}}
    if kafka is not None:
        modules["realtime"] = {"kafka": kafka}
    return parse(yaml.safe_dump({"id": f"status-{uuid4().hex[:8]}", "modules": modules}), {})


async def told(config: Config, logs: Logs) -> tuple[bool, dict[str, Any], dict[str, Any]]:
    """(whether all is well, of the log, of the database)"""
    (database,) = await survey(config, logs)
    return database.ok, database.log.as_json(), database.source.as_json()


async def tail_one(config: Config, logs: Logs, write: Callable[[], object]) -> None:
    """Tail until there is one event."""
    tail = Tail(logs("db"))
    async with tail.running(lambda metrics: connector_of(config, "db").source(metrics)):
        await tail.until(lambda tail: bool(tail.positions))
        await asyncio.to_thread(write)
        await tail.count(1)


async def test_mysql_and_mariadb(each_mysql_db: MysqlDatabase, tmp_path: Path) -> None:
    each_mysql_db.execute("CREATE TABLE todos (id INT PRIMARY KEY)")
    config = configured(each_mysql_db.url)
    logs = Logs(config, tmp_path)
    ok, log, database = await told(config, logs)
    assert (ok, log) == (False, {"ok": False, "written": False})
    assert database["binlog"]["bytes"] > 0

    await tail_one(config, logs, lambda: each_mysql_db.execute("INSERT INTO todos VALUES (1)"))
    ok, log, database = await told(config, logs)
    assert ok
    assert (log["oldest"], log["newest"], log["bytes"] > 0) == (1, 1, True)
    assert log["position"].startswith(database["binlog"]["newest"].partition(".")[0])
    each_mysql_db.execute("FLUSH BINARY LOGS", "INSERT INTO todos VALUES (2)")
    ok, _, later = await told(config, logs)
    assert ok
    assert later["behindBytes"] > database["behindBytes"]
    assert later["binlog"]["files"] == database["binlog"]["files"] + 1
    await logs("db").close()


async def test_mongo(mongo_db: MongoDatabase, tmp_path: Path) -> None:
    config = configured(mongo_db.url)
    logs = Logs(config, tmp_path)
    with pymongo.MongoClient[dict[str, Any]](mongo_db.url) as client:
        await tail_one(config, logs, lambda: client[mongo_db.name]["todos"].insert_one({"_id": 1}))
    ok, log, database = await told(config, logs)
    assert ok
    assert log["newest"] == 1
    assert database["oplog"]["seconds"] >= 0
    assert database["behindSeconds"] >= 0
    await logs("db").close()


async def test_topics_and_tailers(kafka: Kafka, mysql_db: MysqlDatabase) -> None:
    mysql_db.execute("CREATE TABLE todos (id INT PRIMARY KEY)")
    config = configured(mysql_db.url, kafka.bootstrap())
    logs = Logs(config, None)
    try:
        ok, log, _ = await told(config, logs)
        names = [f"{config.id}.db-position", f"{config.id}.db.todos"]
        assert not ok
        assert log["topics"] == [{"name": name, "partitions": []} for name in names]
        assert log["tailers"] == []

        await tail_one(config, logs, lambda: mysql_db.execute("INSERT INTO todos VALUES (1)"))
        ok, log, _ = await told(config, logs)
        assert ok
        position, todos = log["topics"]
        assert [position["name"], todos["name"]] == names
        assert (len(position["partitions"]), len(todos["partitions"])) == (1, 2)
        assert {each["replicas"] for each in todos["partitions"]} == {1}
        assert sum(each["end"] > 0 for each in todos["partitions"]) == 1
        assert log["tailers"] == ["127.0.0.1"]
    finally:
        await logs("db").close()


async def test_kafka_that_is_away_is_told_beside_the_database(mysql_db: MysqlDatabase) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        config = configured(mysql_db.url, address)
        logs = Logs(config, None)
        ok, log, database = await told(config, logs)
        await logs("db").close()
    assert not ok
    assert address in log["error"]
    assert database["ok"]
    assert database["binlog"]["bytes"] > 0
