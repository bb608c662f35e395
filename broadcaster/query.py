"""`where`, as clients write it, to the canonical predicate. (pure)

The language is Mongo's, with one meaning on every database (see `broadcaster.evaluate`). Siblings are ANDed, always.
Every refusal carries the path of the offence, such as `$.where.$or[1].age.$gt`.
"""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from broadcaster.errors import RequestError
from broadcaster.literals import is_operator, named, parse_literal, values_in
from broadcaster.patterns import REGEX_FLAGS, like_parts, like_text, regex_size
from broadcaster.predicate import (
    Compare,
    Comparison,
    Contains,
    Document,
    Exists,
    Like,
    Literal,
    Node,
    Regex,
    all_of,
    any_of,
    negate,
    one_of,
)

LOGICAL: Final = ("$and", "$or", "$nor", "$not")
FIELD: Final = (
    "$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$like", "$regex", "$options", "$contains",
    "$not",
)  # fmt: skip

_PATH_CHARACTERS: Final = 1000
_PATH_SEGMENTS: Final = 32
_VALUES: Final = 10_000
_REGEX_SIZE: Final = 200
"""An expression counts as one condition more for so many instructions of its program."""


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """What one `where` may hold: `$and $or $nor $not` inside one another, conditions in all, items in one `$in`,
    characters in one pattern."""

    depth: int = 8
    conditions: int = 100
    in_items: int = 1000
    pattern_characters: int = 1000


def parse_where(where: object, limits: QueryLimits = QueryLimits(), at: str = "$.where") -> Node:
    """Parse decoded JSON (dict, list, str, int, float, bool, None) into the canonical predicate.

    at: the path that errors start with. Raises RequestError: bad_where, unknown_operator, bad_operand,
    where_too_deep, where_too_large, in_too_large, pattern_too_long.
    """
    return _Parser(limits).document(where, at, 0)


