"""Checks a Postgres, and does all set-up that it permits: replica identity and publication, idempotently."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import psycopg

from cdc.errors import SetupError
from cdc.postgres import facts as ask
from cdc.postgres.connect import connect, describe, reason
from cdc.postgres.facts import Connection, Name
from cdc.postgres.requirements import Facts, published, requirements, slot_requirement
from cdc.postgres.target import Target
from cdc.requirement import Requirement, explain

_ROUNDS: Final = 4
_LOCK_TIMEOUT_MS: Final = 3000  # an ALTER TABLE waiting for its lock holds up everybody behind it
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How things stand after all that is permitted was done. `joined`: wanted tables of which the publication did not
    hold every change until now, so that some may be missing from the stream. `unmet`: what is left to an operator."""

    facts: Facts
    joined: frozenset[Name]
    unmet: tuple[Requirement, ...]


async def open_session(target: Target) -> Connection:
    """The ordinary connection that set-up and catalog queries use. Raises SourceUnavailable."""
    return await connect(target.conn, lock_timeout=str(_LOCK_TIMEOUT_MS))


async def check(target: Target) -> list[Requirement]:
    """Every requirement as it stands; changes nothing. Raises SourceUnavailable if the server cannot be asked."""
    conn = await open_session(target)
    try:
        facts = await gather(conn, target)
        return [*requirements(target, facts), slot_requirement(target, facts)]
    finally:
        await conn.close()


async def gather(conn: Connection, target: Target) -> Facts:
    """All facts, from the catalog."""
    return Facts(
        await ask.server(conn),
        await ask.tables(conn, list(target.tables)),
        await ask.publication(conn, target.publication),
        await ask.slot(conn, target.slot),
    )


async def mend(conn: Connection, target: Target) -> Outcome:
    """Do what is permitted until every requirement (but the slot) is met or nothing more can be done.

    Safe beside another process that does the same.
    """
    facts = await gather(conn, target)
    before = published(target, facts)
    unmet = _unmet(target, facts)
    if any(requirement.automatic for requirement in unmet):
        lock = f"livetail:{target.publication}"
        await conn.execute("SELECT pg_advisory_lock(hashtextextended(%s, 0))", (lock,))
        try:
            facts, unmet = await _run_automatic(conn, target)
        finally:
            await conn.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (lock,))
    return Outcome(facts, published(target, facts) - before, tuple(unmet))


async def _run_automatic(conn: Connection, target: Target) -> tuple[Facts, list[Requirement]]:
    """Run the automatic statements, in rounds since one may reveal another; what is left, with the server's reasons."""
    failed: dict[str, str] = {}
    for _ in range(_ROUNDS):
        facts = await gather(conn, target)
        unmet = _unmet(target, facts)
        todo = [each for each in unmet if each.automatic and each.fix not in failed]
        if not todo:
            break
        for requirement in todo:
            try:
                await conn.execute(requirement.fix.encode())
            except psycopg.OperationalError:
                if conn.closed:
                    raise
                failed[requirement.fix] = "the lock was not granted in time; it is tried again"
            except psycopg.Error as error:
                failed[requirement.fix] = reason(error)
            else:
                _log.info("%s: did: %s", target.alias, requirement.fix)
    return facts, list(_with_reasons(unmet, failed))


def _with_reasons(unmet: Iterable[Requirement], failed: dict[str, str]) -> Iterable[Requirement]:
    for each in unmet:
        why = failed.get(each.fix)
        yield replace(each, detail=f"{each.detail} ({why})") if why else each


def _unmet(target: Target, facts: Facts) -> list[Requirement]:
    return [each for each in requirements(target, facts) if not each.ok]


def unmet(target: Target, left: Sequence[Requirement]) -> SetupError:
    """What is left to an operator, all of it, with the statements."""
    return SetupError(f"{target.alias} ({describe(target.conn)}): {explain(left)}")
