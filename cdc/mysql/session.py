"""A connection for reads of MySQL or MariaDB: rows as they arrive, in bytes, and an end from another thread."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias, TypeVar

import pymysql

from cdc.mysql.connect import Connection, connect
from cdc.mysql.place import rows
from cdc.mysql.target import Target

T = TypeVar("T")
Row: TypeAlias = "tuple[bytes | None, ...]"

_STATEMENT_SECONDS: Final = 60
_LOCK_SECONDS: Final = 5


class Session:
    """One connection, opened at need, given up at any error. Everything blocks, but for `interrupt`."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._connection: Connection | None = None
        self._interrupted = False

    def run(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns or raises. Raises as `connect`."""
        if self._connection is not None and not _answers(self._connection):
            self.close()
        if self._connection is None:
            self._connection = _open(self._target)
        try:
            if self._interrupted:
                raise pymysql.OperationalError("interrupted")
            return work(self._connection)
        except BaseException:
            self.close()
            raise

    def interrupt(self) -> None:
        """End what `run` does in another thread; the session is not to be used any more."""
        self._interrupted = True
        sock: Any = getattr(self._connection, "_sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Release the connection."""
        if self._connection is not None:
            with contextlib.suppress(pymysql.Error):
                self._connection.close()
            self._connection = None


def stream(connection: Connection, statement: str) -> Iterator[Row]:
    """The result's rows while the server sends them, every value as the bytes of its text. If they are not read to
    the end, nothing else can be done with the connection."""
    decoders, connection.decoders = connection.decoders, {}
    connection.use_unicode = False
    try:
        connection.query(statement, unbuffered=True)
    finally:
        connection.decoders, connection.use_unicode = decoders, True
    result: Any = vars(connection)["_result"]
    try:
        while (row := result._read_rowdata_packet_unbuffered()) is not None:
            yield row
    finally:
        result.unbuffered_active = False  # or pymysql would read the rest


def _open(target: Target) -> Connection:
    connection = connect(target)
    try:
        [[version]] = rows(connection, "SELECT VERSION()")
        limit = (
            f"max_statement_time = {_STATEMENT_SECONDS}"
            if "MariaDB" in version
            else f"max_execution_time = {_STATEMENT_SECONDS * 1000}"
        )
        rows(connection, f"SET SESSION lock_wait_timeout = {_LOCK_SECONDS}, {limit}")
        rows(connection, "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    except BaseException:
        connection.close()
        raise
    return connection


def _answers(connection: Connection) -> bool:
    try:
        connection.ping(reconnect=False)
    except pymysql.Error:
        return False
    return True
