"""A predicate as a filter for MongoDB. (pure)

What MongoDB selects is a superset of what the evaluator will keep. The two differ in much: a string literal also means
the date, decimal, UUID or ObjectId that it spells, a fraction stands for its shortest decimal text, missing and null
are one. So most conditions are widened to all that could match, and only those that agree everywhere are negated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final, TypeAlias

from bson.datetime_ms import DatetimeMS
from bson.objectid import ObjectId

from broadcaster.kinds import SAFE_INTEGER, decimal_literal, instant, uuid_text
from broadcaster.patterns import like_prefix
from broadcaster.predicate import (
    And,
    Compare,
    Comparison,
    Constant,
    Contains,
    Document,
    Exists,
    In,
    Leaf,
    Like,
    Literal,
    Node,
    Not,
    Or,
    Regex,
)

Filter: TypeAlias = dict[str, Any]

EVERYTHING: Final[Filter] = {}
NOTHING: Final[Filter] = {"_id": {"$in": []}}

_MOST_MS: Final = 2**63 - 1
_TEXT_IN_JSON: Final[Filter] = {"$type": ["number", "date", "objectId", "binData"]}
"""Whatever may be a string in a row's JSON, but for strings."""
_TEXT: Final[Filter] = {"$type": ["string", "symbol", *_TEXT_IN_JSON["$type"]]}


def push_down(node: Node) -> Filter:
    """The node as a filter, for a query under the simple collation. A document that it does not select does not match
    the predicate; it is valid whatever the literals are."""
    match node:
        case Constant(value):
            return EVERYTHING if value else NOTHING
        case Not(leaf):
            return _negated(leaf)
        case And(children):
            return _all(push_down(child) for child in children)
        case Or(children):
            return _any([push_down(child) for child in children])
        case _:
            return _leaf(node)


def projection(fields: Iterable[str] | None) -> dict[str, int]:
    """What to bring of each document beside its `_id`: everything (`{}`) for None, and where no document could have
    the fields."""
    names = {"_id", *([] if fields is None else fields)}
    if fields is None or any("\0" in name or not is_unicode(name) for name in names):
        return {}
    return dict.fromkeys(sorted(names), 1)


def _all(filters: Iterable[Filter]) -> Filter:
    kept = [each for each in filters if each != EVERYTHING]
    if not kept:
        return EVERYTHING
    return kept[0] if len(kept) == 1 else {"$and": kept}


def _any(filters: list[Filter]) -> Filter:
    if EVERYTHING in filters:
        return EVERYTHING
    kept = [each for each in filters if each != NOTHING]
    if not kept:
        return NOTHING
    return kept[0] if len(kept) == 1 else {"$or": kept}


def _is_told(path: str) -> bool:
    """Whether MongoDB reads the path as the evaluator does: not through what stands for a BSON type in JSON, and not
    by an array's index."""
    return all(
        segment
        and not segment.startswith("$")
        and not segment.isdigit()
        and "\0" not in segment
        and is_unicode(segment)
        for segment in path.split(".")
    )


def _leaf(leaf: Leaf) -> Filter:
    path = leaf.path
    if not _is_told(path):
        return EVERYTHING
    match leaf:
        case Exists() | Contains():
            return {path: {"$exists": True}}
        case In(_, items):
            return _equal_to(path, items)
        case Like(_, pattern):
            return _any([{path: condition} for condition in _beginning(like_prefix(pattern))])
        case Regex():
            return {path: _TEXT}
        case Compare(_, Comparison.EQ, operand):
            return _equal_to(path, (operand,))
        case Compare(_, op, operand):
            return _any([{path: condition} for condition in _ranges(op, operand)])


def _negated(leaf: Leaf) -> Filter:
    """Of a field of the document's own; further down "missing" is not the same to both."""
    path = leaf.path
    if not _is_told(path) or "." in path:
        return EVERYTHING
    match leaf:
        case Exists():
            return _missing(path)
        case Compare(_, Comparison.EQ, None):
            return {path: {"$exists": True}}
        case Compare(_, Comparison.EQ, bool(operand)):
            return {path: {"$ne": operand}}
        case _:
            return EVERYTHING


