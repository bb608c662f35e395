"""Real Postgres servers as fixtures: each started at its first use, shared by the whole run, stopped at its end.

Use from a test: `postgres_db` (a fresh database on the newest version), `each_postgres_db` (the same, once per
version in MAJORS), `throwaway_postgres` (a server of one's own to kill or misconfigure), `connect(url)`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from broadcaster.demo.installs import Installation, installations
from broadcaster.demo.postgres import EmbeddedPostgres

MAJORS = (15, 16, 18)
"""The versions that `postgres_server` goes through; the last is the default."""

SHARED_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "max_replication_slots": "50",
    "max_wal_senders": "50",
}

_could_not_run = pytest.StashKey[dict[str, str]]()


async def connect(url: str, **options: Any) -> psycopg.AsyncConnection[Any]:
    """An autocommit connection; the caller closes it."""
    return await psycopg.AsyncConnection.connect(url, autocommit=True, **options)


@dataclass(frozen=True, slots=True)
class Database:
    """A database of one test."""

    server: EmbeddedPostgres
    name: str

    @property
    def url(self) -> str:
        """Its connection string, with password."""
        return self.server.url_for(self.name)

    def execute(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement on a connection of its own (with no parameters: several, in one transaction)."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def temporary_postgres(
    installation: Installation | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[EmbeddedPostgres]:
    """A started server in a folder of its own; stopped, whatever state it is in, and removed."""
    folder = Path(tempfile.mkdtemp(prefix="livetail-postgres-"))
    server = EmbeddedPostgres(folder, installation=installation, settings=settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@contextmanager
def temporary_database(server: EmbeddedPostgres) -> Iterator[Database]:
    """A fresh database; dropped with its replication slots and whoever is still connected."""
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield Database(server, name)
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        admin.execute(
            "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s",
            (name,),
        )
        admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


class Servers:
    """The shared servers, by major version."""

    def __init__(self, stack: ExitStack, could_not_run: dict[str, str]) -> None:
        self._stack = stack
        self._could_not_run = could_not_run
        self._installed: dict[int, Installation] = {}
        for installation in reversed(installations()):
            self._installed[installation.major] = installation
        self._running: dict[int, EmbeddedPostgres] = {}

    def installation(self, major: int) -> Installation:
        """The programs of a version. Skips the test, and has the summary say so, where there are none."""
        if major not in self._installed:
            reason = f"no programs found (only of {', '.join(map(str, sorted(self._installed))) or 'none'})"
            self._could_not_run[f"Postgres {major}"] = reason
            pytest.skip(f"Postgres {major}: {reason}")
        return self._installed[major]

    def get(self, major: int) -> EmbeddedPostgres:
        """The shared server of a version, started at the first call."""
        if major not in self._running:
            context = temporary_postgres(self.installation(major), SHARED_SETTINGS)
            self._running[major] = self._stack.enter_context(context)
        return self._running[major]


@pytest.fixture(scope="session")
def postgres_servers(pytestconfig: pytest.Config) -> Iterator[Servers]:
    """All versions; a server starts when asked for."""
    with ExitStack() as stack:
        yield Servers(stack, pytestconfig.stash[_could_not_run])


@pytest.fixture(scope="session")
def postgres(postgres_servers: Servers) -> EmbeddedPostgres:
    """The shared server of the newest version."""
    return postgres_servers.get(MAJORS[-1])


@pytest.fixture(scope="session", params=MAJORS, ids=lambda major: f"pg{major}")
def postgres_server(request: pytest.FixtureRequest, postgres_servers: Servers) -> EmbeddedPostgres:
    """The shared server of each version in turn."""
    return postgres_servers.get(request.param)


@pytest.fixture
def postgres_db(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A fresh database on the newest version."""
    with temporary_database(postgres) as database:
        yield database


@pytest.fixture
def each_postgres_db(postgres_server: EmbeddedPostgres) -> Iterator[Database]:
    """A fresh database on each version in turn."""
    with temporary_database(postgres_server) as database:
        yield database


@pytest.fixture
def throwaway_postgres(postgres_servers: Servers) -> Iterator[Callable[..., EmbeddedPostgres]]:
    """Starts servers that only this test uses: `throwaway_postgres(major=18, wal_level="replica")`."""
    with ExitStack() as stack:

        def start(major: int = MAJORS[-1], **settings: str) -> EmbeddedPostgres:
            context = temporary_postgres(postgres_servers.installation(major), settings)
            return stack.enter_context(context)

        yield start


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_could_not_run] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for what, why in sorted(config.stash[_could_not_run].items()):
        terminalreporter.write_line(f"could not run on {what}: {why}", yellow=True)
