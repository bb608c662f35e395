"""What is told of a MongoDB: how far behind the tailer is, and how far back the oplog reaches."""

from __future__ import annotations

from typing import Any

from bson.timestamp import Timestamp

from cdc.event import Position
from cdc.mongo.status import facts_of, place
from cdc.mongo.target import Target
from cdc.status import Part

TARGET = Target("todo-app", "mongo", "mongodb://app:hunter2@h/app", True, "app", ("todos",))
REPLICA_SET: dict[str, Any] = {
    "lastWrite": {"majorityOpTime": {"ts": Timestamp(1000, 3)}},
    "operationTime": Timestamp(1005, 1),
}
ROUTER: dict[str, Any] = {"operationTime": Timestamp(1005, 1)}
OPLOG: dict[str, Any] = {"earliestOptime": Timestamp(400, 1), "latestOptime": Timestamp(1000, 3)}


def at(seconds: int, number: int = 0, epoch: str = "rs") -> Position:
    return Position(epoch, seconds << 32 | number)


def told(
    after: Position | None, hello: dict[str, Any] = REPLICA_SET, oplog: dict[str, Any] | None = OPLOG
) -> tuple[dict[str, str], Part]:
    facts = facts_of(TARGET, hello, "7.0.1", "rs", oplog, after)
    assert "hunter2" not in str(facts)
    return {fact.label: fact.text for fact in facts}, Part(tuple(facts))


def test_all_is_well() -> None:
    texts, part = told(at(988))
    assert texts == {
        "database": "MongoDB at h/app as user app (7.0.1)",
        "behind": "12.0 s",
        "oplog": "the last 10.0 min are there",
    }
    assert part.as_json() == {
        "ok": True,
        "where": "MongoDB at h/app as user app",
        "version": "7.0.1",
        "behindSeconds": 12,
        "oplog": {"oldest": 400, "newest": 1000, "seconds": 600},
    }


def test_without_a_position_or_the_right_to_look() -> None:
    texts, part = told(None, ROUTER, None)
    assert "clusterMonitor" in texts["oplog"]
    assert "behind" not in texts
    assert part.ok


def test_a_router_tells_the_time_of_its_cluster() -> None:
    assert told(at(1000), ROUTER, None)[0]["behind"] == "5.0 s"
    assert told(at(2000), ROUTER, None)[0]["behind"] == "0.0 s"


def test_a_lost_position_is_told() -> None:
    for after, words in ((at(400), "no longer holds"), (at(988, epoch="other"), "another replica set")):
        texts, part = told(after)
        assert words in texts["lost"]
        assert "--reset-position" in texts["lost"]
        assert not part.ok
    assert "lost" not in told(at(400, 1))[0]


def test_place() -> None:
    assert place(at(1_790_000_000, 4)) == "2026-09-21T14:13:20Z, 4"
