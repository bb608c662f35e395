"""What the tailer needs of a Postgres, judged from facts, each with the statement that mends it. (pure)"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from cdc.postgres.facts import Name, Publication, Server, Slot, TableFacts
from cdc.postgres.target import Target, identifier, literal
from cdc.requirement import Requirement, need

OLDEST_VERSION: Final = 150000
_STORED: Final = 180000  # the first version whose pgoutput can publish stored generated columns
_KINDS: Final = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "i": "an index",
    "I": "an index",
    "S": "a sequence",
    "c": "a composite type",
    "t": "a TOAST table",
}


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the requirements are judged from; `tables` in the order of the target's."""

    server: Server
    tables: Sequence[TableFacts]
    publication: Publication | None
    slot: Slot | None


def requirements(target: Target, facts: Facts) -> list[Requirement]:
    """Every requirement but the slot, met or not, in the order in which they have to be mended."""
    found = [*_server(facts)]
    for table in facts.tables:
        found += _table(target, facts.server, table)
    sound = [table for table in facts.tables if _sound(table)]
    if sound:
        found += _publication(target, facts, sound)
    return found


def slot_requirement(target: Target, facts: Facts) -> Requirement:
    """The slot. `automatic` here means: ours to make when the log is new, but then only."""
    name, slot = f"slot {target.slot}", facts.slot
    if slot is None:
        create = f"SELECT pg_create_logical_replication_slot({literal(target.slot)}, 'pgoutput');"
        return need(name, target.manage, "is created when tailing begins", "does not exist", create)
    if slot.plugin != "pgoutput" or slot.database != facts.server.database:
        what = f"plugin {slot.plugin} in database {slot.database}" if slot.plugin else "a physical slot"
        detail = f"is another's ({what}); set another `slot` in the configuration, or drop it"
        return Requirement(name, False, detail, f"SELECT pg_drop_replication_slot({literal(target.slot)});")
    return need(
        name,
        slot.invalid is None,
        f"exists, keeps {slot.lag} bytes of log",
        f"is invalid: {slot.invalid}",
        "livetail cdc --reset-position  # drops it and begins anew",
        automatic=target.manage,
    )


def published(target: Target, facts: Facts) -> frozenset[Name]:
    """Those wanted tables of which the publication holds every change."""
    publication = facts.publication
    if publication is None or not publication.all_operations or not publication.via_root:
        return frozenset()
    narrowed = publication.narrowed if target.manage else frozenset()
    return frozenset(target.tables) & (publication.tables - narrowed)


def _server(facts: Facts) -> Iterator[Requirement]:
    server, slot = facts.server, facts.slot
    role = identifier(server.role)
    major = f"Postgres {server.version // 10000}"
    yield need("version", server.version >= OLDEST_VERSION, major, f"{major}; 15 or later is needed")
    yield need(
        "wal_level",
        server.wal_level == "logical",
        "is logical",
        f"is {server.wal_level}; must be logical, which takes a restart of the server",
        "ALTER SYSTEM SET wal_level = 'logical';  -- then restart Postgres",
    )
    yield need(
        "primary", not server.standby, "is one", "a standby cannot be tailed; give the primary's address"
    )
    yield need(
        "replication",
        server.may_replicate,
        f"role {server.role} may replicate",
        f"role {server.role} may not replicate",
        f"ALTER ROLE {role} REPLICATION;  -- on Amazon RDS: GRANT rds_replication TO {role};",
    )
    yield need(
        "replication slots",
        slot is not None or server.free_slots > 0,
        "there is one for us",
        f"all {server.max_slots} (max_replication_slots) are taken",
        f"ALTER SYSTEM SET max_replication_slots = {server.max_slots + 4};  -- then restart Postgres",
    )
    yield need(
        "wal senders",
        server.free_senders > 0 or (slot is not None and slot.active_pid is not None),
        "there is one for us",
        f"all {server.max_senders} (max_wal_senders) are taken",
        f"ALTER SYSTEM SET max_wal_senders = {server.max_senders + 4};  -- then restart Postgres",
    )


def _sound(table: TableFacts) -> bool:
    """Whether it can be published at all."""
    return (
        table.kind in ("r", "p")
        and table.persistence == "p"
        and not table.foreign_parts
        and not table.inherited
    )


