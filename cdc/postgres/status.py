"""How a Postgres stands to its tailer: how far behind that is, and what the slot makes the server keep."""

from __future__ import annotations

import psycopg

from cdc.errors import PositionLost
from cdc.event import Position
from cdc.postgres import facts as ask
from cdc.postgres.connect import connect, describe, unavailable
from cdc.postgres.facts import Server, Slot
from cdc.postgres.slot import lsn, start_at
from cdc.postgres.target import Target
from cdc.status import Fact, bytes_text

_SYSTEM = "SELECT system_identifier FROM pg_control_system()"


def place(position: Position) -> str:
    """The position as an LSN."""
    return lsn(position.order)


async def status(target: Target, after: Position | None) -> list[Fact]:
    """after: the event log's position. Raises SourceUnavailable."""
    conn = await connect(target.conn)
    try:
        server = await ask.server(conn)
        slot = await ask.slot(conn, target.slot)
        row = await (await conn.execute(_SYSTEM)).fetchone()
    except psycopg.Error as error:
        raise unavailable(target.conn, error) from error
    finally:
        await conn.close()
    assert row is not None
    return facts_of(target, server, str(row[0]), slot, after)


def facts_of(
    target: Target, server: Server, epoch: str, slot: Slot | None, after: Position | None
) -> list[Fact]:
    """epoch: the cluster's system identifier; after: the event log's position. (pure)"""
    where = describe(target.conn)
    facts = [Fact("database", where, {"where": where, "version": server.version})]
    if after is not None and after.epoch == epoch and not server.standby:
        behind = max(0, server.insert_lsn - after.order)
        facts.append(Fact("behind", f"{bytes_text(behind)} of WAL", {"behindBytes": behind}))
    facts.append(_slot_fact(target, slot))
    try:
        start_at(target, server, epoch, slot, after)
    except PositionLost as error:
        facts.append(Fact("lost", str(error), {"lost": str(error)}, ok=False))
    return facts


def _slot_fact(target: Target, slot: Slot | None) -> Fact:
    if slot is None:
        return Fact("slot", f"{target.slot} does not exist; the tailer makes it", {"slot": None}, ok=False)
    values = {
        "name": target.slot,
        "active": slot.active_pid is not None,
        "confirmedLsn": lsn(slot.confirmed),
        "retainedBytes": slot.lag,
        "walStatus": slot.wal_status,
        "safeBytes": slot.safe,
        "invalid": slot.invalid,
    }
    use = "no tailer reads it" if slot.active_pid is None else f"read by process {slot.active_pid}"
    kept = f"{bytes_text(slot.lag)} of WAL kept for it ({slot.wal_status})"
    room = "" if slot.safe is None else f", lost after {bytes_text(max(0, slot.safe))} more"
    text = f"{target.slot}: {use}; {slot.invalid or kept + room}"
    ok = slot.active_pid is not None and slot.invalid is None and slot.wal_status in ("reserved", "extended")
    return Fact("slot", text, {"slot": values}, ok)
