"""The configuration file's keys, and their meaning as `cdc.config`. (pure but for reading the file)

What may stand where, and what it means, is in the table of docs/configuration.md; a test holds the two together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

from cdc.auth_parse import AUTH_KEYS, parse_auth
from cdc.config import Collection, Config, Database, Limits, Realtime, Retention
from cdc.config_reader import PLAIN_KEY, Reader, Secret
from cdc.errors import ConfigError
from cdc.kafka_parse import KAFKA_KEYS, parse_kafka
from cdc.rule import AllOf, Allow, AnyOf, Authenticated, Deny, Query, Rule, Webhook, rules_in
from cdc.rule_parse import parse_rule

TYPES: Final = ("mongo", "postgres", "mysql")
_OF_ALIAS: Final = {"mongo": "mongo", "sql-postgres": "postgres", "sql-mysql": "mysql"}
_OF_SCHEME: Final = {
    "mongodb": "mongo",
    "mongodb+srv": "mongo",
    "postgres": "postgres",
    "postgresql": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
}
_NAMES: Final = {"mongo": "MongoDB", "postgres": "Postgres", "mysql": "MySQL"}
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_PG_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_ORIGIN: Final = re.compile(r"https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_OTHER_OPERATIONS: Final = ("create", "update", "delete", "aggr")
DEFAULT_COLLECTION: Final = "default"

# fmt: off
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "": ("id", "secret", "auth", "modules"),
    "auth": AUTH_KEYS,
    "modules": ("realtime", "crud", "auth", "faas", "fileStore"),
    "modules.realtime": (
        "enabled",
        "kafka",
        "retention",
        "cors",
        "readyLag",
        "heartbeat",
        "recheck",
        "console",
        "limits",
    ),
    "modules.realtime.kafka": KAFKA_KEYS,
    "modules.realtime.retention": ("age", "size"),
    "modules.realtime.cors": ("origins",),
    "modules.crud.<alias>": (
        "type", "conn", "isPrimary", "manage", "onPositionLost", "slot", "publication", "collections",
    ),
    "modules.crud.<alias>.collections.<name>": (
        "isRealtimeEnabled", "rules", "snapshot", "partitions", "compact",
    ),
    "modules.crud.<alias>.collections.<name>.rules": ("read", *_OTHER_OPERATIONS),
}
# fmt: on
"""Every key by where it stands; `modules.realtime.limits` holds the fields of `Limits` in camel case."""


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Read and parse the file. Raises ConfigError, which says what is wrong where and how to mend it."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8: {error.reason} at byte {error.start}") from None
    return parse(text, environ, str(path))


def parse(text: str, environ: Mapping[str, str], where: str = "configuration") -> Config:
    """Parse the file's text. where: its name, for messages. Raises ConfigError."""
    return _Parser(Reader.of(text, where, environ)).config()


def type_of(conn: str) -> str | None:
    """The type of database that a connection string is of; None if none can be told."""
    scheme, separator, _ = conn.partition("://")
    if separator:
        return _OF_SCHEME.get(scheme.lower())
    return "postgres" if "=" in conn else None


def can_be_named(collection: str) -> bool:
    """Whether a collection of this name can stand in a configuration."""
    parts = collection.split(".")
    is_key = PLAIN_KEY.fullmatch(collection) is not None and collection not in ("<<", DEFAULT_COLLECTION)
    return is_key and all(parts) and len(parts) <= 2


