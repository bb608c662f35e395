"""What a MySQL or MariaDB lacks is named, with the statement that mends it; connections of every kind, and what is said
of those that fail."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from broadcaster.demo.mysql import EmbeddedMysql
from cdc.errors import ConfigError, LivetailError, SetupError, SourceUnavailable
from cdc.mysql import catalog, setup
from cdc.mysql.connect import connect
from cdc.mysql.table import Column, Table
from cdc.mysql.target import Target
from cdc.requirement import Requirement
from integration.mysql_driver import source_of
from servers.mysql import FLAVORS, MysqlDatabase
from support.certificates import Authority
from support.mysql_target import target_of
from support.tail import new_tail

PASSWORD = "pw-sécret/1"
QUOTED = "pw-s%C3%A9cret%2F1"


@pytest.fixture
def database(each_mysql_db: MysqlDatabase) -> MysqlDatabase:
    """With one table that lacks nothing."""
    each_mysql_db.execute("CREATE TABLE items (id int PRIMARY KEY, name varchar(40))")
    return each_mysql_db


@pytest.fixture
def user(database: MysqlDatabase) -> Iterator[str]:
    """A user without any right; dropped afterwards."""
    name = f"u_{database.name[5:]}"
    database.execute(f"CREATE USER {name}@'%' IDENTIFIED BY '{PASSWORD}'")
    yield name
    database.execute(f"DROP USER {name}@'%'")


def url(server: EmbeddedMysql, user: str, database: str = "", options: str = "") -> str:
    return f"mysql://{user}:{QUOTED}@127.0.0.1:{server.port}/{database}{options}"


def unmet(requirements: list[Requirement]) -> dict[str, str]:
    return {each.name: each.fix for each in requirements if not each.ok}


def failure(target: Target) -> LivetailError:
    """What connecting raises."""
    with pytest.raises(LivetailError) as caught:
        connect(target).close()
    assert "pw-s" not in str(caught.value)
    return caught.value


def query(target: Target, statement: str) -> tuple[object, ...]:
    with connect(target) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return tuple(cursor.fetchone() or ())


def cipher(target: Target) -> str:
    """Of this connection; empty without TLS."""
    return str(query(target, "SHOW STATUS LIKE 'Ssl_cipher'")[1])


async def test_a_server_that_lacks_nothing(database: MysqlDatabase) -> None:
    assert unmet(await setup.check(target_of(database.url, "items"))) == {}


async def test_the_printed_grants_suffice_and_nothing_else_is_needed(
    database: MysqlDatabase, user: str
) -> None:
    target = target_of(url(database.server, user, database.name), "items")
    found = unmet(await setup.check(target))
    assert len(found) == 3
    database.execute(*(fix.rstrip(";") for fix in found.values()))
    assert unmet(await setup.check(target)) == {}
    with connect(target) as connection:
        assert setup.require(connection, target).server.user == f"{user}@%"


async def test_privileges_may_come_with_a_role(database: MysqlDatabase, user: str) -> None:
    role = f"r_{user}"
    of = "FOR" if database.flavor == "mariadb" else "TO"
    database.execute(
        f"CREATE ROLE {role}",
        f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {role}",
        f"GRANT SELECT ON {database.name}.* TO {role}",
        f"GRANT {role} TO {user}@'%'",
        f"SET DEFAULT ROLE {role} {of} {user}@'%'",
    )
    try:
        assert unmet(await setup.check(target_of(url(database.server, user, database.name), "items"))) == {}
    finally:
        database.execute(f"DROP ROLE {role}")


async def test_every_bad_table_is_named_at_once(database: MysqlDatabase) -> None:
    database.execute(
        "CREATE TABLE keyless (a int)",
        "CREATE TABLE isam (id int PRIMARY KEY) ENGINE = MyISAM",
        "CREATE VIEW v AS SELECT * FROM items",
        "CREATE TABLE orders (id int PRIMARY KEY)",
    )
    target = target_of(database.url, "itmes", "keyless", "isam", "v", "elsewhere.orders", "items")
    with connect(target) as connection, pytest.raises(SetupError) as refused:
        setup.require(connection, target)
    message = str(refused.value)
    name = database.name
    assert "3 requirements are not met" in message
    assert f"ALTER TABLE `{name}`.`keyless` ADD PRIMARY KEY" in message
    assert f"ALTER TABLE `{name}`.`isam` ENGINE = InnoDB;" in message
    assert f"table {name}.v: is a VIEW" in message
    assert f"table {name}.items" not in message
    told = {each.name: each.detail for each in await setup.check(target)}
    assert told[f"table {name}.itmes"] == f"does not exist; did you mean {name}.items?"
    assert told["table elsewhere.orders"] == f"does not exist; did you mean {name}.orders?"


async def test_a_table_that_is_not_there_is_waited_for_while_the_others_are_followed(
    database: MysqlDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    target = target_of(database.url, "items", "later")
    tail = new_tail()
    async with tail.running(lambda _: source_of(target)):
        await tail.until(lambda tail: bool(tail.positions))
        assert f"table {database.name}.later does not exist; it is followed once it does" in caplog.text
        database.execute("INSERT INTO items VALUES (1, 'a')")
        await tail.count(1)
        database.execute(
            "CREATE TABLE later (id int PRIMARY KEY, yes boolean)", "INSERT INTO later VALUES (2, true)"
        )
        events = await tail.count(2)
    assert [(event.collection, event.after) for event in events] == [
        ("items", {"id": 1, "name": "a"}),
        ("later", {"id": 2, "yes": True}),
    ]


async def test_a_view_that_no_longer_works_is_a_view(database: MysqlDatabase) -> None:
    database.execute("CREATE TABLE gone (id int)", "CREATE VIEW v AS SELECT * FROM gone", "DROP TABLE gone")
    assert list(unmet(await setup.check(target_of(database.url, "v")))) == [f"table {database.name}.v"]


@pytest.mark.parametrize("flavor", FLAVORS)
async def test_a_server_that_logs_otherwise(flavor, throwaway_mysql) -> None:
    server = throwaway_mysql(
        flavor,
        binlog_format="STATEMENT",
        binlog_row_image="MINIMAL",
        binlog_row_metadata="MINIMAL",
        binlog_ignore_db="shop",
        binlog_expire_logs_seconds="60",
    )
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE shop")
        cursor.execute("CREATE TABLE shop.t (id int PRIMARY KEY)")
    target = target_of(server.url_for("shop"), "t")
    found = unmet(await setup.check(target))
    assert list(found) == ["binlog_format", "binlog_row_image", "binlog_row_metadata", "binlog filter"]
    with server.connect() as connection, connection.cursor() as cursor:
        for fix in list(found.values())[:3]:
            cursor.execute(fix.partition(";")[0])
    checked = await setup.check(target)
    assert list(unmet(checked)) == ["binlog filter"]
    assert any("kept for 60 s; a tailer" in each.detail for each in checked)


@pytest.mark.parametrize("flavor", FLAVORS)
async def test_a_server_without_binlog(flavor, throwaway_mysql) -> None:
    server = throwaway_mysql(flavor, skip_log_bin=None)
    assert "binary log" in unmet(await setup.check(target_of(server.url_for("shop"))))


async def test_without_gtids_and_with_a_forgotten_xa_transaction(throwaway_mysql) -> None:
    server = throwaway_mysql("mysql", gtid_mode="OFF", enforce_gtid_consistency="OFF")
    with server.connect() as connection, connection.cursor() as cursor:
        for statement in ("CREATE DATABASE shop", "CREATE TABLE shop.t (id int PRIMARY KEY)"):
            cursor.execute(statement)
        for statement in ("XA START 'x'", "INSERT INTO shop.t VALUES (1)", "XA END 'x'", "XA PREPARE 'x'"):
            cursor.execute(statement)
    told = {each.name: each for each in await setup.check(target_of(server.url_for("shop"), "t"))}
    assert all(each.ok for each in told.values())
    assert "recommended is ON" in told["gtid_mode"].detail
    assert told["XA transactions"].detail.startswith("1 are prepared")


# -- the catalog ------------------------------------------------------------------------------------------------


def test_a_table_as_the_catalog_has_it(database: MysqlDatabase, user: str) -> None:
    database.execute(
        "CREATE TABLE `odd``name` (b varchar(10) CHARACTER SET latin1, `k``2` int, id bigint unsigned, "
        "j json, flag tinyint(1), small tinyint, e enum('a','b') CHARACTER SET utf8mb4, "
        "g int AS (id + 1) VIRTUAL, hidden int INVISIBLE, PRIMARY KEY (id, `k``2`)) "
        "COMMENT 'CHECK (json_valid(`small`))'",
        f"GRANT SELECT ON {database.name}.* TO {user}@'%'",
    )
    target = target_of(url(database.server, user, database.name))
    with connect(target) as connection:
        table = catalog.load_table(connection, database.name, "odd`name")
        assert catalog.load_table(connection, database.name, "ODD`NAME") is None
        assert catalog.load_table(connection, "nowhere", "items") is None
    assert table is not None
    mariadb = database.flavor == "mariadb"
    assert table.key == ("id", "k`2")
    assert table.hints == {"flag": "boolean", **({"j": "json"} if mariadb else {})}
    assert [column.name for column in table.columns] == [
        "b", "k`2", "id", "j", "flag", "small", "e", "g", "hidden",
    ]  # fmt: skip
    assert table.columns[0] == Column("b", "varchar", "varchar(10)", "latin1")
    assert table.columns[2].column_type.endswith(" unsigned")
    assert table.columns[6] == Column("e", "enum", "enum('a','b')", "utf8mb4")


def test_types_that_only_mariadb_has(mariadb_db: MysqlDatabase) -> None:
    mariadb_db.execute(
        "CREATE TABLE t (id uuid PRIMARY KEY, four inet4, six inet6, `j``x` json COMMENT 'it''s', "
        "note longtext COMMENT 'CHECK (json_valid(`note`))', checked longtext CHECK (checked <> ''))"
    )
    with connect(target_of(mariadb_db.url)) as connection:
        table = catalog.load_table(connection, mariadb_db.name, "t")
    assert isinstance(table, Table)
    assert table.hints == {"id": "uuid", "four": "inet4", "six": "inet6", "j`x": "json"}


async def test_what_foreign_keys_change_where_the_server_does_not_log_it(
    database: MysqlDatabase, user: str
) -> None:
    name = database.name
    database.execute(
        "CREATE TABLE grand (id int PRIMARY KEY)",
        "CREATE TABLE `par``ent` (id int PRIMARY KEY, g int, FOREIGN KEY (g) REFERENCES grand (id) ON DELETE CASCADE)",
        "CREATE TABLE child (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES `par``ent` (id) ON UPDATE SET NULL)",
        "CREATE TABLE plain (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES `par``ent` (id))",
        "CREATE TABLE tree (id int PRIMARY KEY, up int, FOREIGN KEY (up) REFERENCES tree (id) ON DELETE CASCADE)",
    )
    tables = {(name, "child"): "child", (name, "plain"): "plain", (name, "tree"): "tree"}
    with connect(target_of(database.url)) as connection:
        found = catalog.cascades(connection, tables)
        logged = catalog.logs_cascades(connection)
    if database.flavor == "mysql":
        assert logged
        assert found == {}
        return
    assert found == {
        (name, "par`ent"): {"child"},
        (name, "grand"): {"child"},
        (name, "tree"): {"tree"},
    }
    database.execute(
        f"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}@'%'",
        f"GRANT SELECT ON child TO {user}@'%'",
    )
    target = target_of(url(database.server, user, name), "child")
    fix = f"GRANT SELECT ON `{name}`.`par``ent` TO `{user}`@`%`;"
    assert unmet(await setup.check(target)) == {f"table {name}.par`ent: SELECT": fix}
    database.execute(fix)
    assert unmet(await setup.check(target)) == {
        f"table {name}.grand: SELECT": f"GRANT SELECT ON `{name}`.`grand` TO `{user}`@`%`;"
    }
    database.execute(f"GRANT SELECT ON grand TO {user}@'%'")
    checked = await setup.check(target)
    assert unmet(checked) == {}
    assert f"deletes and updates in {name}.grand, {name}.par`ent cascade to it" in checked[-1].detail


def test_foreign_keys_of_another_database(mariadb_db: MysqlDatabase) -> None:
    name, other = mariadb_db.name, f"{mariadb_db.name}_2"
    mariadb_db.execute(
        f"CREATE DATABASE {other}",
        f"CREATE TABLE {other}.parent (id int PRIMARY KEY)",
        f"CREATE TABLE child (id int PRIMARY KEY, FOREIGN KEY (id) REFERENCES {other}.parent (id) ON DELETE CASCADE)",
    )
    try:
        with connect(target_of(mariadb_db.url)) as connection:
            found = catalog.cascades(connection, {(name, "child"): "child"})
    finally:
        mariadb_db.execute("DROP TABLE child", f"DROP DATABASE {other}")
    assert found == {(other, "parent"): {"child"}}


# -- connections ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["disabled", "preferred"])
def test_a_user_of_each_flavors_own_kind(database: MysqlDatabase, user: str, mode: str) -> None:
    """On MySQL that is caching_sha2_password, whose first login without TLS takes the server's RSA key."""
    target = target_of(url(database.server, user, options=f"?ssl-mode={mode}"))
    assert bool(cipher(target)) == (mode == "preferred" and database.flavor == "mysql")
    assert query(target, "SELECT CURRENT_USER()") == (f"{user}@%",)


