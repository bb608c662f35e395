"""Checks a MongoDB, and does all set-up that it permits: pre- and post-images, idempotently."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

from pymongo.errors import OperationFailure, PyMongoError

from cdc.errors import SetupError
from cdc.mongo.connect import Client, connect, describe, explain, reason
from cdc.mongo.requirements import Facts, automatic_commands, images, requirements
from cdc.mongo.target import Target, shell
from cdc.requirement import Requirement
from cdc.requirement import explain as tell

_UNAUTHORIZED: Final = 13
_EXISTS: Final = 48
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How things stand after all that is permitted was done. `missing`: images that are not kept."""

    facts: Facts
    epoch: str
    missing: tuple[Requirement, ...]


async def check(target: Target) -> list[Requirement]:
    """Every requirement as it stands; changes nothing. Raises SourceUnavailable if the server cannot be asked."""
    client = connect(target.conn)
    try:
        facts = await gather(client, target)
        return [*requirements(target, facts), *images(target, facts)]
    except PyMongoError as error:
        raise explain(target, error) from error
    finally:
        await client.close()


async def gather(client: Client, target: Target) -> Facts:
    """All facts. Raises PyMongoError."""
    hello = await client.admin.command("hello")
    build = await client.admin.command("buildInfo")
    status = (await client.admin.command("connectionStatus", showPrivileges=True))["authInfo"]
    known = bool(status["authenticatedUsers"])
    names = {"name": {"$in": list(target.collections)}}
    found = await client[target.database].list_collections(filter=names)
    return Facts(
        version=tuple(build["versionArray"][:3]),
        set_name=hello.get("setName"),
        sharded=hello.get("msg") == "isdbgrid",
        privileges=status["authenticatedUserPrivileges"] if known else None,
        collections={described["name"]: described async for described in found},
    )


async def mend(client: Client, target: Target) -> Outcome:
    """Do what is permitted. Raises SetupError for what is left and without which there is no stream, PyMongoError.

    Safe beside another process that does the same.
    """
    facts = await gather(client, target)
    left = [requirement for requirement in requirements(target, facts) if not requirement.ok]
    if left:
        raise SetupError(f"{target.alias} ({describe(target.conn)}): {tell(left)}")
    commands = list(automatic_commands(target, facts))
    for command in commands:
        try:
            await client[target.database].command(command)
        except OperationFailure as error:
            if error.code != _EXISTS:
                _log.warning(
                    "%s: could not do %s: %s", target.alias, shell(target.database, command), reason(error)
                )
        else:
            _log.info("%s: did: %s", target.alias, shell(target.database, command))
    if commands:
        facts = await gather(client, target)
    missing = tuple(requirement for requirement in images(target, facts) if not requirement.ok)
    return Outcome(facts, await epoch_of(client), missing)


async def epoch_of(client: Client) -> str:
    """Which oplog this is: the id of the replica set or cluster; where the user may not see it, the set's name.
    Raises PyMongoError."""
    hello = await client.admin.command("hello")
    name = str(hello.get("setName", "sharded"))
    try:
        if "setName" not in hello:
            version: dict[str, Any] | None = await client["config"]["version"].find_one()
            return str((version or {}).get("clusterId", name))
        config = (await client.admin.command("replSetGetConfig"))["config"]
        return str(config["settings"]["replicaSetId"])
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
        return name
