"""How much binlog lies before a tailer."""

from __future__ import annotations

import pytest

from cdc.event import Position
from cdc.mysql.position import order_of
from cdc.mysql.status import behind_bytes, place

FILES = {"b.000007": 100, "b.000008": 1000, "b.000009": 500, "b.000010": 300}


def at(file: str, offset: int) -> Position:
    return Position("server", order_of(file, offset), {"file": file, "pos": offset, "gtid": ""})


@pytest.mark.parametrize(
    ("after", "bytes_left"),
    [
        (at("b.000010", 300), 0),
        (at("b.000010", 120), 180),
        (at("b.000009", 500), 300),
        (at("b.000008", 400), 600 + 500 + 300),
        (at("b.000010", 301), 0),
    ],
)
def test_behind(after: Position, bytes_left: int) -> None:
    assert behind_bytes(FILES, "b.000010", 300, after) == bytes_left


def test_place() -> None:
    assert place(at("b.000010", 120)) == "b.000010:120"
