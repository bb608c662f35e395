"""What the server says about itself, our role, the wanted tables, the publication and the slot."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from psycopg import AsyncConnection

Connection: TypeAlias = AsyncConnection[Any]
Name: TypeAlias = tuple[str, str]
"""(schema, table)"""


@dataclass(frozen=True, slots=True)
class Server:
    """The server, our role there and our database. `version` as server_version_num, `sender_timeout` in seconds
    (0: none), `free_*` how many more there may be; `insert_lsn` is the end of the log, 0 on a standby."""

    version: int
    wal_level: str
    sender_timeout: float
    free_slots: int
    free_senders: int
    max_slots: int
    max_senders: int
    database: str
    role: str
    may_replicate: bool
    may_create: bool
    standby: bool
    insert_lsn: int


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A wanted table. `relid` is None if there is none of that name, then `near` are the nearest names.
    `late_key`: its primary key is DEFERRABLE; `row_security`: policies hide rows of it from us.
    `not_full`: those of its partitions and itself, as (schema, table), whose replica identity is not FULL.
    `leaves`: of a partitioned table each leaf's OID, the number of its file, and whether that holds anything."""

    schema: str
    name: str
    relid: int | None
    kind: str = ""
    persistence: str = ""
    has_key: bool = False
    late_key: bool = False
    may_select: bool = False
    owned: bool = False
    inherited: bool = False
    foreign_parts: bool = False
    row_security: bool = False
    not_full: tuple[Name, ...] = ()
    leaves: tuple[tuple[int, int, bool], ...] = ()
    near: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Publication:
    """`tables`: what it publishes (a partitioned table only if published via its root). `narrowed`: those of them
    with a row filter or a column list. `generated`: stored generated columns too (None: the server cannot)."""

    owned: bool
    all_tables: bool
    schemas: bool
    all_operations: bool
    via_root: bool
    generated: bool | None
    tables: frozenset[Name]
    narrowed: frozenset[Name]


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot of our name. `lag`: bytes of log that the server keeps for it; `invalid`: why it is
    of no use any more, or None. LSNs as integers."""

    plugin: str
    database: str
    active_pid: int | None
    confirmed: int
    lag: int
    wal_status: str
    safe: int | None
    invalid: str | None


_PAGE: Final = 8192
_HEADER: Final = 24
_LONG_HEADER: Final = 40  # of a segment's first page
_MIB: Final = 1 << 20  # segments are multiples of it
_SERVER: Final = """
SELECT current_setting('server_version_num')::int, current_setting('wal_level'),
       (SELECT setting::float8 / 1000 FROM pg_settings WHERE name = 'wal_sender_timeout'),
       current_setting('max_replication_slots')::int - (SELECT count(*) FROM pg_replication_slots)::int,
       current_setting('max_wal_senders')::int - (SELECT count(*) FROM pg_stat_replication)::int,
       current_setting('max_replication_slots')::int, current_setting('max_wal_senders')::int,
       current_database()::text, current_user::text,
       r.rolreplication OR r.rolsuper
           OR EXISTS (SELECT 1 FROM pg_roles WHERE rolname = 'rds_replication'
                                              AND pg_has_role(current_user, oid, 'member')),
       has_database_privilege(current_database(), 'CREATE'),
       pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN 0 ELSE (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::int8 END
  FROM pg_roles r WHERE r.rolname = current_user
"""

_TABLES: Final = """
SELECT w.schema, w.name, c.oid::int8, c.relkind::text, c.relpersistence::text,
       EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indisvalid),
       EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND NOT i.indimmediate),
       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
       pg_has_role(c.relowner, 'USAGE'),
       c.relkind = 'r' AND EXISTS (SELECT 1 FROM pg_inherits h WHERE h.inhparent = c.oid),
       EXISTS (SELECT 1 FROM pg_partition_tree(c.oid) t JOIN pg_class f ON f.oid = t.relid AND f.relkind = 'f'),
       row_security_active(c.oid),
       coalesce((SELECT jsonb_agg(jsonb_build_array(m.nspname, l.relname) ORDER BY m.nspname, l.relname)
                   FROM pg_class l JOIN pg_namespace m ON m.oid = l.relnamespace
                  WHERE l.relreplident <> 'f' AND l.relkind IN ('r', 'p')
                    AND l.oid IN (SELECT c.oid UNION SELECT relid FROM pg_partition_tree(c.oid))), '[]'),
       coalesce((SELECT jsonb_agg(jsonb_build_array(t.relid::oid::int8, pg_relation_filenode(t.relid)::int8,
                                                    pg_relation_size(t.relid) > 0) ORDER BY t.relid::oid)
                   FROM pg_partition_tree(c.oid) t WHERE c.relkind = 'p' AND t.isleaf), '[]')
  FROM unnest(%s::text[], %s::text[]) AS w(schema, name)
  JOIN pg_namespace n ON n.nspname = w.schema
  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
