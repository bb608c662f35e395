"""Checks a MySQL or MariaDB. There is nothing in it that would be ours to change."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import pymysql

from cdc.errors import SetupError
from cdc.mysql.connect import Connection, connect, explain
from cdc.mysql.facts import Facts, gather
from cdc.mysql.requirements import advice, awaited, requirements
from cdc.mysql.target import Target
from cdc.requirement import Requirement
from cdc.requirement import explain as tell

_log: Final = logging.getLogger(__name__)


async def check(target: Target) -> list[Requirement]:
    """Every requirement as it stands, then what is well to know. Raises ConfigError, SourceUnavailable if the server
    cannot be asked."""
    return await asyncio.to_thread(_check, target)


def require(connection: Connection, target: Target) -> Facts:
    """The facts of a server that has all that is needed, but for tables that do not exist yet, which are logged.
    Blocks. Raises SetupError, which tells what is missing, with the statements; pymysql.MySQLError."""
    facts = gather(connection, target.tables)
    later = awaited(facts)
    unmet = [each for each in requirements(target, facts) if not each.ok and each not in later]
    if unmet:
        raise SetupError(f"{target.alias} ({target.where}): {tell(unmet)}")
    for table in later:
        _log.warning("%s: %s %s; it is followed once it does", target.alias, table.name, table.detail)
    return facts


def _check(target: Target) -> list[Requirement]:
    with connect(target) as connection:
        try:
            facts = gather(connection, target.tables)
        except pymysql.MySQLError as error:
            raise explain(target, error) from error
    return [*requirements(target, facts), *advice(facts)]
