"""The canonical predicate: what `where` and rules compile to, and what every reader of them understands. (pure)

Trees are built by the functions below, never by hand: they keep the normal form, in which `Not` stands only on a leaf,
`And` and `Or` never hold their own kind, a constant, a duplicate or fewer than two children, and children are sorted.
Two nodes are equal when their canonical texts are.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias


class Comparison(StrEnum):
    """How a leaf compares; the value is the operator as clients write it."""

    EQ = "$eq"
    GT = "$gt"
    GTE = "$gte"
    LT = "$lt"
    LTE = "$lte"


@dataclass(frozen=True, slots=True)
class Document:
    """A document as a literal, its keys sorted."""

    items: tuple[tuple[str, Literal], ...]


Literal: TypeAlias = "bool | int | float | str | tuple[Literal, ...] | Document | None"
"""A JSON value in normal form: a float is never a whole number (1.0 is the int 1, 1e23 the int 10**23), hence always
below 2**53, and never NaN or infinite; an array is a tuple; a document has its keys sorted."""


class _Node:
    """What all nodes share: equality by meaning as far as the canonical text shows it."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Node) and canonical(self) == canonical(other)  # type: ignore[arg-type]

    def __hash__(self) -> int:
        return hash(canonical(self))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class Constant(_Node):
    """True or false for every row."""

    value: bool


@dataclass(frozen=True, slots=True, eq=False)
class Compare(_Node):
    """The field's value, or an element of it, compares so with the operand."""

    path: str
    op: Comparison
    operand: Literal


@dataclass(frozen=True, slots=True, eq=False)
class In(_Node):
    """The field's value, or an element of it, equals one of the items (two or more, sorted by canonical text)."""

    path: str
    items: tuple[Literal, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Exists(_Node):
    """The field is present and not null."""

    path: str


@dataclass(frozen=True, slots=True, eq=False)
class Like(_Node):
    """The field's value, or an element of it, is a text that matches the pattern (see `broadcaster.patterns`)."""

    path: str
    pattern: str


@dataclass(frozen=True, slots=True, eq=False)
class Regex(_Node):
    """The field's value, or an element of it, is a text in which the RE2 expression is found; flags: sorted."""

    path: str
    pattern: str
    flags: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Contains(_Node):
    """The field's value, or an element of it, contains the operand: a document its members, each containing what the
    operand has there; an array an element for each of the operand's; anything else equals it."""

    path: str
    operand: Literal


@dataclass(frozen=True, slots=True, eq=False)
class Not(_Node):
    """The leaf does not hold."""

    leaf: Leaf


@dataclass(frozen=True, slots=True, eq=False)
class And(_Node):
    """All children hold."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Or(_Node):
    """At least one child holds."""

    children: tuple[Node, ...]


Leaf: TypeAlias = "Compare | In | Exists | Like | Regex | Contains"
Node: TypeAlias = "Constant | Leaf | Not | And | Or"

TRUE: Final = Constant(True)
FALSE: Final = Constant(False)


def one_of(path: str, items: Iterable[Literal]) -> Node:
    """`$in`: duplicates count once, one item is an equality, none is false."""
    distinct = {literal_text(item): item for item in items}
    if not distinct:
        return FALSE
    if len(distinct) == 1:
        return Compare(path, Comparison.EQ, distinct.popitem()[1])
    return In(path, tuple(item for _, item in sorted(distinct.items(), key=lambda pair: pair[0])))


def all_of(nodes: Iterable[Node]) -> Node:
    """The conjunction; of nothing it is true."""
    distinct: dict[str, Node] = {}
    for node in nodes:
        for part in node.children if isinstance(node, And) else (node,):
            if not isinstance(part, Constant):
                distinct[canonical(part)] = part
            elif not part.value:
                return FALSE
    return _joined(And, distinct) if distinct else TRUE


def any_of(nodes: Iterable[Node]) -> Node:
    """The disjunction; of nothing it is false."""
    distinct: dict[str, Node] = {}
    for node in nodes:
        for part in node.children if isinstance(node, Or) else (node,):
            if not isinstance(part, Constant):
                distinct[canonical(part)] = part
            elif part.value:
                return TRUE
    return _joined(Or, distinct) if distinct else FALSE


def negate(node: Node) -> Node:
    """The exact complement: a row satisfies either the node or this."""
    match node:
        case Constant(value):
            return FALSE if value else TRUE
        case Not(leaf):
            return leaf
        case And(children):
            return any_of(negate(child) for child in children)
        case Or(children):
            return all_of(negate(child) for child in children)
        case _:
            return Not(node)


def conjunction(first: Node, second: Node) -> Node:
    """Both hold: how a rule's predicate joins a client's."""
    return all_of((first, second))


def canonical(node: Node) -> str:
    """A text that two nodes share only if they mean the same; equal live queries are found by it."""
    match node:
        case Constant(value):
            return "true" if value else "false"
        case Compare(path, op, operand):
            return f"{op[1:]}({json.dumps(path)},{literal_text(operand)})"
        case In(path, items):
            return f"in({json.dumps(path)},{','.join(map(literal_text, items))})"
        case Exists(path):
            return f"exists({json.dumps(path)})"
        case Like(path, pattern):
            return f"like({json.dumps(path)},{json.dumps(pattern)})"
        case Regex(path, pattern, flags):
            return f"regex({json.dumps(path)},{json.dumps(pattern)},{flags})"
        case Contains(path, operand):
            return f"contains({json.dumps(path)},{literal_text(operand)})"
        case Not(leaf):
            return f"not({canonical(leaf)})"
        case And(children):
            return f"and({','.join(map(canonical, children))})"
        case Or(children):
            return f"or({','.join(map(canonical, children))})"


def literal_text(value: Literal) -> str:
    """The literal as canonical JSON: ASCII, no blanks, keys sorted."""
    if isinstance(value, tuple):
        return f"[{','.join(map(literal_text, value))}]"
    if isinstance(value, Document):
        return f"{{{','.join(f'{json.dumps(key)}:{literal_text(item)}' for key, item in value.items)}}}"
    return json.dumps(value)


def leaves(node: Node) -> tuple[Leaf, ...]:
    """Every leaf, negated or not, in canonical order."""
    match node:
        case Constant():
            return ()
        case Not(leaf):
            return (leaf,)
        case And(children) | Or(children):
            return tuple(leaf for child in children for leaf in leaves(child))
        case _:
            return (node,)


def fields(node: Node) -> frozenset[str]:
    """The top-level fields (columns) that the node looks at."""
    return frozenset(leaf.path.partition(".")[0] for leaf in leaves(node))


def _joined(kind: type[And] | type[Or], distinct: dict[str, Node]) -> Node:
    if len(distinct) == 1:
        return next(iter(distinct.values()))
    return kind(tuple(node for _, node in sorted(distinct.items(), key=lambda pair: pair[0])))
