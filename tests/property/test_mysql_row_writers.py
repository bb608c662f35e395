"""The kernel's row writer adds to the transaction what the one in Python adds, or refuses what that refuses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc import kernel
from cdc.errors import ProtocolError
from cdc.mysql import binlog
from cdc.mysql.rowplan import plan_rows
from cdc.mysql.rowwriter import PythonRowWriter, RowWriter
from cdc.mysql.table import Hint
from cdc.mysql.tablemap import MapColumn, TableMap
from cdc.mysql.writer import EventWriter, Origin
from cdc.transaction import Collection, Transaction
from support.mysqlrows import ANY, SOUND, Hinted, beginning, image

KINDS = {
    1: (binlog.WRITE_ROWS, binlog.DELETE_ROWS_V1),
    2: (binlog.UPDATE_ROWS, binlog.PARTIAL_UPDATE_ROWS),
}

compiled = kernel.load("binlog")
pytestmark = pytest.mark.skipif(compiled is None, reason="no kernel")


def _tables(columns: list[Hinted]) -> st.SearchStrategy[tuple[list[Hinted], list[list[bytes | None]]]]:
    """Tables with one to four images."""
    return st.lists(st.sampled_from(columns), min_size=1, max_size=12).flatmap(
        lambda table: st.tuples(
            st.just(table),
            st.lists(
                st.tuples(*(st.none() | each.values | each.values for each in table)).map(list),
                min_size=1,
                max_size=4,
            ),
        )
    )


class World:
    """A transaction, and one of the two writers into it. key: the places of the key's columns behind the id."""

    def __init__(self, table: list[Hinted], make: Callable[..., RowWriter]) -> None:
        self.transaction = Transaction()
        origin = Origin(version="1", connector="mysql", name="x.y", epoch="e")
        writer = EventWriter(origin, self.transaction, ("d", "t"), Collection("t"))
        origin.begin("bin.1", 7, None)
        self.transaction.begin("a:1", 4, 1000, 2000)
        columns = [MapColumn("id", 3, 0, False)]
        hints: dict[str, Hint] = {}
        for i, (column, _, hint) in enumerate(table):
            name = f'c{i}"ä'
            columns.append(
                MapColumn(
                    name, column.type, column.metadata, True, column.unsigned, column.collation, column.labels
                )
            )
            if hint is not None:
                hints[name] = hint
        self.writer = make(TableMap("d", "t", tuple(columns), (0, len(table))), hints, writer)

    def add(self, kind: int, body: bytes) -> Any:
        """What is to be seen of it."""
        try:
            told: object = self.writer.add(kind, body, 0, len(body), 1234)
        except ProtocolError as error:
            told = str(error)
        transaction = self.transaction
        state = (transaction.total, transaction.size, list(transaction.records))
        if len(transaction.records) > 1:
            transaction.take_part(2001)
        return told, state


def _compiled(table: TableMap, hints: Mapping[str, Hint], writer: EventWriter) -> RowWriter:
    assert compiled is not None
    made: RowWriter = compiled.RowWriter(
        plan_rows(table, hints), writer, partial(PythonRowWriter, table, hints, writer)
    )
    return made


def _refuse() -> NoReturn:
    raise AssertionError("Python was asked")


def _alone(table: TableMap, hints: Mapping[str, Hint], writer: EventWriter) -> RowWriter:
    assert compiled is not None
    made: RowWriter = compiled.RowWriter(plan_rows(table, hints), writer, _refuse)
    return made


def _body(table: list[Hinted], rows: list[list[bytes | None]], images: int) -> bytes:
    body = beginning(len(table), images)
    for number, row in enumerate(rows):
        body += image(row) + (image(rows[number - 1]) if images == 2 else b"")
    return body


def _same(
    table: list[Hinted], kind: int, bodies: list[bytes], make: Callable[..., RowWriter] = _compiled
) -> None:
    quick, slow = World(table, make), World(table, PythonRowWriter)
    for body in bodies:
        assert quick.add(kind, body) == slow.add(kind, body)


@given(_tables(SOUND), st.sampled_from([1, 2]))
@settings(max_examples=100)
def test_rows_that_a_server_might_send_need_no_python(
    case: tuple[list[Hinted], list[list[bytes | None]]], images: int
) -> None:
    table, rows = case
    bodies = [_body(table, rows, images), _body(table, rows[:1], images), beginning(len(table), images)]
    _same(table, KINDS[images][0], bodies, _alone)


@given(_tables(ANY), st.sampled_from([1, 2]), st.sampled_from([0, 1]))
@settings(max_examples=100)
def test_any_rows(case: tuple[list[Hinted], list[list[bytes | None]]], images: int, kind: int) -> None:
    table, rows = case
    _same(table, KINDS[images][kind], [_body(table, rows, images)] * 2)


@given(_tables(ANY), st.sampled_from([1, 2]), st.data())
@settings(max_examples=100)
def test_damaged_rows(
    case: tuple[list[Hinted], list[list[bytes | None]]], images: int, data: st.DataObject
) -> None:
    table, rows = case
    body = bytearray(_body(table, rows, images))
    for _ in range(data.draw(st.integers(0, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.integers(0, len(body)))
    kind = data.draw(st.sampled_from(KINDS[images]))
    _same(table, kind, [bytes(body), bytes(body[:kept])])
