"""How rows are ordered, written for the eye: field by field, each value with its class before it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from support.reference_evaluator import INSTANTS, _bytes, _instant, _kind, _number, _time, _uuid

CLASSES = ("null", "number", "text", "bool", "instant", "time", "uuid", "bytes", "document", "array")


def ordered(
    rows: Sequence[dict[str, Any]],
    sort: Sequence[str],
    key: Sequence[str],
    types: Mapping[str, str] | None = None,
) -> list[dict[str, Any]]:
    """The rows, sorted by these fields (`-title` is descending), then by the primary key's."""
    return sorted(rows, key=lambda row: place(row, sort, key, types))


def place(
    row: dict[str, Any], sort: Sequence[str], key: Sequence[str], types: Mapping[str, str] | None = None
) -> list[Any]:
    """What sorts as the rows do."""
    values: list[Any] = []
    for field in [*sort, *key]:
        path = field.removeprefix("-")
        value = sort_value(at(row, path), _kind(path, types or {}))
        values.append(Descending(value) if field.startswith("-") else value)
    return values


class Descending:
    """A value that sorts the other way round."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __lt__(self, other: Descending) -> bool:
        return bool(other._value < self._value)


def at(node: Any, path: str) -> Any:
    for segment in path.split("."):
        if isinstance(node, list) and segment.isdigit() and int(segment) < len(node):
            node = node[int(segment)]
        else:
            node = node.get(segment) if isinstance(node, dict) else None
    return node


def sort_value(value: Any, kind: str) -> tuple[int, Any]:
    """Its class, and what it is compared as within that."""
    name, read = _read(value, kind)
    return CLASSES.index(name), read


def _read(value: Any, kind: str) -> tuple[str, Any]:
    if value is None:
        return "null", 0
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, (dict, list)):
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return ("document" if isinstance(value, dict) else "array"), text
    if kind in INSTANTS:
        return "instant", _instant(value)
    if kind == "time":
        return "time", _time(value)
    if kind == "uuid":
        return "uuid", _uuid(value)
    if kind == "bytes":
        return "bytes", _bytes(value)
    if kind in ("decimal", "int64", "float") or not isinstance(value, str):
        number = _number(value, any_text=kind == "decimal")
        return "number", (1, Fraction(0)) if number is None else (0, number)  # NaN is last
    return "text", value
