"""From a predicate to what it can be found by: conditions of which a row that matches must satisfy one. (pure)"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from broadcaster.index_values import Key, literal_codes, literal_keys, prefix_codes
from broadcaster.patterns import like_prefix
from broadcaster.predicate import (
    And,
    Compare,
    Comparison,
    Constant,
    Document,
    Exists,
    In,
    Like,
    Literal,
    Node,
    Not,
    Or,
)

_MOST_BRANCHES: Final = 32
_MOST_KEYS: Final = 4096
"""Of one predicate, in all its branches: so much may it take up in the index."""


@dataclass(frozen=True, slots=True)
class Equality:
    """The value at the path has one of these keys; `is_common`: null or a bool, which many rows have."""

    path: str
    keys: tuple[Key, ...]
    is_common: bool


@dataclass(frozen=True, slots=True)
class Range:
    """The value at the path, if it is one, lies in the span of its bracket: (bracket, low, high)."""

    path: str
    spans: tuple[tuple[int, int | None, int | None], ...]
    is_bounded: bool


Term: TypeAlias = Equality | Range
Branch: TypeAlias = tuple[Term, ...]
"""Terms that all hold where the branch does; never none."""


def branches(node: Node) -> tuple[Branch, ...] | None:
    """Branches of which one at least holds for every row that matches; None: such a row cannot be told by an index."""
    if isinstance(node, Constant):
        return None if node.value else ()
    if isinstance(node, Or):
        return _either(node.children)
    parts = node.children if isinstance(node, And) else (node,)
    own: Branch = (*_equalities(parts), *_ranges(parts))
    if any(isinstance(term, Equality) for term in own):
        return (own,)
    for part in parts:
        inner = _either(part.children) if isinstance(part, Or) else None
        if inner is not None and (not own or all(isinstance(branch[0], Equality) for branch in inner)):
            return tuple((*branch, *own) for branch in inner)
    return (own,) if own else None


def _either(children: Sequence[Node]) -> tuple[Branch, ...] | None:
    found: list[Branch] = []
    for child in children:
        inner = branches(child)
        if inner is None:
            return None
        found.extend(inner)
    keys = sum(min((len(t.keys) for t in branch if isinstance(t, Equality)), default=1) for branch in found)
    return tuple(found) if len(found) <= _MOST_BRANCHES and keys <= _MOST_KEYS else None


def _equalities(parts: Iterable[Node]) -> list[Equality]:
    found = []
    for part in parts:
        literals: Sequence[Literal]
        match part:
            case Compare(path, Comparison.EQ, operand):
                literals = (operand,)
            case In(path, items):
                literals = items
            case Not(Exists(path)):
                literals = (None,)
            case _:
                continue
        keys: set[Key] = set()
        for literal in literals:
            if isinstance(literal, (tuple, Document)):
                break
            keys |= literal_keys(literal)
        else:
            is_common = all(literal is None or isinstance(literal, bool) for literal in literals)
            found.append(Equality(path, tuple(keys), is_common))
    return [term for term in found if len(term.keys) <= _MOST_KEYS]


def _ranges(parts: Iterable[Node]) -> list[Range]:
    """One range a path, of its first lower and its first upper bound; a pattern's prefix is both. Bounds of two classes
    never hold together, save of an array, of which another element may satisfy each: the index asks all ranges of the
    field about one."""
    bounds: dict[str, dict[bool, dict[int, int]]] = {}
    for part in parts:
        if isinstance(part, Compare) and part.op is not Comparison.EQ:
            assert isinstance(part.operand, (bool, int, float, str))
            is_upper = part.op in (Comparison.LT, Comparison.LTE)
            bounds.setdefault(part.path, {}).setdefault(is_upper, literal_codes(part.operand))
        elif isinstance(part, Like) and (prefix := like_prefix(part.pattern)):
            low, high = prefix_codes(prefix)
            bounds.setdefault(part.path, {}).setdefault(False, low)
            bounds[part.path].setdefault(True, high)
    return [_range(path, of_path.get(False), of_path.get(True)) for path, of_path in bounds.items()]


def _range(path: str, low: dict[int, int] | None, high: dict[int, int] | None) -> Range:
    if low is None or high is None:
        lone = [(bracket, code) for bracket, code in (low or high or {}).items()]
        spans = [(bracket, code, None) if high is None else (bracket, None, code) for bracket, code in lone]
        return Range(path, tuple(spans), is_bounded=False)
    both = [(bracket, low[bracket], high[bracket]) for bracket in low if bracket in high]
    return Range(path, tuple(span for span in both if span[1] <= span[2]), is_bounded=True)
