"""How rows are ordered, written for the eye: one value compared with another, field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import cmp_to_key
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

    def compare(one: dict[str, Any], other: dict[str, Any]) -> int:
        for field in [*sort, *key]:
            path = field.removeprefix("-")
            kind = _kind(path, types or {})
            mine, its = _value(_at(one, path), kind), _value(_at(other, path), kind)
            if mine != its:
                found = -1 if mine < its else 1
                return -found if field.startswith("-") else found
        return 0

    return sorted(rows, key=cmp_to_key(compare))


def _at(node: Any, path: str) -> Any:
    for segment in path.split("."):
        if isinstance(node, list) and segment.isdigit() and int(segment) < len(node):
            node = node[int(segment)]
        else:
            node = node.get(segment) if isinstance(node, dict) else None
    return node


def _value(value: Any, kind: str) -> tuple[int, Any]:
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
