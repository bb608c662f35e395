"""From a row to a live query's client over every kind of connection, as a user that has nothing but the grants that
mysql.md names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from broadcaster.demo.mysql import EmbeddedMysql
from broadcaster.errors import RequestError
from broadcaster.snapshot.mysql import MysqlReader
from cdc.errors import SourceUnavailable
from integration.mysql_driver import source_of
from servers.mysql import MysqlServers
from support.certificates import Authority, Pair
from support.live import dev, until
from support.mysql_target import target_of

PASSWORD = "pw-secret"


@dataclass(frozen=True, slots=True)
class Secure:
    """A server with TLS, made out to 127.0.0.1 (`here`) or to another address, and what a client needs."""

    server: EmbeddedMysql
    authority: Authority
    stranger: Authority
    client: Pair

    def user(self, name: str, identified: str) -> None:
        """A user with the least rights on an empty table."""
        self.execute(
            f"DROP USER IF EXISTS {name}@'%'",
            "DROP DATABASE IF EXISTS app",
            "CREATE DATABASE app",
            "CREATE TABLE app.todos (id int PRIMARY KEY, title varchar(40))",
            f"CREATE USER {name}@'%' {identified}",
            f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {name}@'%'",
            f"GRANT SELECT ON app.todos TO {name}@'%'",
        )

    def execute(self, *statements: str) -> None:
        with self.server.connect() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def url(self, user: str, options: str) -> str:
        return f"mysql://{user}:{PASSWORD}@127.0.0.1:{self.server.port}/app?{options}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def secure(mysql_servers: MysqlServers, folder: Path) -> Iterator[dict[str, Secure]]:
    """By flavor."""
    authority, stranger = Authority(folder / "a"), Authority(folder / "b")
    pair, client = authority.sign("server", "127.0.0.1"), authority.sign("client", "127.0.0.1")
    settings = {"ssl_ca": str(authority.ca), "ssl_cert": str(pair.cert), "ssl_key": str(pair.key)}
    with ExitStack() as stack:
        servers = {
            "mysql": mysql_servers.temporary("mysql", settings),
            "mariadb": mysql_servers.temporary("mariadb", {**settings, "plugin_load_add": "auth_ed25519"}),
        }
        yield {
            flavor: Secure(stack.enter_context(server), authority, stranger, client)
            for flavor, server in servers.items()
        }


@pytest.mark.parametrize(
    ("flavor", "identified", "options"),
    [
        (
            "mysql",
            f"IDENTIFIED BY '{PASSWORD}'",
            "ssl-mode=disabled",
        ),  # caching_sha2_password, with the RSA key
        ("mysql", f"IDENTIFIED BY '{PASSWORD}' REQUIRE SSL", "ssl-mode=verify_identity&ssl-ca={ca}"),
        ("mysql", f"IDENTIFIED BY '{PASSWORD}' REQUIRE X509", "ssl-ca={ca}&ssl-cert={cert}&ssl-key={key}"),
        ("mariadb", f"IDENTIFIED BY '{PASSWORD}' REQUIRE SSL", "ssl-mode=verify_identity&ssl-ca={ca}"),
        ("mariadb", f"IDENTIFIED VIA ed25519 USING PASSWORD('{PASSWORD}')", "ssl-mode=disabled"),
        ("mariadb", f"IDENTIFIED VIA ed25519 USING PASSWORD('{PASSWORD}') REQUIRE SSL", "ssl-mode=required"),
    ],
)
async def test_snapshot_and_stream(
    secure: dict[str, Secure], tmp_path: Path, flavor: str, identified: str, options: str
) -> None:
    place = secure[flavor]
    place.user("least", identified)
    place.execute("INSERT INTO app.todos VALUES (1, 'a')")
    given = options.format(ca=place.authority.ca, cert=place.client.cert, key=place.client.key)
    async with dev("db", place.url("least", given), tmp_path, "todos") as client:
        live = client.live_query("db", "todos", {"title": "a"})
        assert (await anext(live)).docs == [{"id": 1, "title": "a"}]
        place.execute("INSERT INTO app.todos VALUES (2, 'a')")
        await until(live, lambda docs: [doc["id"] for doc in docs] == [1, 2])


@pytest.mark.parametrize("flavor", ["mysql", "mariadb"])
async def test_a_large_stream_through_tls(secure: dict[str, Secure], tmp_path: Path, flavor: str) -> None:
    """Larger than what the socket, and the TLS layer's own buffer, hold at once."""
    place = secure[flavor]
    place.user("least", f"IDENTIFIED BY '{PASSWORD}' REQUIRE SSL")
    place.execute("ALTER TABLE app.todos MODIFY title longtext")
    url = place.url("least", f"ssl-mode=verify_identity&ssl-ca={place.authority.ca}")
    async with dev("db", url, tmp_path, "todos") as client:
        live = client.live_query("db", "todos", {"id": {"$gte": 0}})
        await anext(live)
        for number in range(20):
            await asyncio.to_thread(
                place.execute, f"INSERT INTO app.todos VALUES ({number}, REPEAT('x', 300000))"
            )
        await until(live, lambda docs: len(docs) == 20)
        assert {len(doc["title"]) for doc in live.docs} == {300_000}


@pytest.mark.parametrize("flavor", ["mysql", "mariadb"])
async def test_a_server_that_is_another_is_refused_by_both(secure: dict[str, Secure], flavor: str) -> None:
    place = secure[flavor]
    place.user("least", f"IDENTIFIED BY '{PASSWORD}'")
    target = target_of(place.url("least", f"ssl-mode=verify_identity&ssl-ca={place.stranger.ca}"), "todos")
    with pytest.raises(SourceUnavailable, match="the server's certificate is not accepted"):
        await source_of(target).open(None)
    reader = MysqlReader(target)
    try:
        with pytest.raises(RequestError) as refused:
            await reader.shows()
    finally:
        await reader.close()
    assert refused.value.code == "database_unavailable"
