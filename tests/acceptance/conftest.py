"""The databases under test, each on a server that may be killed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from database import Database
from databases import mongo, postgres

from servers.mongo import temporary_mongod
from servers.postgres import temporary_postgres

DATABASES = ("postgres", "mongo")

Open = Callable[[], AbstractContextManager[Database]]


@pytest.fixture(params=DATABASES)
def open_database(request: pytest.FixtureRequest) -> Open:
    """Starts a server of the test's own; each kind in turn."""
    kind = request.param

    @contextmanager
    def opened() -> Iterator[Database]:
        if kind == "postgres":
            with temporary_postgres(settings=postgres.SETTINGS) as server:
                yield postgres.PostgresOracle(server)
        else:
            with temporary_mongod("rs0", *mongo.SETTINGS) as server:
                yield mongo.MongoOracle(server)

    return opened
