"""The condition for the rows beyond a key."""

import pytest

from cdc.errors import ProtocolError
from cdc.mysql.keyset import beyond, key_list, order_of_key
from cdc.mysql.table import Column, Table

TABLE = Table(
    "app",
    "todos",
    (
        Column("title", "varchar", "varchar(10)", "latin1"),
        Column("n", "int", "int"),
        Column("raw", "varbinary", "varbinary(5)"),
        Column("at", "date", "date"),
        Column("f", "double", "double"),
    ),
    ("n", "title", "raw"),
)


def test_one_column_and_several() -> None:
    one = Table("app", "todos", TABLE.columns, ("n",))
    assert (key_list(one), order_of_key(one)) == ("`n` + 0", "`n`")
    assert beyond(one, None) == "TRUE"
    assert beyond(one, ["7"]) == "`n` >= 7 AND (`n` > 7)"
    assert key_list(TABLE) == "`n` + 0, HEX(`title`), HEX(`raw`)"
    assert beyond(TABLE, ["7", "41C4", ""]) == (
        "`n` >= 7 AND (`n` > 7 OR `n` = 7 AND "
        "(`title` > _latin1 x'41C4' OR `title` = _latin1 x'41C4' AND (`raw` > x'')))"
    )


def test_other_kinds_are_compared_as_text_and_floats_as_numbers() -> None:
    table = Table("app", "todos", TABLE.columns, ("at", "f"))
    assert key_list(table) == "CAST(`at` AS CHAR), `f` * 1e0"
    assert beyond(table, ["20'20", "1.5e-7"]).startswith("`at` >= '20''20' AND (")


@pytest.mark.parametrize("after", [["7"], ["7", "4", ""], ["7; DROP", "41", ""], ["7", "41' OR 1", ""]])
def test_what_is_no_key_of_the_table_is_refused(after: list[str]) -> None:
    with pytest.raises(ProtocolError):
        beyond(TABLE, after)
