"""What people and programs are told of topics and tailers."""

from __future__ import annotations

import pytest

from cdc.log.kafka.inventory import PartitionState, TopicState, tailers_fact, topics_fact

POSITION = TopicState("p.db-position", (PartitionState(5, 9, 3, 3),))
TODOS = TopicState("p.db.todos", (PartitionState(0, 12, 3, 3), PartitionState(0, 4, 3, 2)))
MISSING = TopicState("p.db.users", ())


def test_topics() -> None:
    fact = topics_fact([POSITION, TODOS, MISSING])
    assert fact.text.splitlines() == [
        "p.db-position: 1 partition in 3 copies; Kafka offsets 5…9",
        "p.db.todos: 2 partitions in 3 copies, 1 of them not in sync everywhere; Kafka offsets 0…12, 0…4",
        "p.db.users: does not exist; the tailer makes it",
    ]
    assert fact.values["topics"][0] == {
        "name": "p.db-position",
        "partitions": [{"start": 5, "end": 9, "replicas": 3, "inSync": 3}],
    }


@pytest.mark.parametrize(
    ("topics", "ok"), [([POSITION], True), ([POSITION, TODOS], False), ([POSITION, MISSING], False)]
)
def test_topics_that_lack_something(topics: list[TopicState], ok: bool) -> None:
    assert topics_fact(topics).ok == ok


@pytest.mark.parametrize(
    ("addresses", "text", "ok"),
    [
        ([], "none", False),
        (["10.0.0.7"], "10.0.0.7", True),
        (["10.0.0.7", "10.0.0.9"], "10.0.0.7, 10.0.0.9; one of them writes, the others stand by", True),
    ],
)
def test_tailers(addresses: list[str], text: str, ok: bool) -> None:
    fact = tailers_fact(addresses)
    assert (fact.text, fact.ok, fact.values) == (text, ok, {"tailers": addresses})
