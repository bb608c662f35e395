"""Opens the binlog stream: mysql-replication connects, declares what we understand, and sends the dump command; from
there on the socket is ours. Everything here blocks."""

from __future__ import annotations

import random
import socket
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import pymysql
from pymysqlreplication import BinLogStreamReader  # type: ignore[import-untyped]

from cdc.mysql.connect import SESSION, Connection, connect, explain
from cdc.mysql.target import Target

HEARTBEAT_S: Final = 1.0
_SESSION: Final = f"{SESSION}, net_write_timeout = 3600, @master_binlog_checksum = 'CRC32'"
"""The server must not give up while the log or the broadcaster keeps us waiting; checksums come with what has them,
whatever is configured now."""


@dataclass(frozen=True, slots=True)
class Dump:
    """An open stream. socket: non-blocking; the server's packets come from it, nobody else reads it."""

    socket: socket.socket
    _connection: Connection

    def close(self) -> None:
        """Let go of it, at once."""
        self._connection._force_close()  # type: ignore[attr-defined]


class _Sent(Exception):
    """The dump command is out: the library asks for its second connection, before it reads anything."""


def open_dump(target: Target, file: str, offset: int, gtids: str | None = None) -> Dump:
    """Follow the binlog from this place on, the beginning of an event, or with `gtids` from wherever the first
    transaction is that they do not have. Raises as `connect`."""
    opened: list[Connection] = []

    def factory(**_: Any) -> Connection:
        if opened:
            raise _Sent
        opened.append(connect(target, init_command=_SESSION))
        return opened[0]

    reader = BinLogStreamReader(
        {},
        server_id=_server_id(),
        slave_uuid=str(uuid4()),  # MySQL tells replicas apart by this, and ends the older of two equal ones
        blocking=True,
        resume_stream=True,
        log_file=file,
        log_pos=offset,
        auto_position=gtids,
        slave_heartbeat=HEARTBEAT_S,
        pymysql_wrapper=factory,
        enable_logging=False,
    )
    try:
        reader.fetchone()
    except _Sent:
        pass
    except (pymysql.MySQLError, OSError) as error:
        for connection in opened:
            connection._force_close()  # type: ignore[attr-defined]
        raise explain(target, error) from error
    own = opened[0]._sock  # type: ignore[attr-defined]
    own.setblocking(False)
    return Dump(own, opened[0])


def _server_id() -> int:
    """Beyond what people give to servers. Should another replica have the same, MariaDB ends the older stream of the
    two, and the next one of ours has another."""
    return random.randrange(1 << 31, (1 << 32) - 1)
