"""How a MongoDB stands to its tailer: how far behind that is, and how far back the oplog reaches."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from bson.timestamp import Timestamp
from pymongo.errors import OperationFailure, PyMongoError

from cdc.event import Position
from cdc.mongo.connect import Client, connect, describe, explain
from cdc.mongo.setup import epoch_of
from cdc.mongo.target import Target
from cdc.status import Fact, seconds_text

_UNAUTHORIZED: Final = 13


def place(position: Position) -> str:
    """The position's cluster time: seconds in UTC, and the number within."""
    seconds, number = position.order >> 32, position.order & 0xFFFFFFFF
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}, {number}"


async def status(target: Target, after: Position | None) -> list[Fact]:
    """after: the event log's position. Raises SourceUnavailable, ConfigError."""
    client = connect(target.conn)
    try:
        hello = await client.admin.command("hello")
        build = await client.admin.command("buildInfo")
        epoch = await epoch_of(client)
        return facts_of(target, hello, build["version"], epoch, await _oplog(client), after)
    except PyMongoError as error:
        raise explain(target, error) from error
    finally:
        await client.close()


async def _oplog(client: Client) -> dict[str, Any] | None:
    """The oplog's ends; None where the user may not ask, and on a mongos."""
    try:
        answer = await client.admin.command({"serverStatus": 1, "oplog": 1})
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
        return None
    oplog: dict[str, Any] | None = answer.get("oplog")
    return oplog


def facts_of(
    target: Target,
    hello: dict[str, Any],
    version: str,
    epoch: str,
    oplog: dict[str, Any] | None,
    after: Position | None,
) -> list[Fact]:
    """hello, oplog: the server's answers; epoch: of its oplog; after: the event log's position. (pure)"""
    where = describe(target.conn)
    facts = [Fact("database", f"{where} ({version})", {"where": where, "version": version})]
    same = after is None or after.epoch == epoch
    if after is not None and same:
        newest: Timestamp = (
            hello.get("lastWrite", {}).get("majorityOpTime", {}).get("ts", hello["operationTime"])
        )
        behind = max(0, newest.time - (after.order >> 32))
        facts.append(Fact("behind", seconds_text(behind), {"behindSeconds": behind}))
    lost = "" if same else "this is the oplog of another replica set than the one that was tailed"
    if oplog is None:
        text = "only shown with the role clusterMonitor, by a replica set"
        facts.append(Fact("oplog", text, {"oplog": None}))
    else:
        oldest, end = oplog["earliestOptime"], oplog["latestOptime"]
        kept = {"oldest": oldest.time, "newest": end.time, "seconds": end.time - oldest.time}
        facts.append(Fact("oplog", f"the last {seconds_text(kept['seconds'])} are there", {"oplog": kept}))
        if after is not None and same and after.order < (oldest.time << 32 | oldest.inc):
            lost = "the oplog no longer holds what follows the position"
    if lost:
        text = f"{lost}; to begin anew start the tailer once with --reset-position"
        facts.append(Fact("lost", text, {"lost": lost}, ok=False))
    return facts
