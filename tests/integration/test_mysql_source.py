"""The MySQL and MariaDB source on real servers: the shared suite, then what is theirs alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from broadcaster.demo.mysql import EmbeddedMysql
from integration.conformance import Conformance
from integration.mysql_driver import MysqlDriver
from integration.test_mysql_snapshots import written_meanwhile
from servers.mysql import MysqlServers, temporary_database


@pytest.fixture(params=["mysql", "mysql without GTIDs", "mariadb"], scope="module")
def server(request: pytest.FixtureRequest, mysql_servers: MysqlServers) -> Iterator[EmbeddedMysql]:
    """The kinds of server that the source tells apart."""
    if request.param == "mysql without GTIDs":
        with mysql_servers.temporary("mysql", {"gtid_mode": "OFF"}) as server:
            yield server
    else:
        yield mysql_servers.get(request.param)


@pytest.fixture
def driver(server: EmbeddedMysql) -> Iterator[MysqlDriver]:
    with temporary_database(server) as database:
        yield MysqlDriver(database)


class TestMysql(Conformance):
    """The shared suite."""


async def test_a_snapshot_of_a_table_that_is_written(
    driver: MysqlDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await written_meanwhile(driver, monkeypatch)
