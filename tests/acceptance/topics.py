"""Holds the topics to what the database says that happened, as a stranger reads them: by librdkafka, `read_committed`.

Nothing of Livetail's takes part in it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from history import History
from tables import Table
from told import Told, compare, expected, told_by

_PATIENCE: Final = 30.0
_POLL: Final = 0.5


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
        wanted = {topic: list(expected(history, self._held, table)) for topic, table in self._tables.items()}
        told = await asyncio.to_thread(self._read, {topic: len(each) for topic, each in wanted.items()})
        for topic in self._tables:
            compare(topic, wanted[topic], told[topic])
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
                    told[topic].append(told_by(message.key(), message.value()))
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
