"""The databases under test, each on a server that may be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from database import Database
from databases import mongo, mysql, postgres

from servers.mongo import temporary_mongod
from servers.mysql import MysqlServers
from servers.postgres import temporary_postgres

DATABASES = ("postgres", "mongo", "mysql", "mariadb")

Open = Callable[[], AbstractContextManager[Database]]


@contextmanager
def opened(kind: str, mysql_servers: MysqlServers) -> Iterator[Database]:
    """A server of the test's own. kind: of `DATABASES`."""
    if kind == "postgres":
        with temporary_postgres(settings=postgres.SETTINGS) as server:
            yield postgres.PostgresOracle(server)
    elif kind == "mongo":
        with temporary_mongod("rs0", *mongo.SETTINGS) as server:
            yield mongo.MongoOracle(server)
    else:
        with mysql_servers.temporary(kind, mysql.SETTINGS) as server:
            yield mysql.MysqlOracle(server)


@pytest.fixture(params=DATABASES)
def open_database(request: pytest.FixtureRequest, mysql_servers: MysqlServers) -> Open:
    """Starts a server of the test's own; each kind in turn."""
    return lambda: opened(request.param, mysql_servers)
