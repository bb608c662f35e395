"""Consumers of others on our topics: aiokafka, confluent-kafka, and Debezium's own transformation for Kafka Connect."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import confluent_kafka
import pytest
from aiokafka import AIOKafkaConsumer

from cdc.codec import encode_event
from cdc.config import Collection, KafkaConfig
from cdc.event import Batch, Position, Record
from cdc.log.kafka.log import KafkaLog
from servers.debezium_jars import VERSION, debezium_jars
from servers.kafka_cluster import Kafka
from servers.kafka_jars import KafkaNotFound

UNWRAP = Path(__file__).parents[1] / "support" / "Unwrap.java"
ROW = {"id": "int32", "title": "string", "done": "boolean"}
SOURCE = {
    "version": "string",
    "connector": "string",
    "name": "string",
    "ts_ms": "int64",
    "snapshot": "string",
    "db": "string",
    "schema": "string",
    "table": "string",
    "txId": "string",
    "lsn": "int64",
}


def event(op: str, before: dict[str, Any] | None, after: dict[str, Any] | None) -> Record:
    row = after or before
    assert row is not None
    source = {
        "version": "0.1.0",
        "connector": "postgresql",
        "name": "p.db",
        "ts_ms": 1_790_000_000_000,
        "snapshot": "false",
        "db": "app",
        "schema": "public",
        "table": "todos",
        "txId": "771",
        "lsn": 23907384,
    }
    images = [None if image is None else json.dumps(image).encode() for image in (before, after)]
    value = encode_event(
        op=op,
        before=images[0],
        after=images[1],
        source=source,
        ts_ms=1_790_000_000_004,
        total_order=1,
        collection_order=1,
        last=True,
        types={"title": "decimal"},
    )
    return "todos", json.dumps({"id": row["id"]}).encode(), value


FIRST = {"id": 1, "title": "a", "done": False}
SECOND = {"id": 1, "title": "b", "done": True}
EVENTS = [
    event("c", None, FIRST),
    event("u", FIRST, SECOND),
    event("d", SECOND, None),
    event("c", None, FIRST),
]
EXPECTED = [(key, value) for _, key, value in EVENTS]
EXPECTED.insert(3, (EXPECTED[2][0], None))


@pytest.fixture
async def topic(kafka: Kafka) -> AsyncIterator[str]:
    """A compacted one with an update, a delete and its tombstone, something undone, something not committed yet."""
    todos = Collection("todos", compact=True)
    log = KafkaLog(KafkaConfig((kafka.bootstrap(),)), f"consumed-{uuid4().hex[:8]}", "db", {"todos": todos})
    writer = await log.writer()
    await writer.append(Batch(EVENTS[:2], Position("p", 1), 1))
    await writer.append(Batch([event("c", None, SECOND)], None, 2))
    await writer.close()
    writer = await log.writer()
    await writer.append(Batch(EVENTS[2:], Position("p", 2), 2))
    await writer.append(Batch([event("c", None, SECOND)], None, 3))
    yield log.names.topic("todos")
    await log.close()


async def test_aiokafka(kafka: Kafka, topic: str) -> None:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=kafka.bootstrap(),
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    await consumer.start()
    try:
        found = [await consumer.getone() for _ in EXPECTED]
        assert [(record.key, record.value) for record in found] == EXPECTED
        assert not await consumer.getmany(timeout_ms=200)
    finally:
        await consumer.stop()


async def test_confluent_kafka(kafka: Kafka, topic: str) -> None:
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": kafka.bootstrap(),
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([topic])
    try:
        found: list[Any] = []
        while len(found) < len(EXPECTED):
            found += await asyncio.to_thread(consumer.consume, 100, 0.2)
        assert [(record.key(), record.value()) for record in found] == EXPECTED
    finally:
        await asyncio.to_thread(consumer.close)


def struct(name: str, fields: dict[str, str]) -> dict[str, Any]:
    listed = [{"field": field, "type": kind, "optional": field != "id"} for field, kind in fields.items()]
    return {"type": "struct", "name": name, "optional": True, "fields": listed}


def envelope() -> dict[str, Any]:
    """The schema that a Debezium connector gives its events."""
    return {
        "type": "struct",
        "name": "p.db.todos.Envelope",
        "version": 2,
        "optional": False,
        "fields": [
            {"field": "before", **struct("p.db.todos.Value", ROW)},
            {"field": "after", **struct("p.db.todos.Value", ROW)},
            {
                "field": "source",
                **struct("io.debezium.connector.postgresql.Source", SOURCE),
                "optional": False,
            },
            {"field": "op", "type": "string", "optional": False},
            {"field": "ts_ms", "type": "int64", "optional": True},
            {
                "field": "transaction",
                **struct(
                    "event.block", {"id": "string", "total_order": "int64", "data_collection_order": "int64"}
                ),
            },
        ],
    }


async def test_debeziums_own_transformation(kafka: Kafka, topic: str, tmp_path: Path) -> None:
    try:
        jars = await asyncio.to_thread(debezium_jars)
    except KafkaNotFound as error:
        pytest.skip(f"Debezium {VERSION}: {error}")
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps(envelope()))
    java = shutil.which("java")
    assert java is not None
    command = [java, "-cp", f"{jars}/*", UNWRAP, kafka.bootstrap(), topic, str(len(EXPECTED)), schema]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    meta = {"__source_txId": "771", "__transaction_id": "771"}
    assert [json.loads(line) if line[0] == "{" else line for line in done.stdout.splitlines()] == [
        {**FIRST, "__deleted": "false", "__op": "c", **meta},
        {**SECOND, "__deleted": "false", "__op": "u", **meta},
        {**SECOND, "__deleted": "true", "__op": "d", **meta},
        "dropped",
        {**FIRST, "__deleted": "false", "__op": "c", **meta},
    ]