class _Parser:
    """One parse; counts the conditions, and what is nested in their arrays, as it goes."""

    def __init__(self, limits: QueryLimits) -> None:
        self.limits = limits
        self.conditions = self.nested = self.values = 0

    def document(self, where: object, at: str, depth: int) -> Node:
        if not isinstance(where, dict):
            raise RequestError("bad_where", f"expected a document of conditions, got {named(where)}", at)
        return all_of([self.entry(key, value, at, depth) for key, value in where.items()])

    def entry(self, key: object, value: object, at: str, depth: int) -> Node:
        if not isinstance(key, str):
            raise RequestError("bad_where", f"a field name must be a string, got {named(key)}", at)
        here = f"{at}.{key}"
        if not key.startswith("$"):
            _check_path(key, here)
            return self.field(sys.intern(key), value, here, depth)
        if key not in LOGICAL:
            _refuse_operator(key, here, LOGICAL, "in the place of a field name")
        self.descend(depth + 1, here)
        if key == "$not":
            return negate(self.document(value, here, depth + 1))
        if not isinstance(value, list) or not value:
            raise RequestError("bad_operand", f"{key} takes a non-empty array of documents", here)
        parts = [self.document(part, f"{here}[{index}]", depth + 1) for index, part in enumerate(value)]
        if key == "$and":
            return all_of(parts)
        return any_of(parts) if key == "$or" else negate(any_of(parts))

    def field(self, path: str, value: object, at: str, depth: int) -> Node:
        if not isinstance(value, dict) or not _has_operators(value):
            self.count(at)
            return Compare(path, Comparison.EQ, self.literal(value, at))
        plain = next((key for key in value if not is_operator(key)), None)
        if plain is not None:
            raise RequestError(
                "bad_operand",
                f"operators and the plain key {plain!r} cannot stand in one document: it is either conditions on "
                f"{path!r} or a document to compare it with",
                at,
            )
        if "$options" in value and "$regex" not in value:
            raise RequestError("bad_operand", "$options stands beside $regex only", f"{at}.$options")
        parts = [
            self.condition(path, op, operand, f"{at}.{op}", depth)
            for op, operand in value.items()
            if op not in ("$regex", "$options")
        ]
        if "$regex" in value:
            parts.append(self.regex(path, value["$regex"], value.get("$options", ""), at))
        return all_of(parts)

    def condition(self, path: str, op: str, operand: object, at: str, depth: int) -> Node:
        if op not in FIELD:
            _refuse_operator(op, at, FIELD, "on a field")
        if op == "$not":
            self.descend(depth + 1, at)
            if not isinstance(operand, dict) or not _has_operators(operand):
                raise RequestError("bad_operand", '$not takes a document of operators, as {"$gt": 5}', at)
            return negate(self.field(path, operand, at, depth + 1))
        self.count(at)
        if op in ("$in", "$nin"):
            node = one_of(path, self.items(op, operand, at))
            return node if op == "$in" else negate(node)
        if op == "$exists":
            if not isinstance(operand, bool):
                raise RequestError("bad_operand", f"$exists takes true or false, got {named(operand)}", at)
            return Exists(path) if operand else negate(Exists(path))
        if op == "$like":
            pattern = self.pattern(op, operand, at)
            try:
                return Like(path, like_text(like_parts(pattern)))
            except ValueError as error:
                raise RequestError("bad_operand", f"not a pattern: {error}", at) from None
        literal = self.literal(operand, at)
        if op == "$contains":
            self.count_nested(literal, at)
            if literal is None:
                raise RequestError("bad_operand", "$contains takes a value; for null write $exists", at)
            return Contains(path, literal)
        if op == "$ne":
            return negate(Compare(path, Comparison.EQ, literal))
        if op != "$eq" and (literal is None or isinstance(literal, (tuple, Document))):
            raise RequestError(
                "bad_operand", f"{op} takes a number, string or bool, got {named(operand)}", at
            )
        return Compare(path, Comparison(op), literal)

    def regex(self, path: str, operand: object, options: object, at: str) -> Node:
        self.count(at)
        pattern = self.pattern("$regex", operand, f"{at}.$regex")
        if not isinstance(options, str) or not set(options) <= set(REGEX_FLAGS):
            raise RequestError(
                "bad_operand", f"$options takes letters of {REGEX_FLAGS!r} in a string", f"{at}.$options"
            )
        flags = "".join(sorted(set(options)))
        try:
            size = regex_size(pattern, flags)
        except ValueError as error:
            raise RequestError(
                "bad_operand", f"not a regular expression of RE2's syntax: {error}", f"{at}.$regex"
            ) from None
        self.count(f"{at}.$regex", size // _REGEX_SIZE)
        return Regex(path, pattern, flags)

    def pattern(self, op: str, operand: object, at: str) -> str:
        if not isinstance(operand, str):
            raise RequestError("bad_operand", f"{op} takes a string, got {named(operand)}", at)
        if len(operand) > self.limits.pattern_characters:
            raise RequestError(
                "pattern_too_long",
                f"{op} has {len(operand):,} characters, at most {self.limits.pattern_characters:,} are allowed",
                at,
            )
        return operand

    def items(self, op: str, operand: object, at: str) -> list[Literal]:
        if not isinstance(operand, list):
            raise RequestError("bad_operand", f"{op} takes an array, got {named(operand)}", at)
        if len(operand) > self.limits.in_items:
            raise RequestError(
                "in_too_large",
                f"{op} has {len(operand):,} items, at most {self.limits.in_items:,} are allowed",
                at,
            )
        literals = tuple(self.literal(item, f"{at}[{index}]") for index, item in enumerate(operand))
        self.count_nested(literals, at, deep=False)
        return list(literals)

    def literal(self, value: object, at: str) -> Literal:
        literal = parse_literal(value, at)
        self.values += values_in(literal)
        if self.values > _VALUES:
            raise RequestError("where_too_large", f"more than {_VALUES:,} values in all", at)
        return literal

    def count_nested(self, literal: Literal, at: str, *, deep: bool = True) -> None:
        """Documents and arrays among an array's items are bounded like conditions: they are not looked up, but tried in
        turn on every element of a row's array."""
        if isinstance(literal, Document):
            for _, item in literal.items:
                self.count_nested(item, at)
        elif isinstance(literal, tuple):
            for item in literal:
                if isinstance(item, (tuple, Document)):
                    self.nested += 1
                    if self.nested > self.limits.conditions:
                        raise RequestError(
                            "where_too_large",
                            f"more than {self.limits.conditions} arrays and documents among the items of arrays",
                            at,
                        )
                    if deep:
                        self.count_nested(item, at)

    def descend(self, depth: int, at: str) -> None:
        if depth > self.limits.depth:
            raise RequestError(
                "where_too_deep", f"more than {self.limits.depth} levels of $and, $or, $nor and $not", at
            )

    def count(self, at: str, more: int = 1) -> None:
        self.conditions += more
        if self.conditions > self.limits.conditions:
            raise RequestError("where_too_large", f"more than {self.limits.conditions} conditions", at)


def _check_path(path: str, at: str) -> None:
    segments = path.split(".")
    if not all(segments):
        raise RequestError("bad_where", "a field path cannot be empty or hold an empty segment", at)
    if len(path) > _PATH_CHARACTERS or len(segments) > _PATH_SEGMENTS:
        raise RequestError(
            "where_too_deep",
            f"a field path has at most {_PATH_SEGMENTS} segments and {_PATH_CHARACTERS:,} characters",
            at if len(at) <= _PATH_CHARACTERS else f"{at[:_PATH_CHARACTERS]}…",
        )
    if any(segment.startswith("$") for segment in segments):
        raise RequestError("bad_where", "a segment of a field path cannot start with $", at)


def _has_operators(value: dict[Any, Any]) -> bool:
    return any(map(is_operator, value))


def _refuse_operator(op: str, at: str, known: tuple[str, ...], place: str) -> NoReturn:
    if op in FIELD or op in LOGICAL:
        example = '{"age": {"$gt": 5}}' if op in FIELD else '{"$or": [{"age": 5}, {"vip": true}]}'
        raise RequestError("unknown_operator", f"{op} cannot stand {place}; write it as {example}", at)
    near = difflib.get_close_matches(op, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    raise RequestError("unknown_operator", f"unknown operator {op} {place}; {hint}", at)
