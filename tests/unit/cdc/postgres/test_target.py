"""Names of publications and slots, quoting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from cdc.config_parse import parse
from cdc.connector import connector_of
from cdc.errors import ConfigError
from cdc.metrics import Metrics
from cdc.postgres.target import Target, default_name, identifier, literal, table_name
from cdc.runner import tailed

CONFIG = """
id: todo-app
modules:
  crud:
    sql-postgres:
      conn: {conn}
      collections:
        todos: {{isRealtimeEnabled: true}}
        {other}: {{isRealtimeEnabled: true}}
        plain: {{isRealtimeEnabled: false}}
    second:
      type: postgres
      conn: dbname=x
"""


def test_plain_names_stay_readable() -> None:
    assert default_name("todo", "pg") == "livetail_todo_pg"


def test_what_a_slot_name_cannot_hold_is_replaced_and_told_apart() -> None:
    name = default_name("todo-app", "sql-postgres")
    assert name.startswith("livetail_todo_app_sql_postgres_")
    assert name != default_name("todo_app", "sql_postgres")
    assert name != default_name("Todo-app", "sql-postgres")


@given(st.text(), st.text())
def test_every_name_is_a_slot_name(project: str, alias: str) -> None:
    name = default_name(project, alias)
    assert 0 < len(name) <= 63
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")


def test_table_name() -> None:
    assert table_name("todos") == ("public", "todos")
    assert table_name("shop.orders") == ("shop", "orders")


def test_quoting() -> None:
    assert identifier("a", 'b"c') == '"a"."b""c"'
    assert literal("it's") == "'it''s'"


def test_target_of_a_configuration() -> None:
    config = parse(CONFIG.format(conn="postgresql://h/d", other="shop.orders"), {})
    target = Target.of(config, "sql-postgres")
    assert target.tables == {("public", "todos"): "todos", ("shop", "orders"): "shop.orders"}
    assert target.slot == target.publication == default_name("todo-app", "sql-postgres")
    assert target.manage
    assert "postgresql://" not in repr(target)
    assert tailed(config) == ["sql-postgres"]
    with pytest.raises(ConfigError, match="'second' has no realtime-enabled collection"):
        tailed(config, ["second"])


def test_one_table_is_one_collection() -> None:
    config = parse(CONFIG.format(conn="postgresql://h/d", other="public.todos"), {})
    with pytest.raises(ConfigError, match=r"todos and public\.todos are the same table"):
        Target.of(config, "sql-postgres")


def test_a_connection_string_that_is_none_shows_nothing_of_itself() -> None:
    config = parse(CONFIG.format(conn="postgresql://u:hunter2@h:port/d?x", other="b"), {})
    with pytest.raises(ConfigError, match="`conn` is not") as caught:
        connector_of(config, "sql-postgres").source(Metrics(CollectorRegistry()).database("sql-postgres"))
    assert "hunter2" not in str(caught.value)
