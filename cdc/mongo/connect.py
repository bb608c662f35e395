"""Connections to MongoDB, and what its errors mean for the pipeline."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import wraps
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar

from pymongo import AsyncMongoClient
from pymongo.errors import (
    ConfigurationError,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.server_description import ServerDescription

from cdc.errors import ConfigError, LivetailError, PositionLost, ProtocolError, SetupError, SourceUnavailable
from cdc.mongo.target import Target, shell

P = ParamSpec("P")
T = TypeVar("T")
Client: TypeAlias = AsyncMongoClient[dict[str, Any]]

_SELECTION_MS: Final = 5_000
_SOCKET_MS: Final = 70_000  # above the longest read that we ask for
_UNAUTHORIZED: Final = 13
_AUTHENTICATION_FAILED: Final = 18
_TOO_LARGE: Final = 10334
_NO_REPLICA_SET: Final = 40573
_LOST: Final = {
    286: "the oplog no longer holds what follows our position",
    136: "the oplog was overwritten while it was read",
    280: "the oplog does not hold our position",
    260: "the server does not accept our position",
}


def cancellable(work: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """For what is done with a client: pymongo (4.20 on Python 3.11) can take a task's cancellation for the end of a
    command and go on, and whoever waits for the task's end would wait for ever. Raises CancelledError then."""

    @wraps(work)
    async def done(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await work(*args, **kwargs)
        finally:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError

    return done


def describe(conn: str) -> str:
    """Where `conn` leads, without any secret: `MongoDB at db.example:27017/app as user app`."""
    place = conn.rpartition("://")[2].partition("?")[0]
    user, at, hosts = place.rpartition("@")
    name = user.partition(":")[0] if at else "(none)"
    return f"MongoDB at {hosts.rstrip('/')} as user {name}"


def one_router(servers: Sequence[ServerDescription]) -> Sequence[ServerDescription]:
    """Of several mongos always the same, while it is there: a cursor lives in the one that opened it."""
    routers = [server for server in servers if server.server_type_name == "Mongos"]
    return [min(routers, key=lambda server: server.address)] if routers else servers


def connect(conn: str) -> Client:
    """A client; it connects at the first use. Raises ConfigError, which shows nothing of the string."""
    if "loadbalanced=true" in conn.lower():
        raise ConfigError(
            "`conn` says loadBalanced=true, but a change stream must stay with one server: name the mongos themselves"
        )
    try:
        client: Client = AsyncMongoClient(
            conn,
            appname="livetail",
            serverSelectionTimeoutMS=_SELECTION_MS,
            connectTimeoutMS=_SELECTION_MS,
            socketTimeoutMS=_SOCKET_MS,
            readPreference="primary",
            server_selector=one_router,
            serverMonitoringMode="poll",  # no second connection, whose set-up a quick close would leak
        )
    except (InvalidURI, ConfigurationError, ValueError, TypeError):
        raise ConfigError(
            "`conn` is not a MongoDB connection string; write mongodb://user:password@host:27017/database?replicaSet=rs0"
        ) from None
    return client


def reason(error: PyMongoError) -> str:
    """The server's or the network's words on one line, without the driver's description of the topology."""
    text = str(error).partition(", full error:")[0].partition(", Timeout:")[0]
    if isinstance(error, ServerSelectionTimeoutError):
        text = re.sub(r" \(configured timeouts:[^)]*\)", "", text)
    return " ".join(text.split()) or type(error).__name__


def explain(target: Target, error: PyMongoError) -> LivetailError:
    """The error as what the pipeline acts on."""
    where = f"{target.alias} ({describe(target.conn)})"
    code = error.code if isinstance(error, OperationFailure) else None
    if code in _LOST:
        return PositionLost(
            f"{where}: {_LOST[code]}. Changes are missing: enlarge the oplog (replSetResizeOplog), and to begin anew "
            "start the tailer once with --reset-position"
        )
    if code == _TOO_LARGE:
        return ProtocolError(
            f"{where}: a change is larger than the 16 MiB that MongoDB before 6.0.9 can tell, its document's old and "
            "new image together. Upgrade the server, or make that document smaller than 8 MiB and keep large values "
            "elsewhere, or switch the collection's images off; then start the tailer once with --reset-position"
        )
    if code == _UNAUTHORIZED:
        user = describe(target.conn).rpartition(" ")[2]
        grant = {"grantRolesToUser": user, "roles": [{"role": "read", "db": target.database}]}
        return SetupError(f"{where}: {reason(error)}; grant it: {shell('admin', grant)}")
    if code == _AUTHENTICATION_FAILED:
        return SourceUnavailable(f"{where}: {reason(error)} Look at user, password and authSource in `conn`.")
    if code == _NO_REPLICA_SET:
        return SetupError(f"{where}: is no replica set; start mongod with --replSet rs0, then rs.initiate()")
    return SourceUnavailable(f"{where}: {reason(error)}")


async def force_progress(client: Client, target: Target) -> None:
    """Write no-ops to the oplog, so that change streams move on where nobody writes. Raises PyMongoError.

    Twice: a change stream that has met nothing since it was opened does not move on for the first (seen in 6.0.5).
    """
    for _ in range(2):
        await _write_nothing(client, target)


async def _write_nothing(client: Client, target: Target) -> None:
    """On every shard where the user may `appendOplogNote`; else by a linearizable read, which any reader may do."""
    try:
        note = {"appendOplogNote": 1, "data": {"livetail": 1}, "writeConcern": {"w": "majority"}}
        await client.admin.command(note)
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
        await client[target.database].command(
            "find",
            target.collections[0],
            filter={"_id": "livetail"},
            limit=1,
            singleBatch=True,
            readConcern={"level": "linearizable"},
            maxTimeMS=_SELECTION_MS,
        )
