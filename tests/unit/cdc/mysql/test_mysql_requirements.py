"""What is needed of a MySQL or MariaDB, and the statement that mends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc.mysql.facts import Facts, Server, TableFacts
from cdc.mysql.requirements import advice, awaited, requirements
from support.mysql_target import target_of

TARGET = target_of("mysql://app@db/shop", "todos")
VARIABLES = {
    "log_bin": "ON",
    "server_id": "1",
    "binlog_format": "ROW",
    "binlog_row_image": "FULL",
    "binlog_row_metadata": "FULL",
    "log_replica_updates": "ON",
    "log_slave_updates": "ON",
    "read_only": "OFF",
    "gtid_mode": "ON",
    "binlog_expire_logs_seconds": "2592000",
}
MYSQL = Server(
    mariadb=False,
    version=(9, 7, 4),
    user="app@%",
    variables=VARIABLES,
    privileges=frozenset({"REPLICATION SLAVE", "REPLICATION CLIENT"}),
    logged=frozenset(),
    ignored=frozenset(),
    replica=False,
    logs_cascades=True,
    prepared=0,
)
MARIADB = replace(
    MYSQL,
    mariadb=True,
    version=(10, 11, 6),
    variables={
        name: value for name, value in VARIABLES.items() if name not in ("gtid_mode", "log_replica_updates")
    },
    privileges=frozenset({"REPLICATION SLAVE", "BINLOG MONITOR"}),
)
TABLE = TableFacts("shop", "todos", "BASE TABLE", "InnoDB", has_key=True, may_select=True)


def unmet(server, table=TABLE, unseen=frozenset(), target=TARGET):
    return [each for each in requirements(target, Facts(server, (table,), unseen)) if not each.ok]


def only(server, table=TABLE, **more):
    (found,) = unmet(server, table, **more)
    return found


def told(server, table=TABLE):
    return {each.name: each.detail for each in advice(Facts(server, (table,), frozenset()))}


def having(server, **variables):
    return replace(server, variables={**server.variables, **variables})


@pytest.mark.parametrize("server", [MYSQL, MARIADB, replace(MYSQL, privileges=frozenset({"ALL PRIVILEGES"}))])
def test_all_is_met(server):
    assert unmet(server) == []
    assert all(each.ok for each in advice(Facts(server, (TABLE,), frozenset())))


@pytest.mark.parametrize(
    ("server", "detail"),
    [
        (replace(MYSQL, version=(5, 7, 44)), "MySQL 5.7.44; 8.0 or later is needed"),
        (replace(MARIADB, version=(10, 5, 29)), "MariaDB 10.5.29; 10.6 or later is needed"),
    ],
)
def test_version(server, detail):
    assert only(server).detail == detail


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("binlog_format", "MIXED", "ROW"),
        ("binlog_row_image", "MINIMAL", "FULL"),
        ("binlog_row_metadata", "MINIMAL", "FULL"),
    ],
)
def test_variables(name, value, wanted):
    found = only(having(MYSQL, **{name: value}))
    assert found.name == name
    assert found.detail.startswith(f"is {value}: ")
    assert found.fix == f"SET PERSIST {name} = '{wanted}';"
    assert only(having(MARIADB, **{name: value})).fix == (
        f"SET GLOBAL {name} = '{wanted}';  -- and in my.cnf, section [mysqld]: {name} = {wanted}"
    )


def test_no_binlog():
    assert "log_bin = binlog and server_id = 1" in only(having(MYSQL, log_bin="OFF")).fix


def test_a_server_without_id_serves_no_binlog():
    assert only(having(MYSQL, server_id="0")).fix == "SET PERSIST server_id = 1;"


def test_a_replica_must_log_what_it_takes_over():
    assert only(having(MYSQL, log_replica_updates="OFF", read_only="ON")).name == "log_replica_updates"
    assert only(replace(having(MARIADB, log_slave_updates="OFF"), replica=True)).name == "log_slave_updates"
    assert unmet(having(MARIADB, log_slave_updates="OFF")) == []


def test_filters_of_the_binlog():
    assert "keeps the databases shop out" in only(replace(MYSQL, ignored=frozenset({"shop"}))).detail
    assert "keeps the databases shop out" in only(replace(MYSQL, logged=frozenset({"other"}))).detail
    assert unmet(replace(MYSQL, logged=frozenset({"shop"}), ignored=frozenset({"other"}))) == []


def test_privileges():
    found = unmet(replace(MARIADB, privileges=frozenset({"USAGE"})))
    assert [each.fix for each in found] == [
        "GRANT REPLICATION SLAVE ON *.* TO `app`@`%`;",
        "GRANT BINLOG MONITOR ON *.* TO `app`@`%`;",
    ]


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"kind": None, "near": ("shop.todo",)}, "", "does not exist; did you mean shop.todo?"),
        ({"kind": None, "may_select": False}, "", "does not exist, or user app@% may not see it"),
        ({"kind": "VIEW"}, "", "is a VIEW"),
        ({"kind": "SYSTEM VERSIONED"}, "", "is system-versioned"),
        ({"engine": "MyISAM"}, ": engine", "is MyISAM, which has no transactions"),
        ({"has_key": False}, ": primary key", "has none"),
        ({"may_select": False}, ": SELECT", "may not read it"),
    ],
)
def test_tables(change, name, words):
    found = only(MYSQL, replace(TABLE, **change))
    assert found.name == f"table shop.todos{name}"
    assert words in found.detail


def test_only_a_table_that_would_be_seen_is_awaited():
    absent = replace(TABLE, kind=None)
    assert awaited(Facts(MYSQL, (absent, TABLE), frozenset())) == [only(MYSQL, absent)]
    assert awaited(Facts(MYSQL, (replace(absent, may_select=False),), frozenset())) == []


def test_a_parent_that_cannot_be_looked_at():
    found = only(MARIADB, unseen=frozenset({("shop", "lists")}))
    assert found.fix == "GRANT SELECT ON `shop`.`lists` TO `app`@`%`;"


def test_advice():
    assert "recommended is ON" in told(having(MYSQL, gtid_mode="OFF"))["gtid_mode"]
    assert "gtid_mode" not in told(MARIADB)
    assert told(having(MYSQL, binlog_expire_logs_seconds="0"))["retention"].startswith(
        "the binlog is kept until"
    )
    short = told(having(MARIADB, binlog_expire_logs_seconds="3600"))["retention"]
    assert "SET GLOBAL binlog_expire_logs_seconds = 86400;" in short
    assert "2 are prepared" in told(replace(MYSQL, prepared=2))["XA transactions"]
    cascading = replace(TABLE, cascades_from=(("shop", "lists"),))
    assert "in shop.lists cascade to it" in told(MARIADB, cascading)["table shop.todos: foreign keys"]
