"""A collection's rule and a client's claims to what it may read. (pure)

Everything fails closed: a path that does not resolve, a value of another type and a missing rule let nothing pass.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from broadcaster.errors import RequestError
from broadcaster.kinds import instant
from broadcaster.literals import parse_literal
from broadcaster.predicate import (
    FALSE,
    TRUE,
    And,
    Compare,
    Comparison,
    Exists,
    Literal,
    Node,
    all_of,
    any_of,
    conjunction,
    negate,
    one_of,
)
from cdc.rule import (
    AllOf,
    Allow,
    AnyOf,
    Authenticated,
    Deny,
    Force,
    Match,
    Operand,
    Query,
    Remove,
    Rule,
    ValueType,
    Variable,
    Webhook,
    rules_in,
)

Answers: TypeAlias = "Mapping[Query | Webhook, bool | None]"
"""Which of the rules that ask others pass; None for one that could not be asked."""


class _Unresolved(Enum):
    UNRESOLVED = "UNRESOLVED"


_UNRESOLVED: Final = _Unresolved.UNRESOLVED
_COMPARISONS: Final[Mapping[str, Comparison]] = {
    "==": Comparison.EQ,
    ">": Comparison.GT,
    ">=": Comparison.GTE,
    "<": Comparison.LT,
    "<=": Comparison.LTE,
}
_MIRRORED: Final[Mapping[str, str]] = {"==": "==", "!=": "!=", ">": "<", ">=": "<=", "<": ">", "<=": ">="}
_OPERATION: Final = "read"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a client may read: the rows, the fields that are hidden in them, and those that are set (JSON values)."""

    rows: Node
    hidden: tuple[str, ...] = ()
    forced: tuple[tuple[str, str], ...] = ()


def read_grant(
    rule: Rule | None,
    fallback: Rule | None,
    claims: Mapping[str, Any] | None,
    where: Node = TRUE,
    answers: Answers = MappingProxyType({}),
) -> Grant:
    """What a client with these claims may read.

    rule: the collection's `rules.read`; fallback: that of the collection named `default`, which holds only where the
    collection has none; claims: of the client's token, None without one; where: what it asks for;
    answers: whether those rules pass that ask others; one that is missing does not.
    Raises RequestError, which does not say why: access_denied, or unauthenticated where a token might help.
    """
    decisive = fallback if rule is None else rule
    if decisive is not None:
        judge = _Judge(claims, where, FALSE, answers)
        allowed = judge.of(decisive)
        if allowed != FALSE:
            return _masked(allowed, judge.masks(decisive), judge)
    if claims is None and decisive is not None and not isinstance(decisive, Deny):
        raise RequestError("unauthenticated", "this collection is read with a token")
    raise RequestError("access_denied", "the rules do not let you read this collection")


