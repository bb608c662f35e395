"""What the tailer needs of a MongoDB, judged from facts, each with the command that mends it. (pure)"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cdc.mongo.target import Target, shell
from cdc.requirement import Requirement, need

OLDEST_VERSION: Final = (6, 0)
_IMAGES: Final = {"changeStreamPreAndPostImages": {"enabled": True}}


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the requirements are judged from.

    set_name: of the replica set, None on a standalone; empty behind a mongos, where `sharded` is true.
    privileges: what the user may do, as `connectionStatus` tells it; None where nobody is asked who they are.
    collections: what `listCollections` says of those that exist, by name.
    """

    version: tuple[int, ...]
    set_name: str | None
    sharded: bool
    privileges: Sequence[Mapping[str, Any]] | None
    collections: Mapping[str, Mapping[str, Any]]


def splits_events(version: tuple[int, ...]) -> bool:
    """Whether a server of this version has `$changeStreamSplitLargeEvent`: from 7.0 on, and in 6.0 from 6.0.9 on."""
    return version >= (7,) or (6, 0, 9) <= version < (6, 1)


def requirements(target: Target, facts: Facts) -> list[Requirement]:
    """Without these there is no stream."""
    return [*_server(target, facts), *(_kind(target, facts, name) for name in target.collections)]


def images(target: Target, facts: Facts) -> list[Requirement]:
    """Without these every update and delete makes live queries start over, since what a row was is not known."""
    return [
        _images(target, facts, name) for name in target.collections if _is_plain(facts.collections.get(name))
    ]


def permits(
    privileges: Sequence[Mapping[str, Any]] | None, database: str, collection: str, action: str
) -> bool:
    """Whether the user may do this there; a collection of "" means all of the database."""
    if privileges is None:
        return True
    return any(
        action in privilege["actions"] and _covers(privilege["resource"], database, collection)
        for privilege in privileges
    )


def _covers(resource: Mapping[str, Any], database: str, collection: str) -> bool:
    if resource.get("anyResource"):
        return True
    return resource.get("db") in ("", database) and resource.get("collection") in ("", collection)


def _server(target: Target, facts: Facts) -> Iterator[Requirement]:
    version = ".".join(map(str, facts.version[:3]))
    yield need(
        "version",
        facts.version >= OLDEST_VERSION,
        f"MongoDB {version}",
        f"MongoDB {version}; 6.0 or later is needed",
    )
    yield need(
        "replica set",
        facts.sharded or facts.set_name is not None,
        "a sharded cluster"
        if facts.sharded
        else f"{facts.set_name}; reads and change streams are of majority commits",
        "the server is a standalone, which keeps no oplog to follow",
        "start mongod with --replSet rs0, then in mongosh: rs.initiate()  -- one member is enough",
    )
    for action in ("find", "changeStream"):
        yield need(
            f"database {target.database}: {action}",
            permits(facts.privileges, target.database, "", action),
            "permitted",
            "not permitted to the user of `conn`",
            'in mongosh: db.getSiblingDB("admin").grantRolesToUser("…", '
            f'[{{role: "readWrite", db: "{target.database}"}}, {{role: "dbAdmin", db: "{target.database}"}}])',
        )


def _is_plain(described: Mapping[str, Any] | None) -> bool:
    return described is None or described.get("type", "collection") == "collection"


def _kind(target: Target, facts: Facts, name: str) -> Requirement:
    described = facts.collections.get(name)
    what = "does not exist yet" if described is None else "exists"
    kind = "" if described is None else described.get("type")
    return need(
        f"collection {name}",
        _is_plain(described),
        what,
        f"is a {kind}, which has no changes of its own; make the collection behind it live",
    )


def _images(target: Target, facts: Facts, name: str) -> Requirement:
    described = facts.collections.get(name)
    title = f"collection {name}: pre- and post-images"
    if described is None:
        command, action = {"create": name, **_IMAGES}, "createCollection"
        automatic = target.manage and permits(facts.privileges, target.database, name, action)
        fix = shell(target.database, command)
        return Requirement(title, False, "cannot be switched on before it exists", fix, automatic)
    enabled = described.get("options", {}).get("changeStreamPreAndPostImages", {}).get("enabled", False)
    return need(
        title,
        bool(enabled),
        "are kept",
        "are not kept: after every update and delete its live queries start over",
        shell(target.database, {"collMod": name, **_IMAGES}),
        automatic=target.manage and permits(facts.privileges, target.database, name, "collMod"),
    )


def automatic_commands(target: Target, facts: Facts) -> Iterator[dict[str, Any]]:
    """The commands of the unmet requirements that are ours to run."""
    for name in target.collections:
        described = facts.collections.get(name)
        if not _is_plain(described):
            continue
        requirement = _images(target, facts, name)
        if requirement.automatic and not requirement.ok:
            verb = "create" if described is None else "collMod"
            yield {verb: name, **_IMAGES}
