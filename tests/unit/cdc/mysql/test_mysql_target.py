"""Which server, user, tables and TLS a connection string means, and what of it may be shown."""

from __future__ import annotations

import pytest

from cdc.errors import ConfigError
from cdc.mysql.target import Target, Tls, identifier, literal
from support.mysql_target import target_of


def test_every_part():
    target = target_of(
        "mariadb://a%40b:hunt%2Fer2%C3%A9@db.example:3307/my%20app?ssl-mode=VERIFY_IDENTITY&ssl-ca=/c/ca.pem"
        "&ssl-cert=/c/c.pem&ssl-key=/c/k.pem",
        "todos",
        "shop.orders",
    )
    assert target == Target(
        project="todo-app",
        alias="sql-mysql",
        host="db.example",
        port=3307,
        user="a@b",
        password="hunt/er2é",
        database="my app",
        socket=None,
        tls=Tls("verify_identity", "/c/ca.pem", "/c/c.pem", "/c/k.pem"),
        tables={("my app", "todos"): "todos", ("shop", "orders"): "shop.orders"},
    )
    assert target.where == "MySQL at db.example:3307/my app as user a@b"
    assert "hunt" not in repr(target)


def test_the_least():
    target = target_of("mysql://app@db")
    assert (target.host, target.port, target.password, target.database) == ("db", 3306, "", "")
    assert target.tls == Tls("preferred")
    assert target.where == "MySQL at db:3306 as user app"


def test_an_address_of_ipv6_and_a_socket():
    assert target_of("mysql://app@[::1]:3307/app").host == "::1"
    target = target_of("mysql://app@localhost/app?socket=/run/mysqld/mysqld.sock")
    assert target.socket == "/run/mysqld/mysqld.sock"
    assert target.where == "MySQL at /run/mysqld/mysqld.sock/app as user app"


@pytest.mark.parametrize(
    ("options", "tls"),
    [
        ("ssl-mode=disabled", Tls("disabled")),
        ("ssl-mode=REQUIRED", Tls("required")),
        ("ssl-ca=/ca", Tls("verify_ca", "/ca")),
        ("ssl-ca=/ca&ssl-mode=required", Tls("required", "/ca")),
        ("ssl-cert=/c&ssl-key=/k", Tls("required", None, "/c", "/k")),
    ],
)
def test_tls(options, tls):
    assert target_of(f"mysql://app@db/app?{options}").tls == tls


@pytest.mark.parametrize(
    ("conn", "words"),
    [
        ("mysql://hunter2:pw@db:port/app", "is not a connection string; write mysql://"),
        ("mysql://hunter2:pw@[db/app", "is not a connection string; write mysql://"),
        ("mysql://hunter2:pw@db/app/more", "is not a connection string of MySQL"),
        ("host=db password=hunter2", "is not a connection string of MySQL"),
        ("mysql://db/app", "names no user"),
        ("mysql://u:hunter2@db/app?sslmode=required", "unknown option sslmode; did you mean ssl-mode?"),
        ("mysql://u:hunter2@db/app?ssl_ca=/ca", "unknown option ssl_ca; did you mean ssl-ca?"),
        ("mysql://u:hunter2@db/app?zip=1", "unknown option zip; known are ssl-mode, ssl-ca"),
        ("mysql://u:hunter2@db/app?ssl-mode=on", "ssl-mode must be one of disabled, preferred"),
        ("mysql://u:hunter2@db/app?ssl-ca=", "the option ssl-ca has no value"),
        (
            "mysql://u:hunter2@db/app?ssl-mode=preferred&ssl-ca=/ca",
            "no ssl-ca, ssl-cert or ssl-key has an effect",
        ),
        ("mysql://u:hunter2@db/app?ssl-key=/k", "ssl-key without ssl-cert"),
        ("mysql://u:hunter2@db", "in which database? Write it as database.todos"),
    ],
)
def test_refused_without_showing_any_of_it(conn, words):
    with pytest.raises(ConfigError) as refused:
        target_of(f'"{conn}"', "todos")
    assert words in str(refused.value)
    assert "modules.crud.sql-mysql" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_one_table_is_one_collection():
    with pytest.raises(ConfigError, match=r"todos and app\.todos are the same table"):
        target_of("mysql://app@db/app", "todos", "app.todos")


def test_quoting():
    assert identifier("a", "b`c") == "`a`.`b``c`"
    assert literal("it's \\") == "'it''s \\\\'"
