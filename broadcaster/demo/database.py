"""What the demo needs of a database: a server of its own with a table (or collection) `todos`, to be played with."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from cdc.errors import LivetailError

Id: TypeAlias = int | str
"""A todo's primary key as the events have it."""


class DemoDatabaseDown(LivetailError):
    """The demo's database does not answer."""


class DemoDatabaseRefuses(LivetailError):
    """The demo's database refuses the statement; the text has its reason."""


@dataclass(frozen=True, slots=True)
class Todo:
    """What the background writer looks at of a row."""

    id: Id
    done: bool


@dataclass(frozen=True, slots=True)
class Play:
    """How to change rows from a terminal. command: a shell command; inside: where one then is; examples: to type."""

    command: str
    inside: str
    examples: tuple[str, ...]


class Todos(Protocol):
    """The table, on a connection. Raises what `DemoTable.connection` says."""

    async def insert(self, title: str, priority: int, owner: str) -> Id:
        """A new row, not done."""

    async def update(self, ids: Sequence[Id], values: dict[str, Any]) -> int:
        """Set columns of rows in one statement; how many rows were there."""

    async def delete(self, ids: Sequence[Id]) -> int:
        """Delete rows in one statement; how many were there."""

    async def all(self) -> list[Todo]:
        """All rows."""

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """Makes one transaction of what is done within."""


class DemoTable(Protocol):
    """The table, from wherever it is. key_pattern: of a primary key in a path, as a regular expression."""

    @property
    def key_pattern(self) -> str: ...

    def key(self, text: str) -> Id:
        """The primary key that a path holds."""

    async def prepare(self) -> None:
        """Make the database and the table, with a few rows, where they are missing."""

    def connection(self) -> AbstractAsyncContextManager[Todos]:
        """Write to it. Raises DemoDatabaseDown, DemoDatabaseRefuses."""

    async def close(self) -> None:
        """Give up all connections."""


class DemoDatabase(Protocol):
    """A server, and the table on it. alias: in the configuration; key: the field that is the primary key; noun:
    `table` or `collection`; product: its name."""

    @property
    def alias(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def noun(self) -> str: ...
    @property
    def product(self) -> str: ...

    @property
    def version(self) -> str: ...
    @property
    def data_dir(self) -> Path: ...
    @property
    def port(self) -> int: ...

    @property
    def url(self) -> str:
        """The connection string of the demo's database, password included; known once started."""

    def start(self) -> None:
        """Run the server until it accepts connections. Blocks. Raises LivetailError."""

    def stop(self) -> None:
        """Shut it down. Blocks."""

    def table(self) -> DemoTable:
        """The table on the started server."""

    def play(self) -> Play:
        """How to change rows from a terminal."""
