"""What one Postgres of the configuration asks for, and how its publication and slot are called. (pure)"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cdc.config import Config
from cdc.errors import ConfigError
from cdc.postgres.facts import Name

_LONGEST: Final = 63


@dataclass(frozen=True, slots=True)
class Target:
    """One database: `conn` is the connection string, `tables` maps (schema, table) to the collection's name, `manage`
    says whether we may change anything in it."""

    project: str
    alias: str
    conn: str = field(repr=False)
    manage: bool
    publication: str
    slot: str
    tables: Mapping[Name, str]

    @classmethod
    def of(cls, config: Config, alias: str) -> Target:
        """The target that the configuration describes under this alias. Raises ConfigError if two of its collections
        are one table."""
        database = config.databases[alias]
        name = default_name(config.id, alias)
        tables: dict[Name, str] = {}
        for collection in config.realtime_collections(alias):
            same = tables.setdefault(table_name(collection), collection)
            if same != collection:
                raise ConfigError(
                    f"modules.crud.{alias}.collections: {same} and {collection} are the same table"
                )
        return cls(
            project=config.id,
            alias=alias,
            conn=database.conn.reveal(),
            manage=database.manage,
            publication=database.publication or name,
            slot=database.slot or name,
            tables=tables,
        )


def table_name(collection: str) -> Name:
    """(schema, table) of a collection; the schema is `public` unless given."""
    schema, dot, name = collection.partition(".")
    return (schema, name) if dot else ("public", collection)


def default_name(project: str, alias: str) -> str:
    """The name of publication and slot: `livetail_<project>_<alias>` in what slot names may hold, with a hash where
    that lost something, so that two projects never share one."""
    plain = f"livetail_{project}_{alias}"
    name = re.sub(r"[^a-z0-9_]", "_", plain.lower())
    if name == plain and len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(plain.encode()).hexdigest()[:8]
    return f"{name[: _LONGEST - 9]}_{digest}"


def identifier(*parts: str) -> str:
    """Quoted for SQL, joined by dots."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def literal(text: str) -> str:
    """Quoted for SQL (standard_conforming_strings)."""
    return "'" + text.replace("'", "''") + "'"
