"""A table as Postgres' catalog has it now: key, published columns, types. Shared with the snapshot reader."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from psycopg import AsyncConnection

from cdc.postgres.values import PgType

Connection: TypeAlias = AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `oid` and `typmod` are those of its type; `deterministic`: equal means equal bytes under its
    collation (always so where there is none)."""

    name: str
    oid: int
    typmod: int
    deterministic: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A table: `key` is its primary key in key order, `columns` those that pgoutput publishes, in table order."""

    relid: int
    schema: str
    name: str
    partitioned: bool
    key: tuple[str, ...]
    columns: tuple[Column, ...]


_TABLE: Final = """
SELECT c.oid::int8, n.nspname::text, c.relname::text, c.relkind = 'p',
       coalesce((SELECT array_agg(a.attname::text ORDER BY k.place)
                   FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY k(attnum, place), pg_attribute a
                  WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts
                    AND a.attrelid = c.oid AND a.attnum = k.attnum), '{}'),
       coalesce((SELECT jsonb_agg(jsonb_build_array(a.attname, a.atttypid::int8, a.atttypmod,
                                                    coalesce(l.collisdeterministic, true)) ORDER BY a.attnum)
                   FROM pg_attribute a LEFT JOIN pg_collation l ON l.oid = a.attcollation
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                    AND (p.tablename IS NULL OR a.attname = ANY (p.attnames))
                    AND (a.attgenerated = '' OR current_setting('server_version_num')::int >= 180000
                         AND p.tablename IS NOT NULL)), '[]')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_publication_tables p
         ON p.pubname = %(publication)s AND p.schemaname = n.nspname AND p.tablename = c.relname
 WHERE c.relkind IN ('r', 'p')
"""

_TYPES: Final = """
WITH RECURSIVE wanted(oid) AS (
    SELECT unnest(%s::oid[])
    UNION
    SELECT further.oid FROM wanted JOIN pg_type t ON t.oid = wanted.oid,
           LATERAL (VALUES (t.typbasetype), (CASE WHEN t.typcategory = 'A' THEN t.typelem END)) further(oid)
     WHERE further.oid <> 0)
SELECT t.oid::int8, t.typname::text,
       CASE WHEN t.typtype = 'd' THEN 'domain' WHEN t.typtype = 'e' THEN 'enum' WHEN t.typtype = 'c' THEN 'composite'
            WHEN t.typtype IN ('r', 'm') THEN 'range' WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN 'array'
            ELSE 'base' END,
       (CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END)::int8, t.typdelim::text
  FROM wanted JOIN pg_type t ON t.oid = wanted.oid
"""


async def table_by_id(conn: Connection, relid: int, publication: str) -> Table | None:
    """The table with this OID, or None if there is none now."""
    return await _table(conn, "AND c.oid = %(relid)s", {"relid": relid, "publication": publication})


async def table_by_name(conn: Connection, schema: str, name: str, publication: str) -> Table | None:
    """The table of this name, or None if there is none now."""
    where = "AND n.nspname = %(schema)s AND c.relname = %(name)s"
    return await _table(conn, where, {"schema": schema, "name": name, "publication": publication})


async def types_of(conn: Connection, oids: Iterable[int]) -> dict[int, PgType]:
    """The types of these OIDs and, recursively, what their domains and arrays are made of."""
    rows = await (await conn.execute(_TYPES, (list(oids),))).fetchall()
    return {oid: PgType(oid, kind, name, base, delimiter) for oid, name, kind, base, delimiter in rows}


async def _table(conn: Connection, where: str, values: dict[str, Any]) -> Table | None:
    row = await (await conn.execute((_TABLE + where).encode(), values)).fetchone()
    if row is None:
        return None
    relid, schema, name, partitioned, key, columns = row
    return Table(relid, schema, name, partitioned, tuple(key), tuple(Column(*column) for column in columns))
