from __future__ import annotations

import pytest

from cdc.errors import ProtocolError
from cdc.mysql.table import Column, Table
from cdc.mysql.values import compile_row, form_of, select_list

TABLE = Table(
    "app",
    "items",
    (
        Column("id", "bigint", "bigint"),
        Column("na`me", "varchar", "varchar(9)", "utf8mb4"),
        Column("old", "varchar", "varchar(9)", "latin1"),
        Column("f", "float", "float"),
        Column("money", "double", "double(10,2)"),
        Column("d", "double", "double"),
        Column("zero", "decimal", "decimal(8,2) unsigned zerofill"),
        Column("done", "tinyint", "tinyint(1)", hint="boolean"),
        Column("bits", "bit", "bit(60)"),
        Column("at", "datetime", "datetime(3)"),
        Column("ip", "inet6", "inet6", hint="inet6"),
        Column("doc", "longtext", "longtext", "utf8mb4", "json"),
    ),
    ("na`me", "id"),
)


def test_what_is_selected() -> None:
    assert select_list(TABLE) == (
        "`id`, `na``me`, CAST(`old` AS BINARY), `f` * 1e0, `money` * 1e0, `d`, `zero`, `done`, `bits`, `at`, "
        "CAST(`ip` AS BINARY), `doc`"
    )


def test_a_row() -> None:
    row = compile_row(TABLE)
    key, doc, kinds = row(
        [
            b"9007199254740993", "ä".encode(), b"\xe4", b"1.100000023841858", b"1.13", b"1e20", b"000001.50", b"1",
            b"\x0f" + b"\xff" * 7, b"2024-01-02 03:04:05.120", bytes(15) + b"\1", b'{ "a": 1.50 }',
        ]
    )  # fmt: skip
    assert key.decode() == '{"na`me":"ä","id":"9007199254740993"}'
    assert doc.decode() == (
        '{"id":"9007199254740993","na`me":"ä","old":"ä","f":1.1,"money":1.13,"d":1e+20,"zero":"1.50","done":true,'
        '"bits":"1152921504606846975","at":"2024-01-02T03:04:05.12","ip":"::1","doc":{"a":1.50}}'
    )
    assert kinds == {"id": "int64", "zero": "decimal", "bits": "int64", "at": "timestamp"}


def test_nulls_keep_constant_kinds() -> None:
    _, doc, kinds = compile_row(TABLE)([b"1", b"x", *[None] * 10])
    assert doc.startswith(b'{"id":1,"na`me":"x","old":null,')
    assert kinds == {"zero": "decimal", "at": "timestamp"}


def test_a_value_of_another_form_is_refused() -> None:
    with pytest.raises(ProtocolError, match=r"app\.items: a value does not have the form"):
        compile_row(TABLE)([b"1", b"x", None, b"one", *[None] * 8])


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(ProtocolError, match="the column c has the type newtype"):
        form_of(Column("c", "newtype", "newtype(3)"))
