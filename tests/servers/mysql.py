"""Real MySQL and MariaDB servers as fixtures: each started at its first use, shared by the whole run, stopped at its
end. Their programs are this machine's, else Debian's, downloaded once (see `broadcaster.demo.mysql_installs`).

Use from a test: `mysql_db` (a fresh database on MySQL with GTIDs), `mariadb_db`, `each_mysql_db` (one after the other),
`throwaway_mysql` (a server of one's own to kill or misconfigure).
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

import pymysql
import pytest

from broadcaster.demo.mysql import EmbeddedMysql
from broadcaster.demo.mysql_installs import TITLES, Flavor, MysqlInstallation, MysqlNotFound, installation

FLAVORS: tuple[Flavor, ...] = ("mysql", "mariadb")

SHARED_SETTINGS: Mapping[str, str | None] = {
    "innodb_flush_log_at_trx_commit": "0",
    "sync_binlog": "0",
    "max_connections": "300",
    "max_allowed_packet": "64M",
    "innodb_buffer_pool_size": "128M",
}

_could_not_run = pytest.StashKey[dict[str, str]]()


@dataclass(frozen=True, slots=True)
class MysqlDatabase:
    """A database of one test."""

    server: EmbeddedMysql
    name: str

    @property
    def flavor(self) -> Flavor:
        return self.server.installation.flavor

    @property
    def url(self) -> str:
        """Its connection string as root, with password."""
        return self.server.url_for(self.name)

    def url_as(self, user: str, password: str) -> str:
        """The same as another user."""
        return self.url.replace(f"root:{self.server.password}@", f"{user}:{password}@")

    def connect(self) -> pymysql.Connection[Any]:
        """An autocommit connection as root; the caller closes it."""
        return self.server.connect(self.name)

    def execute(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements, one by one, on a connection of their own; the rows of the last."""
        with self.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())


@contextmanager
def temporary_database(server: EmbeddedMysql) -> Iterator[MysqlDatabase]:
    """A fresh database; dropped afterwards, with the sessions that still use it."""
    database = MysqlDatabase(server, f"test_{uuid4().hex[:12]}")
    with server.connect() as admin, admin.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {database.name}")
        yield database
        cursor.execute("SELECT id FROM information_schema.processlist WHERE db = %s", (database.name,))
        for (session,) in cursor.fetchall():
            try:
                cursor.execute(f"KILL {session}")
            except pymysql.OperationalError as error:
                if error.args[0] != pymysql.constants.ER.NO_SUCH_THREAD:
                    raise
        cursor.execute(f"DROP DATABASE IF EXISTS {database.name}")


class MysqlServers:
    """The shared servers, by flavor, and the folders with fresh data that all servers begin with."""

    def __init__(self, stack: ExitStack, could_not_run: dict[str, str]) -> None:
        self._stack = stack
        self._could_not_run = could_not_run
        self._found: dict[Flavor, MysqlInstallation | MysqlNotFound] = {}
        self._fresh: dict[Flavor, Path] = {}
        self._running: dict[Flavor, EmbeddedMysql] = {}

    def installation(self, flavor: Flavor) -> MysqlInstallation:
        """The programs. Skips the test, and has the summary say so, where they cannot be had."""
        if flavor not in self._found:
            try:
                self._found[flavor] = installation(flavor)
            except MysqlNotFound as error:
                self._found[flavor] = error
        found = self._found[flavor]
        if isinstance(found, MysqlNotFound):
            self._could_not_run[TITLES[flavor]] = str(found)
            pytest.skip(str(found))
        return found

    def get(self, flavor: Flavor) -> EmbeddedMysql:
        """The shared server, started at the first call."""
        if flavor not in self._running:
            context = self.temporary(flavor, SHARED_SETTINGS)
            self._running[flavor] = self._stack.enter_context(context)
        return self._running[flavor]

    @contextmanager
    def temporary(
        self, flavor: Flavor, settings: Mapping[str, str | None] | None = None
    ) -> Iterator[EmbeddedMysql]:
        """A started server in a folder of its own; stopped, whatever state it is in, and removed."""
        folder = Path(tempfile.mkdtemp(prefix=f"livetail-{flavor}-"))
        server = EmbeddedMysql(folder, self.installation(flavor), settings=settings)
        try:
            shutil.copytree(self._fresh_data(flavor), server.cluster)
            (server.cluster / "auto.cnf").unlink(missing_ok=True)  # or all would have one uuid
            server.start()
            yield server
        finally:
            server.stop()
            shutil.rmtree(folder)

    def _fresh_data(self, flavor: Flavor) -> Path:
        if flavor not in self._fresh:
            folder = Path(tempfile.mkdtemp(prefix=f"livetail-{flavor}-fresh-"))
            self._stack.callback(shutil.rmtree, folder)
            template = EmbeddedMysql(folder, self.installation(flavor))
            template.initialize()
            self._fresh[flavor] = template.cluster
        return self._fresh[flavor]


@pytest.fixture(scope="session")
def mysql_servers(pytestconfig: pytest.Config) -> Iterator[MysqlServers]:
    """Both flavors; a server starts when asked for."""
    with ExitStack() as stack:
        yield MysqlServers(stack, pytestconfig.stash[_could_not_run])


@pytest.fixture(scope="session", params=FLAVORS)
def mysql_server(request: pytest.FixtureRequest, mysql_servers: MysqlServers) -> EmbeddedMysql:
    """The shared server of each flavor in turn."""
    return mysql_servers.get(request.param)


@pytest.fixture
def mysql_db(mysql_servers: MysqlServers) -> Iterator[MysqlDatabase]:
    """A fresh database on MySQL (GTIDs on)."""
    with temporary_database(mysql_servers.get("mysql")) as database:
        yield database


@pytest.fixture
def mariadb_db(mysql_servers: MysqlServers) -> Iterator[MysqlDatabase]:
    """A fresh database on MariaDB."""
    with temporary_database(mysql_servers.get("mariadb")) as database:
        yield database


@pytest.fixture
def each_mysql_db(mysql_server: EmbeddedMysql) -> Iterator[MysqlDatabase]:
    """A fresh database on each flavor in turn."""
    with temporary_database(mysql_server) as database:
        yield database


@pytest.fixture
def throwaway_mysql(mysql_servers: MysqlServers) -> Iterator[Callable[..., EmbeddedMysql]]:
    """Starts servers that only this test uses: `throwaway_mysql("mysql", gtid_mode="OFF", skip_log_bin=None)`."""
    with ExitStack() as stack:

        def start(flavor: Flavor = "mysql", **settings: str | None) -> EmbeddedMysql:
            return stack.enter_context(mysql_servers.temporary(flavor, settings))

        yield start


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_could_not_run] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for what, why in sorted(config.stash[_could_not_run].items()):
        terminalreporter.write_line(f"could not run on {what}: {why}", yellow=True)
