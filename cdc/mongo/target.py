"""What one MongoDB of the configuration asks for. (pure)"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from cdc.config import Config


@dataclass(frozen=True, slots=True)
class Target:
    """One database: `conn` is the connection string, `database` the one that `collections` are in, `manage` says
    whether we may change anything in it."""

    project: str
    alias: str
    conn: str = field(repr=False)
    manage: bool
    database: str
    collections: tuple[str, ...]

    @classmethod
    def of(cls, config: Config, alias: str) -> Target:
        """The target that the configuration describes under this alias."""
        database = config.databases[alias]
        conn = database.conn.reveal()
        return cls(
            project=config.id,
            alias=alias,
            conn=conn,
            manage=database.manage,
            database=database_name(conn) or config.id,
            collections=config.realtime_collections(alias),
        )


def database_name(conn: str) -> str:
    """The database that a connection string names; empty if it names none."""
    path = conn.partition("://")[2].partition("?")[0].partition("/")[2]
    return unquote(path)


def shell(database: str, command: Mapping[str, Any]) -> str:
    """A command as one types it into mongosh."""
    return f"db.getSiblingDB({json.dumps(database)}).runCommand({json.dumps(command)})"
