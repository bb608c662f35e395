"""Names of publications and slots, quoting."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cdc.postgres.target import default_name, identifier, literal, table_name


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
