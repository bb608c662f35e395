"""Holds the topics to what the database says that happened, as a stranger reads them: by librdkafka, `read_committed`.

Nothing of Livetail's takes part in it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from follower import BrokenPromiseError
from history import History
from tables import Row, Table

_PATIENCE: Final = 30.0
_POLL: Final = 0.5
_NO_KEY: Final = "null"


@dataclass(frozen=True, slots=True)
class Told:
    """One change, as an event tells it. tx: the transaction's id."""

    tx: str
    op: str
    key: Row | None
    before: Row | None
    after: Row | None


class Topics:
    """The data topics of one database, of one partition each. Every `check` reads on where the last one ended.

    prefix: of the topics' names, before the tables'.
    """

    def __init__(self, bootstrap: str, prefix: str, tables: Sequence[Table]) -> None:
        self._tables = {prefix + table.name: table for table in tables}
        self._offsets = dict.fromkeys(self._tables, 0)
        self._held = 0
        self._settings = {
            "bootstrap.servers": bootstrap,
            "group.id": "oracle",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "log_level": 0,
        }

    async def check(self, history: History) -> int:
        """Every change exactly once, in order, and none that there was not. Returns how many events that were.

        Raises BrokenPromiseError.
        """
        expected = {
            topic: list(_expected(history, self._held, table)) for topic, table in self._tables.items()
        }
        told = await asyncio.to_thread(self._read, {topic: len(each) for topic, each in expected.items()})
        for topic in self._tables:
            _compare(topic, expected[topic], told[topic])
        self._held = len(history)
        return sum(map(len, told.values()))

    def leader_of(self, topic: str) -> int:
        """The number of the broker that leads the topic's first partition."""
        with self._consumer() as consumer:
            return int(consumer.list_topics(topic, timeout=_PATIENCE).topics[topic].partitions[0].leader)

    def _read(self, enough: dict[str, int]) -> dict[str, list[Told]]:
        """All that can be read; while that is not enough, what comes."""
        told: dict[str, list[Told]] = {topic: [] for topic in self._tables}
        reading = set(self._tables)
        deadline = time.monotonic() + _PATIENCE
        with self._consumer() as consumer:
            consumer.assign([TopicPartition(topic, 0, offset) for topic, offset in self._offsets.items()])
            while reading and time.monotonic() < deadline:
                message = consumer.poll(_POLL)
                if message is None:
                    continue
                error, topic = message.error(), message.topic()
                if error is None:
                    self._offsets[topic] = message.offset() + 1
                    told[topic].append(_told(message.key(), message.value()))
                    reading.add(topic)
                elif error.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(error)
                elif len(told[topic]) >= enough[topic]:
                    reading.discard(topic)
        return told

    @contextmanager
    def _consumer(self) -> Iterator[Consumer]:
        consumer = Consumer(self._settings)
        try:
            yield consumer
        finally:
            consumer.close()


def _told(key: bytes | None, value: bytes) -> Told:
    event: dict[str, Any] = json.loads(value)
    tx = str(event["transaction"]["id"])
    return Told(tx, event["op"], json.loads(key or _NO_KEY), event["before"], event["after"])


def _expected(history: History, start: int, table: Table) -> Iterator[Told]:
    for transaction in history.transactions[start:]:
        for change in transaction.changes:
            if change.table != table.name:
                continue
            old, new = change.old, change.new
            if old is None and new is None:
                yield Told(transaction.tx, "t", None, None, None)
            elif old is not None and new is not None and table.find(old) == table.find(new):
                yield Told(transaction.tx, "u", _key(table, new), old, new)
            else:
                if old is not None:
                    yield Told(transaction.tx, "d", _key(table, old), old, None)
                if new is not None:
                    yield Told(transaction.tx, "c", _key(table, new), None, new)


def _key(table: Table, row: Row) -> Row:
    return {field: row[field] for field in table.key}


def _compare(topic: str, expected: list[Told], told: list[Told]) -> None:
    for place, (want, got) in enumerate(zip(expected, told, strict=False)):
        if want != got:
            raise BrokenPromiseError(
                f"{topic}: event {place} of {len(told)} ({len(expected)} expected) is another one\n"
                f"expected {_after(expected, place)}\ngot      {_after(told, place)}"
            )
    if len(expected) != len(told):
        place = min(len(expected), len(told))
        raise BrokenPromiseError(
            f"{topic}: {len(told)} events, {len(expected)} expected\n"
            f"expected {_after(expected, place)}\ngot      {_after(told, place)}"
        )


def _after(changes: list[Told], place: int) -> str:
    """The first three from there on."""
    return "\n         ".join(str(change)[:400] for change in changes[place : place + 3]) or "nothing more"