class _Parser:
    def __init__(self, root: Reader) -> None:
        self._root = root
        self._ignored: list[str] = []
        self._needs_tokens: Reader | None = None
        self._queries: list[tuple[Reader, Query]] = []

    def config(self) -> Config:
        top = self._root.mapping(KEYS[""])
        if "id" not in top:
            self._root.fail("`id` is missing: the project's name, as it stands in the API's paths")
        name = top["id"].string()
        if not _IDENTIFIER.fullmatch(name):
            top["id"].fail("must be letters, digits, `-` and `_`, 63 at the most")
        modules = top["modules"].mapping(KEYS["modules"]) if "modules" in top else {}
        self._ignored += [modules[other].path for other in ("auth", "faas", "fileStore") if other in modules]
        if "crud" not in modules:
            self._root.fail("`modules.crud` is missing: the databases, by alias")
        realtime = self._realtime(modules["realtime"]) if "realtime" in modules else Realtime()
        databases = {alias: self._database(alias, node) for alias, node in modules["crud"].mapping().items()}
        primary = [alias for alias, database in databases.items() if database.is_primary]
        if len(primary) > 1:
            modules["crud"].fail(f"only one database can be primary, not {' and '.join(primary)}")
        for node, query in self._queries:
            asked = databases.get(query.database)
            if asked is None or not getattr(asked.collections.get(query.collection), "is_realtime", False):
                node.fail(
                    f"there is no live collection {query.collection!r} in a database {query.database!r}"
                )
        auth = parse_auth(top)
        if auth is None and self._needs_tokens is not None:
            self._needs_tokens.fail(
                "this needs tokens: write `secret: ${JWT_SECRET}` (HS256) or `auth:` at the top level"
            )
        return Config(name, auth, realtime, databases, tuple(self._ignored))

    def _realtime(self, node: Reader) -> Realtime:
        given = node.mapping(KEYS["modules.realtime"])
        values: dict[str, Any] = {}
        if "enabled" in given:
            values["enabled"] = given["enabled"].boolean()
        if "kafka" in given:
            values["kafka"] = parse_kafka(given["kafka"])
        if "retention" in given:
            kept = given["retention"].mapping(KEYS["modules.realtime.retention"])
            usual = Retention()
            values["retention"] = Retention(
                kept["age"].duration() if "age" in kept else usual.age,
                kept["size"].size() if "size" in kept else usual.size,
            )
        if "cors" in given:
            cors = given["cors"].mapping(KEYS["modules.realtime.cors"])
            values["cors_origins"] = tuple(map(_origin, cors["origins"].items())) if "origins" in cors else ()
        if "readyLag" in given:
            values["ready_lag"] = given["readyLag"].duration()
        if "heartbeat" in given:
            values["heartbeat"] = given["heartbeat"].duration()
        if "recheck" in given:
            values["recheck"] = given["recheck"].duration()
        if "console" in given:
            values["console"] = self._console(given["console"])
        if "limits" in given:
            names = {camel(each.name): each.name for each in fields(Limits)}
            limits = given["limits"].mapping(names)
            values["limits"] = Limits(**{
                names[key]: value.size() if key.endswith("Bytes") else value.whole() for key, value in limits.items()
            })  # fmt: skip
        return Realtime(**values)

    def _console(self, node: Reader) -> Rule | None:
        """`true` is a valid token; a rule may ask for more of one."""
        rule: Rule | None
        if node.is_mapping:
            rule = parse_rule(node)
            if any(isinstance(part, (Query, Webhook)) for part in rules_in(rule)):
                node.fail("only the token can decide who may use the console, no other collection or service")
        else:
            rule = Authenticated() if node.boolean() else None
        if rule is not None:
            self._ask_for_tokens(node, rule)
        return rule

    def _ask_for_tokens(self, node: Reader, rule: Rule) -> None:
        if any(not isinstance(part, (Allow, Deny, AllOf, AnyOf)) for part in rules_in(rule)):
            self._needs_tokens = self._needs_tokens or node

    def _database(self, alias: str, node: Reader) -> Database:
        if not _IDENTIFIER.fullmatch(alias):
            node.fail("an alias must be letters, digits, `-` and `_`, 63 at the most")
        given = node.mapping(KEYS["modules.crud.<alias>"])
        if "conn" not in given:
            node.fail(
                "`conn` is missing: the connection string, such as postgresql://user@localhost:5432/app"
            )
        conn = _conn(given["conn"])
        kind = _type(alias, given, conn)
        names = {key: _postgres_name(given[key]) for key in ("slot", "publication") if key in given}
        for key in names:
            if kind != "postgres":
                given[key].fail(f"{_NAMES[kind]} has no {key}; only Postgres has")
        collections: dict[str, Collection] = {}
        for name, entry in given["collections"].mapping().items() if "collections" in given else ():
            collections[name] = self._collection(name, entry)
        default = collections.pop(DEFAULT_COLLECTION, None)
        if default is not None and default.is_realtime:
            given["collections"].fail(
                "`default` holds the rules of the others; it is no collection to be live"
            )
        return Database(
            alias,
            kind,
            conn,
            is_primary="isPrimary" in given and given["isPrimary"].boolean(),
            manage="manage" not in given or given["manage"].boolean(),
            collections=collections,
            default_read=None if default is None else default.read,
            begins_anew="onPositionLost" in given
            and given["onPositionLost"].choice(("fail", "resnapshot")) == "resnapshot",
            **names,
        )

    def _collection(self, name: str, node: Reader) -> Collection:
        if name != DEFAULT_COLLECTION and not can_be_named(name):
            node.fail("a collection is `name`, or `schema.name`, on MySQL `database.name`")
        given = node.mapping(KEYS["modules.crud.<alias>.collections.<name>"])
        read: Rule | None = None
        if "rules" in given:
            for operation, rule in (
                given["rules"].mapping(KEYS["modules.crud.<alias>.collections.<name>.rules"]).items()
            ):
                if operation == "read":
                    read = parse_rule(rule)
                    found = [(rule, part) for part in rules_in(read) if isinstance(part, Query)]
                    self._queries += found
                    self._ask_for_tokens(rule, read)
                else:
                    self._ignored.append(rule.path)
        is_snapshotted = "snapshot" in given and given["snapshot"].choice(("none", "initial")) == "initial"
        return Collection(
            name,
            is_snapshotted=is_snapshotted,
            is_realtime="isRealtimeEnabled" in given and given["isRealtimeEnabled"].boolean(),
            read=read,
            partitions=given["partitions"].whole() if "partitions" in given else 1,
            compact="compact" in given and given["compact"].boolean(),
        )


