"""What `where` means, written for the eye: no AST, no compilation, every number a fraction, one rule after the other.

It reads `where` as clients write it, so that it checks the parser and its normal form too.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

INSTANTS = ("date", "timestamp", "timestamptz")
KINDS = (*INSTANTS, "time", "uuid", "bytes", "decimal", "int64", "float")
SAFE = 2**53 - 1


def matches(where: dict[str, Any], row: dict[str, Any], types: Mapping[str, str] | None = None) -> bool:
    """Does the row match?"""
    return all(_entry(key, value, row, types or {}) for key, value in where.items())


def _entry(key: str, value: Any, row: dict[str, Any], types: Mapping[str, str]) -> bool:
    if key == "$and":
        return all(matches(part, row, types) for part in value)
    if key == "$or":
        return any(matches(part, row, types) for part in value)
    if key == "$nor":
        return not any(matches(part, row, types) for part in value)
    if key == "$not":
        return not matches(value, row, types)
    if isinstance(value, dict) and any(name.startswith("$") for name in value):
        options = value.get("$options", "")
        return all(_condition(key, op, operand, row, types, options) for op, operand in value.items())
    return _condition(key, "$eq", value, row, types)


def _condition(
    path: str, op: str, operand: Any, row: dict[str, Any], types: Mapping[str, str], options: str = ""
) -> bool:
    if op == "$not":
        return not _entry(path, operand, row, types)
    if op == "$ne":
        return not _condition(path, "$eq", operand, row, types)
    if op == "$nin":
        return not _condition(path, "$in", operand, row, types)
    if op == "$options":
        return True
    if op == "$in":
        return any(_condition(path, "$eq", item, row, types) for item in operand)
    found = list(_values(row, path.split(".")))
    if op == "$exists":
        return any(value is not None for value in found) == operand
    candidates = found + [element for value in found if isinstance(value, list) for element in value]
    if op == "$eq":
        return any(_equal(value, operand, path, types) for value in candidates)
    if op == "$contains":
        return any(_contains(value, operand, path, types) for value in candidates)
    if op in ("$like", "$regex"):
        texts = [value for value in candidates if isinstance(value, str) and _kind(path, types) not in KINDS]
        if op == "$like":
            return any(_like(value, operand) for value in texts)
        flags = [{"i": re.I, "m": re.M, "s": re.S}[letter] for letter in options]
        return any(re.search(operand, value, sum(flags)) is not None for value in texts)
    return any(_in_range(op, value, operand, _kind(path, types)) for value in candidates)


def _values(node: Any, segments: list[str]) -> Iterator[Any]:
    """Everything at the end of the path; missing is None."""
    if not segments:
        yield node
    elif isinstance(node, dict):
        yield from _values(node.get(segments[0]), segments[1:])
    elif isinstance(node, list):
        if re.fullmatch("0|[1-9][0-9]{0,8}", segments[0]) and int(segments[0]) < len(node):
            yield from _values(node[int(segments[0])], segments[1:])
        for element in node:
            if isinstance(element, dict):
                yield from _values(element, segments)
    else:
        yield None


def _kind(path: str, types: Mapping[str, str]) -> str:
    array = ".".join(segment for segment in path.split(".") if not segment.isdigit())
    return (types.get(path) or types.get(array) or "").replace("[]", "")


def _equal(value: Any, literal: Any, path: str, types: Mapping[str, str]) -> bool:
    if isinstance(literal, list):
        return (
            isinstance(value, list)
            and len(value) == len(literal)
            and all(_equal(*pair, path, types) for pair in zip(value, literal, strict=True))
        )
    if isinstance(literal, dict):
        return (
            isinstance(value, dict)
            and value.keys() == literal.keys()
            and all(_equal(value[key], literal[key], f"{path}.{key}", types) for key in literal)
        )
    if literal is None or isinstance(literal, bool):
        return value is literal
    kind = _kind(path, types)
    if kind in ("decimal", "float") and literal == "NaN":
        return bool(value == "NaN")
    return any(mine == its for mine, its in _pairs(value, literal, kind))


def _contains(value: Any, part: Any, path: str, types: Mapping[str, str]) -> bool:
    if isinstance(part, dict):
        return isinstance(value, dict) and all(
            _contains(value.get(key), part[key], f"{path}.{key}", types) for key in part
        )
    if isinstance(part, list):
        return isinstance(value, list) and all(
            any(_contains(element, item, path, types) for element in value) for item in part
        )
    return _equal(value, part, path, types)


def _like(text: str, pattern: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "%":
        return _like(text, pattern[1:]) or (text != "" and _like(text[1:], pattern))
    literal = pattern[1:2] if pattern[0] == "\\" else pattern[:1]
    rest = pattern[2:] if pattern[0] == "\\" else pattern[1:]
    return text != "" and (pattern[0] == "_" or text[0] == literal) and _like(text[1:], rest)


def _in_range(op: str, value: Any, literal: Any, kind: str) -> bool:
    if isinstance(literal, bool):
        pairs = [(value, literal)] if isinstance(value, bool) else []
    else:
        pairs = list(_pairs(value, literal, kind))
    return any(
        {"$gt": mine > its, "$gte": mine >= its, "$lt": mine < its, "$lte": mine <= its}[op]
        for mine, its in pairs
    )


def _pairs(value: Any, literal: Any, kind: str) -> Iterator[tuple[Any, Any]]:
    """The value and the literal, as each class that both belong to has them."""
    if value is None or isinstance(value, (bool, list, dict)):
        return
    mine, its = None, None
    if kind in INSTANTS:
        mine, its = _instant(value), _instant(literal)
    elif kind == "time":
        mine, its = _time(value), _time(literal)
    elif kind == "uuid":
        mine, its = _uuid(value), _uuid(literal)
    elif kind == "bytes":
        mine, its = _bytes(value), _bytes(literal)
    elif kind == "decimal":
        mine, its = _number(value, any_text=True), _number(literal, any_text=True)
    elif kind in ("int64", "float") or not isinstance(value, str):
        mine, its = _number(value), _number(literal)
    elif isinstance(literal, str):
        mine, its = value, literal
    if mine is not None and its is not None:
        yield mine, its


def _number(value: Any, any_text: bool = False) -> Any:
    if isinstance(value, str):
        if value in ("Infinity", "-Infinity"):
            return float(value)
        if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", value):
            return None
        if any_text:
            return Fraction(Decimal(value))
        wide = re.fullmatch("-?[1-9][0-9]*", value) and abs(int(value)) > SAFE
        return Fraction(int(value)) if wide else None
    if isinstance(value, Decimal) and value.is_infinite():
        return float(value)
    return Fraction(Decimal(repr(value))) if isinstance(value, float) else Fraction(value)


def _instant(text: Any) -> Any:
    if not isinstance(text, str):
        return None
    if text.lower() in ("infinity", "-infinity"):
        return float(text.lower())
    match = re.fullmatch(
        r"(?P<y>\d{4,7})-(?P<m>\d\d)-(?P<d>\d\d)([T ](?P<time>\d\d:\d\d(:\d\d(\.\d+)?)?)"
        r"(?P<zone>Z|[+-]\d\d(:?\d\d)?)?)?(?P<bc> BC)?",
        text,
    )
    if match is None or int(match["y"]) == 0:
        return None
    year = 1 - int(match["y"]) if match["bc"] else int(match["y"])
    month, day = int(match["m"]), int(match["d"])
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if (
        not 1 <= month <= 12
        or not 1 <= day <= (0, 31, 28 + leap, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month]
    ):
        return None
    # The Julian day number (Fliegel and Van Flandern), with floor division for years before -4800.
    shift = (14 - month) // 12
    y, m = year + 4800 - shift, month + 12 * shift - 3
    julian = day + (153 * m + 2) // 5 + 365 * y + y // 4 - y // 100 + y // 400 - 32045
    of_day = _time(match["time"] or "00:00")
    if of_day is None or of_day > 86400:
        return None
    zone = match["zone"] or "Z"
    offset = 0 if zone == "Z" else int(zone[1:3]) * 3600 + int(zone[3:].strip(":") or 0) * 60
    if offset >= 86400 or int(zone[3:].strip(":") or 0) > 59:
        return None
    return julian * 86400 + of_day - (offset if zone[0] == "+" else -offset)


def _time(text: Any) -> Any:
    match = re.fullmatch(r"(-?)(\d\d\d?):(\d\d)(:(\d\d)(\.\d+)?)?", text) if isinstance(text, str) else None
    if match is None or int(match[3]) > 59 or int(match[5] or 0) > 59:
        return None
    micros = int(Decimal(match[6] or 0) * 1_000_000)
    seconds = int(match[2]) * 3600 + int(match[3]) * 60 + int(match[5] or 0) + Fraction(micros, 1_000_000)
    return -seconds if match[1] else seconds


def _uuid(text: Any) -> Any:
    if not isinstance(text, str) or not re.fullmatch(
        r"[\da-fA-F]{8}(-[\da-fA-F]{4}){3}-[\da-fA-F]{12}", text
    ):
        return None
    return int(text.replace("-", ""), 16)


def _bytes(text: Any) -> Any:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except ValueError:
        return None