def _missing(path: str) -> Filter:
    return {"$or": [{path: None}, {path: {"$type": "undefined"}}]}


def _equal_to(path: str, literals: Iterable[Literal]) -> Filter:
    """Equal to any of them."""
    values: list[Any] = []
    others: list[Filter] = []
    for literal in literals:
        if literal is None:
            if "." in path:
                return EVERYTHING
            others.append(_missing(path))
        elif isinstance(literal, (tuple, Document)):
            others.append({path: {"$exists": True}})
        else:
            found, conditions = _equal(literal)
            values += found
            others += [{path: condition} for condition in conditions if {path: condition} not in others]
    if values:
        others.insert(0, {path: values[0] if len(values) == 1 else {"$in": values}})
    return _any(others)


def _equal(literal: bool | int | float | str) -> tuple[list[Any], list[Filter]]:
    """Values, and further conditions, of which one holds for whatever equals the literal."""
    if isinstance(literal, bool):
        return [literal], []
    if not isinstance(literal, str):
        return _equal_number(literal)
    values: list[Any] = [literal] if is_unicode(literal) else []
    conditions: list[Filter] = []
    if len(literal) == 24 and ObjectId.is_valid(literal):
        values.append(ObjectId(literal))
    if literal == "NaN":
        values.append(math.nan)
    elif (number := decimal_literal(literal)) is not None:
        numbers, conditions = _equal_number(number)
        values += numbers
    micros = instant(literal)
    if micros is not None and math.isfinite(micros):
        conditions.append({"$gte": _date(int(micros) // 1000), "$lte": _date(-(int(-micros) // 1000))})
    if uuid_text(literal) is not None or len(literal) % 4 == 0:  # which may be base64
        conditions.append({"$type": "binData"})
    return values, conditions


def _equal_number(number: int | float | Decimal) -> tuple[list[Any], list[Filter]]:
    if _is_exact(number):
        return [_bound(number)], []
    return [], [{"$gte": _below(number), "$lte": _above(number)}]


def _beginning(prefix: str) -> list[Filter]:
    """Conditions of which one holds for whatever is text and begins so."""
    if not prefix or "\0" in prefix or not is_unicode(prefix):
        return [_TEXT]
    return [{"$regex": f"^{re.escape(prefix)}"}, {"$type": "symbol"}, _TEXT_IN_JSON]


def _ranges(op: Comparison, literal: Literal) -> list[Filter]:
    """Conditions of which one holds for whatever compares so with the literal."""
    if isinstance(literal, bool):
        return [{op.value: literal}]
    if isinstance(literal, str):
        text = {op.value: literal} if is_unicode(literal) else {"$type": "string"}
        return [text, _TEXT_IN_JSON]
    if isinstance(literal, (int, float)):
        if _is_exact(literal):
            return [{op.value: _bound(literal)}]
        rising = op in (Comparison.GT, Comparison.GTE)
        return [{"$gte": _below(literal)} if rising else {"$lte": _above(literal)}]
    return [{"$exists": True}]


def _is_exact(number: int | float | Decimal) -> bool:
    """Whether it compares alike with integers, doubles and decimals, in MongoDB and by their texts."""
    if isinstance(number, (float, Decimal)) and not math.isfinite(number):
        return True
    return -SAFE_INTEGER <= number <= SAFE_INTEGER and number == int(number)


def _bound(number: int | float | Decimal) -> int | float:
    return int(number) if math.isfinite(number) else float(number)


def _below(number: int | float | Decimal) -> float:
    """A double that is below the number, and below whatever double or decimal has the number as its text."""
    return math.nextafter(_double(number), -math.inf)


def _above(number: int | float | Decimal) -> float:
    return math.nextafter(_double(number), math.inf)


def _double(number: int | float | Decimal) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _date(millis: int) -> DatetimeMS:
    return DatetimeMS(max(-_MOST_MS, min(_MOST_MS, millis)))


def is_unicode(text: str) -> bool:
    """Whether it can be sent: no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
