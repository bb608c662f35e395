"""What the oracle needs of a database to play on it. `databases/` has one of these for each kind."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from history import Transaction
from statements import Script
from tables import Row, Table


class Writer(Protocol):
    """Runs scripts on a connection of its own; comes back when the database does."""

    async def write(self, script: Script) -> None:
        """Run it; what fails is rolled back, what is in doubt stays so."""

    async def close(self) -> None:
        """Disconnect."""


class Database(Protocol):
    """A server of the oracle's own, and one database on it.

    alias: under which the configuration has it; tables: those of the workload, by name;
    can: what it can do (`statements`); url, port: where it is; data: the server's folder, log_file: what it says.
    """

    alias: str
    tables: Mapping[str, Table]
    can: frozenset[str]
    data: Path
    log_file: Path

    @property
    def url(self) -> str: ...

    @property
    def port(self) -> int: ...

    def url_through(self, port: int) -> str:
        """The connection string, by way of another port."""

    def resets(self, table: str) -> frozenset[str]:
        """The reasons for which a live query may start over, in a world whose log is kept: all else must be resumed."""

    async def prepare(self) -> None:
        """Make the tables, and what tells what happened to them."""

    def writer(self, begun: list[str], acknowledged: list[str]) -> Writer:
        """begun, acknowledged: shared by all writers, the marks of their transactions as they begin, and as they learn
        of the commit."""

    async def committed(self) -> list[Transaction]:
        """What has been committed since the last call, in commit order, by what the database itself says."""

    async def rows(self, table: Table) -> list[Row]:
        """What is in the table now, as the events have it, by an ordinary query."""

    def pids(self) -> list[int]:
        """The server's processes while it runs, first the one that starts the others."""

    def stop(self) -> None:
        """End the server in order."""

    def kill(self) -> None:
        """SIGKILL the server."""

    def start(self) -> None:
        """Start it again, and wait until it takes writes."""
