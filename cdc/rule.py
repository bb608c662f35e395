"""The rules that decide who may read what, as the configuration states them. (pure)"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Eval: TypeAlias = Literal["==", "!=", ">", ">=", "<", "<=", "in", "notIn"]
ValueType: TypeAlias = Literal["string", "number", "bool", "date"]
Constant: TypeAlias = "str | int | float | bool"


@dataclass(frozen=True, slots=True)
class Variable:
    """A path into what a request or a row says. root: `auth`, the token's claims; `find`, the conditions of `where`
    that must hold; `doc`, the row; `op`, what is asked for; segments: the path below it."""

    root: Literal["auth", "find", "doc", "op"]
    segments: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(("args", self.root, *self.segments))


Operand: TypeAlias = "Variable | Constant | tuple[Constant, ...]"


@dataclass(frozen=True, slots=True)
class Allow:
    """Everybody, without a token."""


@dataclass(frozen=True, slots=True)
class Deny:
    """Nobody."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Everybody with a valid token."""


@dataclass(frozen=True, slots=True)
class Match:
    """`f1` compares so with `f2`, both of this type (of `in` and `notIn` `f2` is a list of it); what does not resolve,
    or is of another type, does not match."""

    eval: Eval
    type: ValueType
    f1: Operand
    f2: Operand


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every clause passes."""

    clauses: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one clause passes."""

    clauses: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class Remove:
    """Passes with a valid token, and cuts these fields (dotted paths) out of the rows, unless `clause` surely fails."""

    fields: tuple[str, ...]
    clause: Rule | None = None


@dataclass(frozen=True, slots=True)
class Force:
    """Passes with a valid token, and sets this field of every row, unless `clause` surely fails."""

    field: str
    value: Operand
    clause: Rule | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Passes with a valid token if a row of another collection is found. find: its fields are equal to these."""

    database: str
    collection: str
    find: tuple[tuple[str, Operand], ...]


@dataclass(frozen=True, slots=True)
class Webhook:
    """Passes with a valid token if this URL, asked by POST, answers with any 2xx."""

    url: str


Rule: TypeAlias = "Allow | Deny | Authenticated | Match | AllOf | AnyOf | Remove | Force | Query | Webhook"


def rules_in(rule: Rule) -> Iterator[Rule]:
    """The rule and all that it is made of."""
    yield rule
    if isinstance(rule, (AllOf, AnyOf)):
        for clause in rule.clauses:
            yield from rules_in(clause)
    elif isinstance(rule, (Remove, Force)) and rule.clause is not None:
        yield from rules_in(rule.clause)