def _table(target: Target, server: Server, table: TableFacts) -> Iterator[Requirement]:
    name, quoted = f"table {table.schema}.{table.name}", identifier(table.schema, table.name)
    if table.relid is None:
        near = f"; did you mean {' or '.join(table.near)}?" if table.near else ""
        yield Requirement(name, False, f"does not exist in database {server.database}{near}")
        return
    if not _sound(table):
        logged = f"ALTER TABLE {quoted} SET LOGGED;" if table.persistence == "u" else ""
        yield Requirement(name, False, _unsound(table), logged)
        return
    yield Requirement(name, True, "exists")
    yield need(
        f"{name}: primary key",
        table.has_key,
        "has one",
        "has none; rows cannot be told apart without it",
        f"ALTER TABLE {quoted} ADD PRIMARY KEY (…);  -- name the column or columns that identify a row",
    )
    if table.late_key:
        yield Requirement(
            f"{name}: primary key",
            False,
            "is DEFERRABLE: rows may share a key for a moment, and what becomes of which cannot be told then",
            f"ALTER TABLE {quoted} DROP CONSTRAINT …, ADD PRIMARY KEY (…);  -- the same, without DEFERRABLE",
        )
    schema, role = identifier(table.schema), identifier(server.role)
    yield need(
        f"{name}: SELECT",
        table.may_select,
        f"role {server.role} may read it",
        f"role {server.role} may not read it",
        f"GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ON {quoted} TO {role};",
    )
    if table.row_security:
        yield Requirement(
            f"{name}: row security",
            False,
            f"hides rows from role {server.role} which the log nevertheless tells of",
            f"ALTER ROLE {role} BYPASSRLS;",
        )
    yield need(
        f"{name}: replica identity",
        not table.not_full,
        "is FULL",
        f"is not FULL on {', '.join('.'.join(part) for part in table.not_full)}",
        " ".join(f"ALTER TABLE {identifier(*part)} REPLICA IDENTITY FULL;" for part in table.not_full),
        automatic=target.manage and table.owned,
    )


def _unsound(table: TableFacts) -> str:
    if table.persistence == "u":
        return "is unlogged: its changes are not in the database's log"
    if table.persistence == "t":
        return "is temporary: its changes are not in the database's log"
    if table.kind not in ("r", "p"):
        return f"is {_KINDS.get(table.kind, 'not a table')}; only tables can be live"
    if table.foreign_parts:
        return "has a foreign table as a partition, whose changes are not in this database's log"
    return "has tables that inherit from it, whose rows would be missed; use partitions"


def _publication(target: Target, facts: Facts, sound: Sequence[TableFacts]) -> Iterator[Requirement]:
    name, quoted = f"publication {target.publication}", identifier(target.publication)
    publication, server = facts.publication, facts.server
    stored = ", publish_generated_columns = stored" if server.version >= _STORED else ""
    options = f"publish = 'insert, update, delete, truncate', publish_via_partition_root = true{stored}"
    wanted = {(table.schema, table.name) for table in sound}
    listed = ", ".join(identifier(*table) for table in sorted(wanted))
    owned = all(table.owned for table in sound)
    if publication is None:
        create = f"CREATE PUBLICATION {quoted} FOR TABLE {listed} WITH ({options});"
        may = target.manage and server.may_create and owned
        yield Requirement(name, False, "does not exist", create, may)
        return
    may = target.manage and publication.owned
    yield need(
        f"{name}: options",
        publication.all_operations and publication.via_root and publication.generated is not False,
        "publishes all operations, via the partition root",
        "must publish all four operations, via the partition root, with stored generated columns",
        f"ALTER PUBLICATION {quoted} SET ({options});",
        automatic=may,
    )
    if not publication.via_root:
        return  # what it publishes of partitioned tables can be told only afterwards
    missing = sorted(".".join(table) for table in wanted - publication.tables)
    narrowed = sorted(".".join(table) for table in wanted & publication.narrowed)
    whole = publication.all_tables or publication.schemas
    extra = target.manage and not whole and bool(publication.tables - set(target.tables))
    some = f"publishes only some rows or columns of {', '.join(narrowed)}; live queries see no others"
    yield need(
        f"{name}: tables",
        not missing and not extra and not (narrowed and target.manage),
        some if narrowed else "publishes the wanted tables",
        f"lacks {', '.join(missing)}"
        if missing
        else some
        if narrowed
        else "publishes tables that are not realtime-enabled",
        f"ALTER PUBLICATION {quoted} {'ADD' if publication.schemas else 'SET'} TABLE {listed};",
        automatic=may and (owned or not missing),
    )
