"""Checks a MySQL or MariaDB. There is nothing in it that would be ours to change."""

from __future__ import annotations

import asyncio

import pymysql

from cdc.errors import SetupError
from cdc.mysql.connect import Connection, connect, explain
from cdc.mysql.facts import Facts, gather
from cdc.mysql.requirements import advice, requirements
from cdc.mysql.target import Target
from cdc.requirement import Requirement
from cdc.requirement import explain as tell


async def check(target: Target) -> list[Requirement]:
    """Every requirement as it stands, then what is well to know. Raises ConfigError, SourceUnavailable if the server
    cannot be asked."""
    return await asyncio.to_thread(_check, target)


def require(connection: Connection, target: Target) -> Facts:
    """The facts of a server that has all that is needed. Blocks. Raises SetupError, which tells what is missing, with
    the statements; pymysql.MySQLError."""
    facts = gather(connection, target.tables)
    unmet = [requirement for requirement in requirements(target, facts) if not requirement.ok]
    if unmet:
        raise SetupError(f"{target.alias} ({target.where}): {tell(unmet)}")
    return facts


def _check(target: Target) -> list[Requirement]:
    with connect(target) as connection:
        try:
            facts = gather(connection, target.tables)
        except pymysql.MySQLError as error:
            raise explain(target, error) from error
    return [*requirements(target, facts), *advice(facts)]