def camel(name: str) -> str:
    """`unsent_bytes` as the file has it: `unsentBytes`."""
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def _conn(node: Reader) -> Secret:
    """The connection string. One whose password holds a bare @ or / is refused: drivers would take the password's rest
    for a host, and say so in their errors."""
    conn = node.secret()
    text = conn.reveal().partition("://")[2]
    user, at, rest = text.partition("@")
    place = rest if at and "/" not in user else text
    if "@" in place.partition("?")[0]:
        node.fail("in a user name, password or database name write @ as %40, / as %2F")
    return conn


def _type(alias: str, given: Mapping[str, Reader], conn: Secret) -> str:
    """From `type`, else the alias, else the connection's scheme; all that speak must agree."""
    says: dict[str, str] = {}
    if "type" in given:
        says["`type`"] = given["type"].choice(TYPES)
    if alias in _OF_ALIAS:
        says[f"the alias {alias}"] = _OF_ALIAS[alias]
    scheme = conn.reveal().partition("://")[0].lower() if "://" in conn.reveal() else ""
    if scheme in _OF_SCHEME:
        says[f"the scheme {scheme}:// of `conn`"] = _OF_SCHEME[scheme]
    if not says:
        given["conn"].fail("cannot tell which database this is: add `type: postgres` (or mongo, mysql)")
    if len(set(says.values())) > 1:
        given["conn"].fail(
            "; ".join(f"{who} says {_NAMES[what]}" for who, what in says.items()) + ": they contradict"
        )
    return next(iter(says.values()))


def _postgres_name(node: Reader) -> str:
    name = node.string()
    if not _PG_NAME.fullmatch(name):
        node.fail("must be lower-case letters, digits and `_`, 63 at the most")
    return name


def _origin(node: Reader) -> str:
    origin = node.string()
    if origin != "*" and not _ORIGIN.fullmatch(origin):
        node.fail("must be an origin as browsers send it, such as https://app.example.com, or *")
    return origin
