"""Which tables a Postgres has."""

from __future__ import annotations

import psycopg

from cdc.postgres.connect import connect, unavailable
from cdc.postgres.facts import all_tables
from cdc.postgres.target import Target


async def inventory(target: Target) -> dict[str, str]:
    """By collection name, how requirements call the table. Raises SourceUnavailable."""
    session = await connect(target.conn)
    try:
        found = sorted(await all_tables(session))
    except psycopg.Error as error:
        raise unavailable(target.conn, error) from error
    finally:
        await session.close()
    return {
        name if schema == "public" and "." not in name else f"{schema}.{name}": f"table {schema}.{name}"
        for schema, name in found
    }