def test_the_session_is_ours_whatever_the_server_says(database: MysqlDatabase) -> None:
    settings = "SELECT @@time_zone, @@sql_mode, @@character_set_connection, @@autocommit"
    assert query(target_of(database.url), settings) == ("+00:00", "", "utf8mb4", 1)


def test_what_is_said_of_connections_that_fail(database: MysqlDatabase, user: str) -> None:
    wrong = target_of(url(database.server, user).replace(QUOTED, "wrong"))
    found = failure(wrong)
    assert isinstance(found, SourceUnavailable)
    assert "Look at user and password" in str(found)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        assert "Connection refused" in str(failure(target_of(f"mysql://a:{QUOTED}@127.0.0.1:{port}/x")))


@pytest.mark.parametrize("flavor", FLAVORS)
def test_tls_with_an_authority_of_ones_own(flavor, throwaway_mysql, tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "a"), Authority(tmp_path / "b")
    pair, wrong = authority.sign("server", "127.0.0.1"), authority.sign("other", "10.1.2.3")
    client = authority.sign("client", "127.0.0.1")
    server = throwaway_mysql(flavor, ssl_ca=str(authority.ca), ssl_cert=str(pair.cert), ssl_key=str(pair.key))
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER plain@'%' IDENTIFIED BY '{PASSWORD}'")
        cursor.execute(f"CREATE USER certain@'%' IDENTIFIED BY '{PASSWORD}' REQUIRE X509")

    def with_options(options: str, user: str = "plain") -> Target:
        return target_of(url(server, user, options=f"?{options}"))

    for options in (
        "ssl-mode=preferred",
        "ssl-mode=required",
        f"ssl-ca={authority.ca}",
        f"ssl-mode=verify_identity&ssl-ca={authority.ca}",
    ):
        assert cipher(with_options(options)).startswith("TLS_"), options
    assert cipher(with_options("ssl-mode=disabled")) == ""
    for options in (
        f"ssl-ca={stranger.ca}",
        f"ssl-mode=verify_identity&ssl-ca={stranger.ca}",
        "ssl-mode=verify_ca",
    ):
        found = failure(with_options(options))
        assert isinstance(found, SourceUnavailable), options
        assert "the server's certificate is not accepted" in str(found), options

    certificate = f"ssl-ca={authority.ca}&ssl-cert={client.cert}&ssl-key={client.key}"
    assert cipher(with_options(certificate, "certain"))
    assert "Look at user and password" in str(failure(with_options(f"ssl-ca={authority.ca}", "certain")))

    for source, place in ((wrong.cert, pair.cert), (wrong.key, pair.key)):
        shutil.copy(source, place)
    server.stop()
    server.start()
    assert cipher(with_options(f"ssl-ca={authority.ca}"))
    found = failure(with_options(f"ssl-mode=verify_identity&ssl-ca={authority.ca}"))
    assert "IP address mismatch" in str(found)
    with pytest.raises(ConfigError, match="must be files in PEM"):
        connect(with_options(f"ssl-ca={tmp_path / 'none'}"))


