"""What a source's topics hold and who tails it, for people to look at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka.protocol.admin import DescribeGroupsRequest
from aiokafka.protocol.metadata import MetadataRequest

from cdc.log.kafka.failure import RETRIED, Code, refused
from cdc.log.kafka.fetch import ends, starts
from cdc.log.kafka.link import GROUP, Link, Passing, persist
from cdc.log.kafka.search import PATIENCE
from cdc.status import Fact


@dataclass(frozen=True, slots=True)
class PartitionState:
    """Kafka offsets start <= offset < end are kept, in `replicas` copies, of which `in_sync` are up to date."""

    start: int
    end: int
    replicas: int
    in_sync: int


@dataclass(frozen=True, slots=True)
class TopicState:
    """One topic; no partitions: it does not exist."""

    name: str
    partitions: tuple[PartitionState, ...]


async def inventory(link: Link, topics: Iterable[str]) -> tuple[TopicState, ...]:
    """How these topics stand. Raises LogError."""
    wanted = list(topics)
    answer = await link.ask(MetadataRequest(wanted, allow_auto_topic_creation=False))
    copies: dict[str, list[tuple[int, int]]] = {}
    for code, name, _, partitions in answer.topics:
        if code == Code.UNKNOWN_TOPIC:
            continue
        if code not in (Code.NONE, Code.LEADER_NOT_AVAILABLE):
            raise refused(f"topic {name}", code)
        numbered = sorted((number, len(replicas), len(isr)) for _, number, _, replicas, isr, *_ in partitions)
        copies[name] = [(replicas, in_sync) for _, replicas, in_sync in numbered]
    wanted_ends = {(name, number) for name, each in copies.items() for number in range(len(each))}
    first = await persist(lambda: starts(link, wanted_ends), PATIENCE)
    end = await persist(lambda: ends(link, wanted_ends), PATIENCE)
    return tuple(
        TopicState(
            name,
            tuple(
                PartitionState(first[name, number], end[name, number], replicas, in_sync)
                for number, (replicas, in_sync) in enumerate(copies.get(name, ()))
            ),
        )
        for name in wanted
    )


async def tailers(link: Link, group: str) -> tuple[str, ...]:
    """The addresses of the tailers in the group: one writes, the others stand by. Raises LogError."""

    async def ask() -> Any:
        node = await link.coordinator(group, GROUP)
        [found] = (await link.call(node, DescribeGroupsRequest([group]))).groups
        if found[0] in (Code.NO_COORDINATOR, Code.NOT_COORDINATOR):
            link.forget_coordinator(group, GROUP)
        if found[0] in RETRIED:
            raise Passing(f"group {group}", found[0])
        return found

    code, _, _, _, _, members, *_ = await persist(ask, PATIENCE)
    if code:
        raise refused(f"group {group}", code)
    return tuple(sorted(host.lstrip("/") for _, _, host, *_ in members))


def tailers_fact(addresses: Sequence[str]) -> Fact:
    """The tailers for `cdc.status`. (pure)"""
    where = ", ".join(addresses)
    text = {0: "none", 1: where}.get(len(addresses), f"{where}; one of them writes, the others stand by")
    return Fact("tailers", text, {"tailers": list(addresses)}, bool(addresses))


def topics_fact(topics: Iterable[TopicState]) -> Fact:
    """The topics for `cdc.status`: a line for each. (pure)"""
    told = list(topics)
    values = [
        {
            "name": topic.name,
            "partitions": [
                {
                    "start": partition.start,
                    "end": partition.end,
                    "replicas": partition.replicas,
                    "inSync": partition.in_sync,
                }
                for partition in topic.partitions
            ],
        }
        for topic in told
    ]
    lines = "\n".join(f"{topic.name}: {_text(topic)}" for topic in told)
    return Fact("topics", lines, {"topics": values}, all(map(_whole, told)))


def _whole(topic: TopicState) -> bool:
    return bool(topic.partitions) and all(each.in_sync == each.replicas for each in topic.partitions)


def _text(topic: TopicState) -> str:
    if not topic.partitions:
        return "does not exist; the tailer makes it"
    count, replicas = len(topic.partitions), min(each.replicas for each in topic.partitions)
    lagging = sum(each.in_sync < each.replicas for each in topic.partitions)
    ends = ", ".join(f"{each.start}…{each.end}" for each in topic.partitions)
    return (
        f"{count} partition{'s' if count > 1 else ''} in {replicas} cop{'ies' if replicas > 1 else 'y'}"
        f"{f', {lagging} of them not in sync everywhere' if lagging else ''}; Kafka offsets {ends}"
    )