class _Judge:
    """One request: turns rules into what rows must be like. unresolved: what a `match` is that cannot be decided."""

    def __init__(
        self,
        claims: Mapping[str, Any] | None,
        where: Node,
        unresolved: Node,
        answers: Answers,
    ) -> None:
        self._claims = claims
        self._where = where
        self._found = _held(where)
        self._unresolved = unresolved
        self._answers = answers

    def of(self, rule: Rule) -> Node:
        match rule:
            case Allow():
                return TRUE
            case Deny():
                return FALSE
            case Match():
                return self._unresolved if self._claims is None else self._match(rule)
            case Authenticated() | Remove() | Force():
                return FALSE if self._claims is None else TRUE
            case Query() | Webhook():
                known = self._answers.get(rule)
                return self._unresolved if known is None or self._claims is None else _constant(known)
            case AllOf(clauses):
                return all_of(map(self.of, clauses))
            case AnyOf(clauses):
                return any_of(map(self.of, clauses))

    def masks(self, rule: Rule) -> list[Remove | Force]:
        """What of `remove` and `force` holds for this client. A clause that cannot be decided, or speaks of the row,
        may be true; where one of several branches lets a row pass, what any of them hides is hidden."""
        match rule:
            case Remove() | Force():
                likely = _Judge(self._claims, self._where, TRUE, self._answers)
                return [rule] if rule.clause is None or likely.of(rule.clause) != FALSE else []
            case AllOf(clauses):
                return [mask for clause in clauses for mask in self.masks(clause)]
            case AnyOf(clauses):
                open_ = [(self.of(clause), self.masks(clause)) for clause in clauses]
                if any(node == TRUE and not masks for node, masks in open_):
                    return []
                return [mask for node, masks in open_ if node != FALSE for mask in masks]
            case _:
                return []

    def _match(self, rule: Match) -> Node:
        how: str = rule.eval
        f1, f2 = rule.f1, rule.f2
        if isinstance(f2, Variable) and f2.root == "doc":
            if how in ("in", "notIn"):
                how = "==" if how == "in" else "!="  # an array holds it if an element equals it
            f1, f2, how = f2, f1, _MIRRORED[how]
        other = self._value(f2, rule.type, a_list=how in ("in", "notIn"))
        if other is _UNRESOLVED:
            return self._unresolved
        if isinstance(f1, Variable) and f1.root == "doc":
            return self._of_row(".".join(f1.segments), how, other)
        value = self._value(f1, rule.type, a_list=False)
        if value is _UNRESOLVED:
            return self._unresolved
        if rule.type == "date":
            value = instant(value)
            other = [instant(item) for item in other] if isinstance(other, list) else instant(other)
        return TRUE if _HOLDS[how](value, other) else FALSE

    def _of_row(self, path: str, how: str, other: Any) -> Node:
        """The row's field compares so with the value; a field that is missing or null never does."""
        try:
            if how in ("in", "notIn"):
                node = one_of(path, [parse_literal(item, "$") for item in other])
            else:
                node = Compare(path, _COMPARISONS.get(how, Comparison.EQ), parse_literal(other, "$"))
        except RequestError:  # a claim that is no value to compare with
            return self._unresolved
        if how in ("!=", "notIn"):
            return conjunction(Exists(path), negate(node))
        return node

    def _value(self, operand: Operand, kind: ValueType, *, a_list: bool) -> Any:
        """What the operand stands for; unresolved where it stands for nothing, or for something of another type."""
        found: Any = operand
        if isinstance(operand, Variable):
            found = self._variable(operand)
        elif isinstance(operand, tuple):
            found = list(operand)
        if not a_list:
            return found if _is_of(kind, found) else _UNRESOLVED
        return found if isinstance(found, list) and all(_is_of(kind, item) for item in found) else _UNRESOLVED

    def constant(self, operand: Operand) -> str | None:
        """What `force` sets, as JSON; None where it does not resolve."""
        found = self.resolved(operand)
        return json.dumps(found) if found is None or isinstance(found, (str, bool, int)) else None

    def resolved(self, operand: Operand) -> Any:
        """What the operand stands for, of whatever type."""
        return self._variable(operand) if isinstance(operand, Variable) else operand

    def _variable(self, variable: Variable) -> Any:
        if variable.root == "op":
            return _OPERATION
        if variable.root == "find":
            return self._found.get(".".join(variable.segments), _UNRESOLVED)
        found: Any = self._claims or {}
        for segment in variable.segments:
            if not isinstance(found, Mapping) or segment not in found:
                return _UNRESOLVED
            found = found[segment]
        return found


def _masked(rows: Node, masks: Sequence[Remove | Force], judge: _Judge) -> Grant:
    hidden: dict[str, None] = {}
    forced: dict[str, str] = {}
    for mask in masks:
        if isinstance(mask, Remove):
            hidden.update(dict.fromkeys(mask.fields))
        else:
            value = judge.constant(mask.value)
            hidden[mask.field] = None
            if value is not None:
                forced[mask.field] = value
    return Grant(rows, tuple(hidden), tuple(forced.items()))


def wanted_of(rule: Query, claims: Mapping[str, Any], where: Node) -> dict[str, Any] | None:
    """What the other collection is asked for, as a `where`; None where a variable does not resolve, or to null, which
    every row without the field would equal."""
    judge = _Judge(claims, where, FALSE, {})
    found = {field: judge.resolved(operand) for field, operand in rule.find}
    return (
        None
        if any(value is _UNRESOLVED or value is None for value in found.values())
        else {field: {"$eq": value} for field, value in found.items()}
    )


def asks_others(rule: Rule | None) -> list[Query | Webhook]:
    """The rules herein that only others can answer."""
    return [] if rule is None else [part for part in rules_in(rule) if isinstance(part, (Query, Webhook))]


def _constant(holds: bool) -> Node:
    return TRUE if holds else FALSE


def _held(where: Node) -> dict[str, Literal]:
    """The equalities that every row of the result satisfies, whatever else it does."""
    parts = where.children if isinstance(where, And) else (where,)
    held: dict[str, Literal] = {}
    for part in parts:
        if isinstance(part, Compare) and part.op is Comparison.EQ:
            held.setdefault(part.path, part.operand)
    return held


def _is_of(kind: ValueType, value: Any) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "date":
        return instant(value) is not None
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_HOLDS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": lambda one, other: bool(one == other),
    "!=": lambda one, other: bool(one != other),
    ">": lambda one, other: bool(one > other),
    ">=": lambda one, other: bool(one >= other),
    "<": lambda one, other: bool(one < other),
    "<=": lambda one, other: bool(one <= other),
    "in": lambda one, others: one in others,
    "notIn": lambda one, others: one not in others,
}