"""

_TABLE_NAMES: Final = """
SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' LIMIT 10000
"""

_PUBLICATION: Final = """
SELECT pg_has_role(p.pubowner, 'USAGE'), p.puballtables,
       EXISTS (SELECT 1 FROM pg_publication_namespace s WHERE s.pnpubid = p.oid),
       p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate, p.pubviaroot,
       to_jsonb(p)->>'pubgencols',
       coalesce((SELECT jsonb_agg(jsonb_build_array(t.schemaname, t.tablename))
                   FROM pg_publication_tables t WHERE t.pubname = p.pubname), '[]'),
       coalesce((SELECT jsonb_agg(jsonb_build_array(n.nspname, c.relname))
                   FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid
                   JOIN pg_namespace n ON n.oid = c.relnamespace
                  WHERE r.prpubid = p.oid AND (r.prqual IS NOT NULL OR r.prattrs IS NOT NULL)), '[]')
  FROM pg_publication p WHERE p.pubname = %s
"""

_SLOT: Final = """
SELECT coalesce(s.plugin, '')::text, coalesce(s.database, '')::text, s.active_pid,
       coalesce((s.confirmed_flush_lsn - '0/0'::pg_lsn)::int8, 0),
       coalesce((CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END
                 - s.restart_lsn)::int8, 0),
       coalesce(s.wal_status, '')::text, s.safe_wal_size::int8,
       coalesce(to_jsonb(s)->>'invalidation_reason',
                CASE WHEN (to_jsonb(s)->>'conflicting')::bool THEN 'conflict with recovery' END,
                CASE WHEN s.wal_status = 'lost' THEN 'its log was removed (max_slot_wal_keep_size)' END)
  FROM pg_replication_slots s WHERE s.slot_name = %s
"""

_OLDEST: Final = """
SELECT pid, extract(epoch FROM now() - xact_start)::int8 FROM pg_stat_activity
 WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() AND pid <> %s ORDER BY xact_start LIMIT 5
"""


async def server(conn: Connection) -> Server:
    """The server's facts."""
    return Server(*await _one(conn, _SERVER))


async def tables(conn: Connection, wanted: Sequence[Name]) -> list[TableFacts]:
    """The facts of each wanted table, in that order."""
    schemas, names = [schema for schema, _ in wanted], [name for _, name in wanted]
    rows = await (await conn.execute(_TABLES, (schemas, names))).fetchall()
    found = {(row[0], row[1]): _table(row) for row in rows}
    missing = [name for name in wanted if name not in found]
    existing = await (await conn.execute(_TABLE_NAMES)).fetchall() if missing else []
    for schema, name in missing:
        found[schema, name] = TableFacts(schema, name, None, near=_nearest(schema, name, existing))
    return [found[name] for name in wanted]


async def all_tables(conn: Connection) -> list[Name]:
    """The tables that there are, but for the system's and partitions."""
    return [(schema, name) for schema, name in await (await conn.execute(_TABLE_NAMES)).fetchall()]


async def publication(conn: Connection, name: str) -> Publication | None:
    """The publication of this name, or None."""
    row = await (await conn.execute(_PUBLICATION, (name,))).fetchone()
    if row is None:
        return None
    owned, all_tables, schemas, operations, via_root, generated, published, narrowed = row
    return Publication(
        owned,
        all_tables,
        schemas,
        operations,
        via_root,
        None if generated is None else generated == "s",
        frozenset((schema, table) for schema, table in published),
        frozenset((schema, table) for schema, table in narrowed),
    )


async def slot(conn: Connection, name: str) -> Slot | None:
    """The replication slot of this name, or None."""
    row = await (await conn.execute(_SLOT, (name,))).fetchone()
    return None if row is None else Slot(*row)


async def oldest_transactions(conn: Connection, except_pid: int) -> list[tuple[int, int]]:
    """(pid, age in seconds) of the oldest transactions that write, which a new slot has to wait for."""
    return [(pid, age) for pid, age in await (await conn.execute(_OLDEST, (except_pid,))).fetchall()]


async def end_of_log(conn: Connection) -> int:
    """The LSN below which lies everything that this session has seen committed, as the stream will name it.

    Not pg_current_wal_lsn(), which an asynchronous commit is ahead of. Where nothing was written yet on the current
    page, the server counts that page's header here but not in what it streams: hence the rounding.
    """
    (end,) = await _one(conn, "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::int8")
    header = end % _PAGE
    return (
        int(end - header)
        if header == _HEADER or (header == _LONG_HEADER and end % _MIB == header)
        else int(end)
    )


async def _one(conn: Connection, query: str) -> tuple[Any, ...]:
    row = await (await conn.execute(query.encode())).fetchone()
    assert row is not None
    return tuple(row)


def _table(row: tuple[Any, ...]) -> TableFacts:
    *values, not_full, leaves = row
    values += [tuple(map(tuple, not_full)), tuple(map(tuple, leaves))]
    return TableFacts(*values)


def _nearest(schema: str, name: str, existing: Sequence[Name]) -> tuple[str, ...]:
    """Up to three names of existing tables that may have been meant: the same name elsewhere first."""
    elsewhere = [f"{s}.{n}" for s, n in existing if n == name]
    alike = difflib.get_close_matches(name, [n for s, n in existing if s == schema], n=3)
    return tuple(elsewhere + [f"{schema}.{n}" for n in alike])[:3]
