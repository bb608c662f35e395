"""Events are counted alike in Python and by the kernel."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cdc import kernel
from cdc.event import Record
from cdc.tally import Tally, python_tally

TALLIES: list[Tally] = [python_tally, *(part.tally for part in [kernel.load("tally")] if part is not None)]


def record(name: str, op: str, row: str = "null") -> Record:
    return name, b"{}", f'{{"after":{row},"source":{{"db":"d"}},"op":"{op}","ts_ms":1}}'.encode()


@pytest.mark.parametrize("tally", TALLIES)
@pytest.mark.parametrize(
    ("records", "counts"),
    [
        ([], {}),
        ([record("a", "c")], {("a", ord("c")): 1}),
        ([("a", b"{}", None)], {("a", 0): 1}),
        (
            [record("a", "c"), record("a", "c"), record("b", "c"), record("a", "u"), record("a", "c")],
            {("a", ord("c")): 3, ("b", ord("c")): 1, ("a", ord("u")): 1},
        ),
        ([record("a", "d", '{"x":{},"op":"u"}')], {("a", ord("d")): 1}),
    ],
)
def test_by_collection_and_op(
    tally: Tally, records: Sequence[Record], counts: dict[tuple[str, int], int]
) -> None:
    assert tally(records) == counts
