"""Rules out of the configuration file; errors name the key path. (pure)"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final, get_args

from cdc.config_reader import Reader, parse_url
from cdc.rule import (
    AllOf,
    Allow,
    AnyOf,
    Authenticated,
    Constant,
    Deny,
    Eval,
    Force,
    Match,
    Operand,
    Query,
    Remove,
    Rule,
    ValueType,
    Variable,
    Webhook,
)

RULE_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "allow": ("rule",),
    "deny": ("rule",),
    "authenticated": ("rule",),
    "match": ("rule", "eval", "type", "f1", "f2"),
    "and": ("rule", "clauses"),
    "or": ("rule", "clauses"),
    "remove": ("rule", "fields", "clause"),
    "force": ("rule", "field", "value", "clause"),
    "query": ("rule", "db", "col", "find"),
    "webhook": ("rule", "url"),
}
"""The keys of each rule."""

_OPTIONAL: Final = "clause"
_MOST_DEPTH: Final = 8
_ROOTS: Final = ("auth", "find", "doc", "op")
_NUMBER: Final = re.compile(r"-?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")


def parse_rule(node: Reader, depth: int = 0) -> Rule:
    """A rule, as `{rule: match, eval: ==, type: string, f1: args.auth.id, f2: args.doc.owner}`. Raises ConfigError."""
    if depth > _MOST_DEPTH:
        node.fail(f"rules are nested more than {_MOST_DEPTH} levels deep")
    given = node.mapping()
    if "rule" not in given:
        node.fail("`rule` is missing, as in {rule: allow}, {rule: deny} or {rule: authenticated}")
    name = given["rule"].choice(RULE_KEYS)
    given = node.mapping(RULE_KEYS[name])
    for key in RULE_KEYS[name]:
        if key not in given and key != _OPTIONAL:
            node.fail(f"`{key}` is missing; the rule `{name}` has {', '.join(RULE_KEYS[name])}")
    if name in _PLAIN:
        return _PLAIN[name]()
    if name == "match":
        return _match(node, given)
    if name == "query":
        return _query(given)
    if name == "webhook":
        return Webhook(parse_url(given["url"]))
    clause = parse_rule(given["clause"], depth + 1) if "clause" in given else None
    if name == "remove":
        fields = tuple(map(_field, given["fields"].items()))
        if not fields:
            given["fields"].fail("must name at least one field")
        return Remove(fields, clause)
    if name == "force":
        return _force(given, clause)
    clauses = tuple(parse_rule(clause, depth + 1) for clause in given["clauses"].items())
    if not clauses:
        given["clauses"].fail("must hold at least one rule")
    return AllOf(clauses) if name == "and" else AnyOf(clauses)


_PLAIN: Final[Mapping[str, Callable[[], Rule]]] = {
    "allow": Allow,
    "deny": Deny,
    "authenticated": Authenticated,
}


def _match(node: Reader, given: Mapping[str, Reader]) -> Match:
    comparison: Eval = given["eval"].choice(get_args(Eval))  # type: ignore[assignment]
    kind: ValueType = given["type"].choice(get_args(ValueType))  # type: ignore[assignment]
    f1 = _operand(given["f1"], kind)
    f2 = _operand(given["f2"], kind)
    if isinstance(f1, tuple) or (isinstance(f2, tuple) and comparison not in ("in", "notIn")):
        given["f1" if isinstance(f1, tuple) else "f2"].fail(
            "a list stands in `f2` only, with `in` or `notIn`"
        )
    if comparison in ("in", "notIn") and not isinstance(f2, (tuple, Variable)):
        given["f2"].fail(f"`{comparison}` takes a list, or a variable that is one")
    if _is_doc(f1) and _is_doc(f2):
        node.fail(
            "one of `f1` and `f2` must not be of args.doc: a row's fields are compared with what the request says"
        )
    return Match(comparison, kind, f1, f2)


def _field(node: Reader) -> str:
    """A field of the result, as `salary` or, as Space Cloud has it, `res.salary`."""
    path = node.string().removeprefix("res.")
    if not all(path.split(".")):
        node.fail("must be a field's name, or names joined by dots")
    return path


def _force(given: Mapping[str, Reader], clause: Rule | None) -> Force:
    field = _field(given["field"])
    if "." in field:
        given["field"].fail("must be a field of the row itself, without dots")
    value = _operand(given["value"], "string")
    if isinstance(value, Variable) and value.root != "auth":
        given["value"].fail("must be a text, or a variable of the token such as args.auth.id")
    if isinstance(value, tuple):
        given["value"].fail("must be one value")
    return Force(field, value, clause)


def _query(given: Mapping[str, Reader]) -> Query:
    find: list[tuple[str, Operand]] = []
    for field, value in given["find"].mapping().items():
        operand = _operand(value, "string") if value.string().startswith("args.") else value.plain()
        if _is_doc(operand):
            value.fail("cannot be of args.doc: it is asked once, not for every row")
        find.append((field, operand))
    if not find:
        given["find"].fail("must name at least one field")
    return Query(given["db"].string(), given["col"].string(), tuple(find))


def _is_doc(operand: Operand) -> bool:
    return isinstance(operand, Variable) and operand.root == "doc"


def _operand(node: Reader, kind: ValueType) -> Operand:
    if node.is_list:
        items = tuple(_constant(item, kind) for item in node.items())
        if not items:
            node.fail("must not be an empty list: nothing would ever match it")
        return items
    text = node.string()
    if not text.startswith("args."):
        return _constant(node, kind)
    root, *segments = text.split(".")[1:]
    if root not in _ROOTS or not all(segments):
        node.fail(
            f"no such variable; there are {', '.join(f'args.{each}' for each in _ROOTS)}, as args.auth.id"
        )
    if (root == "op") == bool(segments):
        node.fail(
            "args.op has nothing below it"
            if root == "op"
            else f"args.{root} needs a field, as args.{root}.id"
        )
    return Variable(root, tuple(segments))  # type: ignore[arg-type]


def _constant(node: Reader, kind: ValueType) -> Constant:
    if kind == "bool":
        return node.boolean()
    text = node.string()
    if kind == "string":
        return text
    if kind == "number":
        if not _NUMBER.fullmatch(text):
            node.fail("must be a number, or a variable such as args.auth.level (`type: number`)")
        number = float(text)
        if not math.isfinite(number):
            node.fail("is too large for a number")
        return int(text) if text.lstrip("-").isdigit() else number
    try:
        datetime.fromisoformat(text)
    except ValueError:
        node.fail("must be a date in ISO 8601, such as 2026-01-31 or 2026-01-31T12:00:00Z (`type: date`)")
    return text
