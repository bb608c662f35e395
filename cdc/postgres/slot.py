"""The replication slot: where to start, when it is lost, and how it is made."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

import psycopg

from cdc.errors import PositionLost
from cdc.event import Position
from cdc.postgres import facts as ask
from cdc.postgres.connect import describe
from cdc.postgres.facts import Connection, Server, Slot
from cdc.postgres.target import Target, literal

_PATIENCE_S: Final = 3.0  # after this long say what the new slot waits for
_log = logging.getLogger(__name__)


def start_at(
    target: Target, server: Server, epoch: str, slot: Slot | None, after: Position | None
) -> int | None:
    """The LSN to follow the log from; None if a slot has to be made first (pure).

    `epoch` is the cluster's system identifier, `after` the log's position. Raises PositionLost when changes between
    `after` and what the slot still has are gone, or can never be told.
    """
    if after is None:
        return None if slot is None or slot.invalid else slot.confirmed
    lost = _lost(target, server, epoch, slot, after)
    if lost:
        raise PositionLost(
            f"{target.alias} ({describe(target.conn)}): {lost}. Changes since then may be missing; "
            "to give up the old position and begin anew, start the tailer once with --reset-position"
        )
    return after.order


def _lost(target: Target, server: Server, epoch: str, slot: Slot | None, after: Position) -> str:
    if after.epoch != epoch:
        return f"this is another cluster (system identifier {epoch}, the event log follows {after.epoch})"
    if slot is None:
        return f"the replication slot {target.slot} vanished, the event log ends at {lsn(after.order)}"
    if slot.invalid:
        return f"the replication slot {target.slot} is invalid: {slot.invalid}"
    if slot.confirmed > after.order:
        return (
            f"the replication slot {target.slot} was moved to {lsn(slot.confirmed)}, "
            f"beyond the event log's end at {lsn(after.order)}"
        )
    if server.insert_lsn < after.order:
        return (
            f"the database's log ends at {lsn(server.insert_lsn)}, before the event log's end at "
            f"{lsn(after.order)}: it was restored from a backup or failed over to a replica that lagged"
        )
    return ""


async def create(conn: Connection, watcher: Connection, target: Target, slot: Slot | None) -> int:
    """Make the slot anew (dropping an invalid one) and return its consistent point.

    The server makes it wait for every transaction then open; those are named in the log while it does.
    `conn` (a replication connection will do) is used up by the wait, `watcher` asks meanwhile.
    """
    if slot is not None:
        await drop(watcher, target)
    _log.info("%s: creating replication slot %s", target.alias, target.slot)
    waiting = asyncio.create_task(_name_obstacles(watcher, target, conn.info.backend_pid))
    try:
        made = f"pg_create_logical_replication_slot({literal(target.slot)}, 'pgoutput')"
        row = await (
            await conn.execute(f"SELECT (lsn - '0/0'::pg_lsn)::int8 FROM {made}".encode())
        ).fetchone()
    finally:
        waiting.cancel()
        await asyncio.wait([waiting])
    assert row is not None
    return int(row[0])


async def drop(conn: Connection, target: Target) -> None:
    """Drop the slot if it exists."""
    query = "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s"
    await conn.execute(query, (target.slot,))


async def _name_obstacles(conn: Connection, target: Target, creator: int) -> None:
    while True:
        await asyncio.sleep(_PATIENCE_S)
        try:
            oldest = await ask.oldest_transactions(conn, creator)
        except psycopg.Error:
            return  # the creation itself will fail and say why
        if oldest:
            those = ", ".join(f"pid {pid} (open for {age} s)" for pid, age in oldest)
            _log.warning("%s: creating the slot waits for open transactions: %s", target.alias, those)


def lsn(value: int) -> str:
    """An LSN as Postgres writes it."""
    return f"{value >> 32:X}/{value & 0xFFFFFFFF:X}"
