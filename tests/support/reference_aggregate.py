"""What an aggregate is, written for the eye: all rows at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from functools import lru_cache
from typing import Any

from support.reference_evaluator import _kind, _number
from support.reference_order import at, sort_value

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
NUMERIC = ("decimal", "int64", "float")


def aggregated(
    rows: Sequence[dict[str, Any]],
    aggregate: Mapping[str, Mapping[str, Any]],
    group_by: Sequence[str] = (),
    types: Mapping[str, str] | None = None,
) -> dict[str, dict[str, Any]]:
    """The result's rows by their group's fields as JSON."""
    types = types or {}
    groups: dict[str, list[dict[str, Any]]] = {} if group_by else {"{}": []}
    for row in rows:
        groups.setdefault(group_of(row, group_by, types), []).append(row)
    return {
        find: json.loads(find) | {name: _result(members, asked, types) for name, asked in aggregate.items()}
        for find, members in groups.items()
    }


def group_of(row: dict[str, Any], group_by: Sequence[str], types: Mapping[str, str]) -> str:
    """The row's group: its fields as JSON."""
    return as_json({path: _group_value(at(row, path), _kind(path, types)) for path in group_by})


@lru_cache(maxsize=10_000)
def _place(text: str, kind: str) -> Any:
    return sort_value(json.loads(text), kind)


@lru_cache(maxsize=10_000)
def _decimal(text: str) -> Decimal:
    return Decimal(text)


def as_json(value: Any) -> str:
    return _encode(value)


def _group_value(value: Any, kind: str) -> Any:
    if kind == "decimal" and value not in (None, "NaN", "Infinity"):
        return _plain(Fraction(Decimal(value)))
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _result(rows: list[dict[str, Any]], asked: Mapping[str, Any], types: Mapping[str, str]) -> Any:
    [(function, path)] = asked.items()
    if path is True:
        return len(rows)
    kind = _kind(path, types)
    values = [value for row in rows if (value := at(row, path)) is not None]
    if function == "count":
        return len(values)
    if function in ("min", "max"):
        ranked = [(_place(text, kind), text) for text in map(as_json, values)]
        if not ranked:
            return None
        best = min(ranked)[0] if function == "min" else max(ranked)[0]
        return json.loads(min(text for place, text in ranked if place == best))
    scalars = [value for value in values if not isinstance(value, (dict, list))]
    return _of_numbers([value for value in scalars if _is_number(value, kind)], function, kind)


@lru_cache(maxsize=10_000, typed=True)
def _is_number(value: Any, kind: str) -> bool:
    if kind in NUMERIC:
        return value == "NaN" or _number(value, any_text=kind == "decimal") is not None
    return not kind and isinstance(value, (int, float)) and not isinstance(value, bool)


def _of_numbers(values: list[Any], function: str, kind: str) -> Any:
    if not values:
        return None
    if "NaN" in values or {"Infinity", "-Infinity"} <= {str(value) for value in values}:
        return "NaN"
    for infinite in ("Infinity", "-Infinity"):
        if infinite in values:
            return infinite
    with localcontext(Context(prec=2_000)):
        total = Fraction(sum(map(_decimal, map(str, values)), Decimal(0)))
    if function == "avg":
        total /= len(values)
        if kind == "decimal":
            with localcontext(Context(prec=34)):
                return _plain(Fraction(Decimal(total.numerator) / Decimal(total.denominator)))
        return _nearest(total)
    if kind == "decimal":
        return _plain(total)
    if any(isinstance(value, float) for value in values):
        return _nearest(total)
    return int(total) if abs(total) < 2**53 else str(int(total))


def _nearest(total: Fraction) -> int | float | str:
    try:
        number = float(total)
    except OverflowError:
        return "Infinity" if total > 0 else "-Infinity"
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _plain(number: Fraction) -> str:
    """All digits of a decimal, no more."""
    with localcontext(Context(prec=400)):
        text = f"{Decimal(number.numerator) / Decimal(number.denominator):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