def test_tls_that_only_one_side_wants(mariadb_db: MysqlDatabase, throwaway_mysql) -> None:
    found = failure(target_of(f"{mariadb_db.url}?ssl-mode=required"))
    assert "the server offers no TLS, and ssl-mode=required of `conn` demands it" in str(found)
    server = throwaway_mysql("mysql", require_secure_transport="ON")
    found = failure(target_of(f"{server.url_for('x')}?ssl-mode=disabled"))
    assert "Add ssl-mode=required to `conn`" in str(found)
    assert cipher(target_of(server.url_for("x")))


def test_ed25519_of_mariadb(throwaway_mysql) -> None:
    server = throwaway_mysql("mariadb", plugin_load_add="auth_ed25519")
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE USER ed@'%' IDENTIFIED VIA ed25519 USING PASSWORD('{PASSWORD}')")
    assert query(target_of(url(server, "ed")), "SELECT CURRENT_USER()") == ("ed@%",)
    wrong = target_of(url(server, "ed").replace(QUOTED, "wrong"))
    assert "Look at user and password" in str(failure(wrong))


def test_a_unix_socket(throwaway_mysql, tmp_path: Path) -> None:
    server = throwaway_mysql("mariadb")
    target = target_of(f"mysql://root:{server.password}@localhost/x?socket={server.cluster / 'mysql.sock'}")
    assert query(target, "SELECT CURRENT_USER()") == ("root@localhost",)


async def test_a_server_that_is_down_and_comes_back(throwaway_mysql) -> None:
    server = throwaway_mysql("mariadb")
    target = target_of(server.url_for("mysql"))
    server.kill()
    with pytest.raises(SourceUnavailable, match="Connection refused"):
        await setup.check(target)
    server.start()
    assert unmet(await setup.check(target)) == {}


def test_an_error_in_the_middle_of_a_session_is_explained(database: MysqlDatabase) -> None:
    target = target_of(database.url, "items")
    with connect(target) as connection:
        database.execute(f"KILL {connection.thread_id()}")
        with pytest.raises(pymysql.OperationalError):
            setup.require(connection, target)
