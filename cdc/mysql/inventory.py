"""Which tables a MySQL or MariaDB has."""

from __future__ import annotations

from typing import Final

import pymysql

from cdc.mysql.connect import connect, explain
from cdc.mysql.place import rows
from cdc.mysql.target import Target
from cdc.mysql.threads import in_thread

_NAMES: Final = """
SELECT table_schema, table_name FROM information_schema.tables
 WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('mysql', 'sys', 'performance_schema', 'information_schema')
   AND %s IN ('', table_schema)
 ORDER BY table_schema, table_name LIMIT 10000
"""


async def inventory(target: Target) -> dict[str, str]:
    """By collection name, how requirements call the table: of the database that the connection string names, else of
    all. Raises SourceUnavailable."""
    return await in_thread(lambda: _inventory(target), lambda _: None)


def _inventory(target: Target) -> dict[str, str]:
    with connect(target) as connection:
        try:
            found = rows(connection, _NAMES, target.database)
        except pymysql.MySQLError as error:
            raise explain(target, error) from error
    return {
        name if target.database and "." not in name else f"{schema}.{name}": f"table {schema}.{name}"
        for schema, name in found
    }
