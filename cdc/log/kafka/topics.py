"""A source's topics: made where they are missing, used as they are where they exist."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from aiokafka.protocol.admin import CreateTopicsRequest, DeleteRecordsRequest, DescribeConfigsRequest

from cdc.config import Collection, KafkaConfig, Retention
from cdc.errors import LogError
from cdc.log.kafka.failure import RETRIED, Code, refused
from cdc.log.kafka.link import Link, Passing, persist
from cdc.log.kafka.names import Names, confusable

_log = logging.getLogger(__name__)
_WAIT_MS: Final = 10_000
_TOPIC: Final = 2  # a kind of resource
_MOST_REPLICAS: Final = 3
_KEPT: Final = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_DENIED: Final = (Code.TOPIC_DENIED, Code.CLUSTER_DENIED)


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be; settings in Kafka's words."""

    name: str
    partitions: int
    settings: Mapping[str, str]


class Topics:
    """collections: those that are configured, for their partitions; others get one."""

    def __init__(
        self, names: Names, kafka: KafkaConfig, retention: Retention, collections: Mapping[str, Collection]
    ) -> None:
        self._names = names
        self._kafka = kafka
        self._retention = retention
        self._collections = collections
        self._told: set[str] = set()

    def is_compact(self, collection: str) -> bool:
        """Whether its topic is compacted."""
        known = self._collections.get(collection)
        return known is not None and known.compact

    async def ensure(self, link: Link, collections: Iterable[str]) -> dict[str, int]:
        """Make what is missing of the collections' topics and of the position topic. Returns how many partitions each
        collection has. Raises LogError, with the command that makes a topic where this user may not."""
        wanted = {self._names.topic(name): self.of(name) for name in collections}
        position = self.position()
        found = await link.describe([position.name, *wanted])
        if pair := confusable([position.name, *wanted]):
            raise LogError(
                f"Kafka cannot have the topics {pair[0]} and {pair[1]} side by side, since they differ in . and _ "
                "only: rename one of the collections"
            )
        missing = [topic for topic in (position, *wanted.values()) if topic.name not in found]
        if missing:
            await self._create(link, missing)
            found = await persist(lambda: _described(link, [position.name, *wanted]), self._kafka.timeout)
        if found[position.name] != 1:
            raise LogError(
                f"Kafka: topic {position.name} has {found[position.name]} partitions and must have one: delete it"
            )
        there = [topic for topic in (position, *wanted.values()) if topic not in missing]
        for complaint in await self._complaints(link, there, found):
            if complaint not in self._told:
                self._told.add(complaint)
                _log.warning("Kafka: %s; it is used as it is", complaint)
        return {name: found[self._names.topic(name)] for name in collections}

    async def _complaints(self, link: Link, topics: list[Topic], partitions: Mapping[str, int]) -> list[str]:
        """What of topics that were there already is not as it would have been made, where that does harm."""
        complaints = [
            f"topic {topic.name} has {partitions[topic.name]} partitions, not {topic.partitions} as configured"
            for topic in topics
            if partitions[topic.name] < topic.partitions
        ]
        for name, settings in (await _settings(link, [topic.name for topic in topics], list(_KEPT))).items():
            wanted = next(topic.settings for topic in topics if topic.name == name)
            for key in _KEPT if wanted is _KEPT else ("cleanup.policy",):
                if settings.get(key, wanted[key]) != wanted[key]:
                    complaints.append(
                        f"topic {name} has {key}={settings[key]} where it should be {wanted[key]}"
                    )
        return complaints

    def position(self) -> Topic:
        """The topic of the position records, which the tailer trims itself."""
        return Topic(self._names.position_topic, 1, _KEPT)

    def of(self, collection: str) -> Topic:
        """The topic of a collection."""
        known = self._collections.get(collection, Collection(collection))
        age_ms = str(int(self._retention.age * 1000))
        if known.compact:
            kept = {
                "cleanup.policy": "compact",
                "min.compaction.lag.ms": age_ms,
                "delete.retention.ms": age_ms,
            }
        else:
            kept = {
                "cleanup.policy": "delete",
                "retention.ms": age_ms,
                "retention.bytes": str(self._retention.size),
            }
        kept["max.message.bytes"] = str(self._kafka.message_bytes)
        return Topic(self._names.topic(collection), known.partitions, kept)

    async def _create(self, link: Link, topics: list[Topic]) -> None:
        replicas = self._kafka.replication or min(_MOST_REPLICAS, link.brokers)
        durable = {"min.insync.replicas": "2"} if replicas >= _MOST_REPLICAS else {}
        request = CreateTopicsRequest(
            [
                (topic.name, topic.partitions, replicas, [], list({**topic.settings, **durable}.items()))
                for topic in topics
            ],
            _WAIT_MS,
            False,
        )
        by_name = {topic.name: topic for topic in topics}
        for name, code, detail in (await link.ask(request)).topic_errors:
            if code in (Code.NONE, Code.TOPIC_EXISTS):
                _log.info("Kafka: topic %s was made, copies: %d", name, replicas)
            elif code in _DENIED:
                command = _command(by_name[name], replicas, durable)
                raise LogError(f"Kafka: this user may not create topics; create it, or let it: {command}")
            else:
                raise refused(f"topic {name} cannot be made", code, detail)

    async def limit(self, link: Link, topic: str) -> str:
        """How large a batch may be, as the topic says; `unknown` where we may not ask."""
        key = "max.message.bytes"
        return (await _settings(link, [topic], [key])).get(topic, {}).get(key, "unknown")


async def trim(link: Link, topic: str, before: int) -> None:
    """Delete the records of a one-partition topic below this Kafka offset. Raises Passing, LogError."""
    node = await link.leader(topic, 0)
    answer = await link.call(node, DeleteRecordsRequest([(topic, [(0, before)])], _WAIT_MS))
    for _, partitions, *_ in answer.topics:
        for _, _, code, *_ in partitions:
            if code in RETRIED:
                link.forget_leader(topic, 0)
                raise Passing(f"topic {topic}", code)
            if code:
                raise refused(f"topic {topic} cannot be trimmed", code)


async def _settings(link: Link, topics: list[str], keys: list[str]) -> dict[str, dict[str, str]]:
    """These settings of these topics, as far as we may ask for them."""
    if not topics:
        return {}
    try:
        answer = await link.ask(DescribeConfigsRequest([(_TOPIC, topic, keys) for topic in topics]))
    except LogError:
        return {}
    return {name: {entry[0]: entry[1] for entry in entries} for _, _, _, name, entries in answer.resources}


async def _described(link: Link, topics: list[str]) -> dict[str, int]:
    """They were just made, which not every broker may know yet."""
    found = await link.describe(topics)
    for topic in topics:
        if topic not in found:
            raise Passing(f"topic {topic}", Code.UNKNOWN_TOPIC)
        for partition in range(found[topic]):
            await link.leader(topic, partition)
    return found


def _command(topic: Topic, replicas: int, durable: Mapping[str, str]) -> str:
    """What an administrator runs."""
    settings = " ".join(f"--config {key}={value}" for key, value in {**topic.settings, **durable}.items())
    return (
        f"kafka-topics.sh --bootstrap-server … --create --topic {topic.name} --partitions {topic.partitions} "
        f"--replication-factor {replicas} {settings}"
    )
