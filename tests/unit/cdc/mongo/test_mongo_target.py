"""Which database and collections are meant, and what of the connection string may be shown."""

from __future__ import annotations

import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from cdc.config_parse import parse
from cdc.errors import ConfigError, PositionLost, ProtocolError, SetupError, SourceUnavailable
from cdc.mongo.connect import connect, describe, explain
from cdc.mongo.target import Target, database_name, shell

FILE = """
id: todo-app
modules:
  crud:
    mongo:
      conn: {conn}
      manage: false
      collections: {{todos: {{isRealtimeEnabled: true}}, users: {{}}}}
"""
TARGET = Target("todo-app", "mongo", "mongodb://app:hunter2@db:27017/app", True, "app", ("todos",))


@pytest.mark.parametrize(
    ("conn", "database"),
    [
        ("mongodb://localhost:27017", "todo-app"),
        ("mongodb://localhost:27017/", "todo-app"),
        ("mongodb://a:1,b:2/shop?replicaSet=rs0", "shop"),
        ("mongodb+srv://u:p%2Fq@cluster.example/my%20shop", "my shop"),
    ],
)
def test_the_database_is_the_one_in_conn_or_the_projects(conn, database):
    target = Target.of(parse(FILE.format(conn=conn), {}), "mongo")
    assert (target.database, target.collections, target.manage) == (database, ("todos",), False)
    assert conn not in repr(target)


def test_no_database():
    assert database_name("mongodb://localhost/?replicaSet=rs0") == ""


def test_what_is_shown():
    assert describe(TARGET.conn) == "MongoDB at db:27017/app as user app"
    assert describe("mongodb://localhost") == "MongoDB at localhost as user (none)"
    shown = 'db.getSiblingDB("a\\"b").runCommand({"collMod": "x", "y": true})'
    assert shell('a"b', {"collMod": "x", "y": True}) == shown


@pytest.mark.parametrize("conn", ["mongodb://", "mongodb://app:hunter2@h:port/", "http://hunter2"])
def test_a_conn_that_is_none_is_not_shown(conn):
    with pytest.raises(ConfigError, match="is not a MongoDB connection string") as refused:
        connect(conn)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OperationFailure("gone", 286), PositionLost, "--reset-position"),
        (OperationFailure("gone", 136), PositionLost, "overwritten"),
        (OperationFailure("gone", 280), PositionLost, "does not hold"),
        (OperationFailure("gone", 260), PositionLost, "does not accept"),
        (OperationFailure("big", 10334), ProtocolError, "16 MiB"),
        (OperationFailure("no", 13), SetupError, "grantRolesToUser"),
        (OperationFailure("Authentication failed.", 18), SourceUnavailable, "authSource"),
        (OperationFailure("x", 40573), SetupError, "--replSet"),
        (OperationFailure("no cursor, full error: {…}", 43), SourceUnavailable, "no cursor"),
        (AutoReconnect("connection closed"), SourceUnavailable, "connection closed"),
    ],
)
def test_what_errors_mean(error, kind, words):
    found = explain(TARGET, error)
    assert type(found) is kind
    assert words in str(found)
    assert "full error" not in str(found)
    assert "hunter2" not in str(found)
