"""Opens the gap between MySQL's binlog and its engine: semi-synchronous replication to a replica that is not there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from broadcaster.demo.mysql import EmbeddedMysql
from servers.mysql import MysqlDatabase

_VARIABLES = {
    "mysql": ("rpl_semi_sync_source_enabled", "rpl_semi_sync_source_timeout", "rpl_semi_sync_source_wait_point"),
    "mariadb": ("rpl_semi_sync_master_enabled", "rpl_semi_sync_master_timeout", "rpl_semi_sync_master_wait_point"),
}  # fmt: skip


def end_of_binlog(server: EmbeddedMysql) -> tuple[str, int]:
    """File and offset."""
    statement = "SHOW BINARY LOG STATUS" if server.installation.flavor == "mysql" else "SHOW MASTER STATUS"
    [[file, offset, *_]] = ask(server, statement)
    return str(file), int(offset)


def ask(server: EmbeddedMysql, *statements: str) -> list[Any]:
    """Run statements as root; the rows of the last."""
    with server.connect() as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


def _prepare(server: EmbeddedMysql) -> str:
    """Waits shall be long, and between binlog and engine; returns the variable that has commits wait."""
    enabled, timeout, point = _VARIABLES[server.installation.flavor]
    if server.installation.flavor == "mysql" and not ask(server, f"SHOW VARIABLES LIKE '{enabled}'"):
        ask(server, "INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'")
    ask(server, f"SET GLOBAL {timeout} = 600000", f"SET GLOBAL {point} = 'AFTER_SYNC'")
    return enabled


@contextmanager
def committing(database: MysqlDatabase, *statements: str) -> Iterator[None]:
    """Within, the last statement's transaction is in the binlog and not in the engine; afterwards it is committed."""
    server = database.server
    enabled = _prepare(server)
    before = end_of_binlog(server)
    ask(server, f"SET GLOBAL {enabled} = ON")
    thread = threading.Thread(target=database.execute, args=statements)
    thread.start()
    try:
        while end_of_binlog(server) == before:
            assert thread.is_alive()
        assert thread.is_alive()
        yield
    finally:
        ask(server, f"SET GLOBAL {enabled} = OFF")
        thread.join()
