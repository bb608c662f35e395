"""Microseconds per evaluation: the compiled predicate beside the reference evaluator, in one run.

make bench BENCH=evaluate
"""

from __future__ import annotations

import statistics
import timeit
from collections.abc import Callable
from typing import Any

from broadcaster.evaluate import compile_predicate, decode_row
from broadcaster.query import parse_where
from support.reference_evaluator import matches

ROW: dict[str, Any] = {
    "id": "t1",
    "name": "Ada",
    "n": 42,
    "done": False,
    "at": "2024-01-05T10:20:30.123456Z",
    "price": "10.50",
    "doc": {"a": {"b": 3}, "tags": ["x", "y", "z"]},
    "big": "9007199254740993",
}
TYPES = {"at": "timestamptz", "price": "decimal", "big": "int64"}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("one equality, no match", {"id": "t2"}),
    ("one equality, match", {"id": "t1"}),
    ("bool", {"done": False}),
    ("range", {"n": {"$gt": 21}}),
    ("$in of 1,000", {"id": {"$in": [f"t{i}" for i in range(2, 1002)]}}),
    ("timestamptz range", {"at": {"$gte": "2024-01-01", "$lt": "2024-02-01"}}),
    ("decimal", {"price": {"$lte": 10.5}}),
    ("int64", {"big": {"$gt": "9007199254740992"}}),
    ("dotted path", {"doc.a.b": 3}),
    ("array element", {"doc.tags": "z"}),
    ("five conditions", {"id": "t1", "n": {"$gt": 21}, "$or": [{"done": True}, {"name": {"$in": ["Ada", "Bob"]}}]}),
]  # fmt: skip


def microseconds(call: Callable[[], object]) -> float:
    """Median of five rounds of about 50 ms."""
    timer = timeit.Timer(call)
    number, took = timer.autorange()
    number = max(1, int(number * 0.05 / took))
    return statistics.median(timer.repeat(5, number)) / number * 1e6


def main() -> None:
    print(f"{'µs per evaluation':26}{'no types':>10}{'types':>10}{'reference':>12}{'ratio':>8}")
    for name, where in CASES:
        predicate = compile_predicate(parse_where(where))
        plain = microseconds(lambda predicate=predicate: predicate(ROW))  # type: ignore[misc]
        typed = microseconds(lambda predicate=predicate: predicate(ROW, TYPES))  # type: ignore[misc]
        reference = microseconds(lambda where=where: matches(where, ROW, TYPES))  # type: ignore[misc]
        print(f"{name:26}{plain:10.3f}{typed:10.3f}{reference:12.1f}{reference / typed:7.0f}x")
    raw = b'{"id":"t1","name":"Ada","n":42,"done":false,"at":"2024-01-05T10:20:30.123456Z","price":"10.50"}'
    print(f"decode_row, 6 columns: {microseconds(lambda: decode_row(raw)):.2f} µs")
    where = CASES[-1][1]
    print(
        f"parse + compile, five conditions: {microseconds(lambda: compile_predicate(parse_where(where))):.0f} µs"
    )


if __name__ == "__main__":
    main()
