"""From a predicate to what it can be found by: conditions of which a row that matches must satisfy one. (pure)"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from broadcaster.index_ranges import Code
from broadcaster.index_values import NUMBER, SPELT, Key, literal_codes, literal_keys, prefix_codes
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
    Like,
    Literal,
    Node,
    Not,
    Or,
)

_MOST_BRANCHES: Final = 32
_MOST_KEYS: Final = 4096
"""Of one predicate, in all its branches: so much may it take up in the index."""
_LOWER: Final = (Comparison.GT, Comparison.GTE)
_UPPER: Final = (Comparison.LT, Comparison.LTE)
_MOST_ITEMS: Final = 4
"""Of what a value must contain, as many are something to find it by."""


@dataclass(frozen=True, slots=True)
class Equality:
    """The value at the path has one of these keys; `is_common`: null or a bool, which many rows have."""

    path: str
    keys: tuple[Key, ...]
    is_common: bool


@dataclass(frozen=True, slots=True)
class Range:
    """The value at the path, if it is one, lies in the span of its bracket: (bracket, low, high). low_is_open,
    high_is_open: whether the end itself is outside."""

    path: str
    spans: tuple[tuple[int, Code | None, Code | None], ...]
    low_is_open: bool
    high_is_open: bool

    @property
    def is_bounded(self) -> bool:
        """Whether it has both ends, or holds for no value."""
        return all(low is not None and high is not None for _, low, high in self.spans)


class Rest(Enum):
    """Conditions that nothing is found by: without them the branch's terms say all that the branch does."""

    REST = 0


REST: Final = Rest.REST
Term: TypeAlias = Equality | Range | Rest
Branch: TypeAlias = tuple[Term, ...]
"""Terms that all hold where the branch does, and where none is `REST` the branch where they do. No two others are of
one path, and the first is not `REST`."""


def branches(node: Node) -> tuple[Branch, ...] | None:
    """Branches of which one at least holds for every row that matches; None: such a row cannot be told by an index."""
    if isinstance(node, Constant):
        return None if node.value else ()
    if isinstance(node, Or):
        return _either(node.children)
    parts = node.children if isinstance(node, And) else (node,)
    own = _terms(parts)
    if own and isinstance(own[0], Equality):
        return (_branch(own),)
    for part in parts:
        inner = _either(part.children) if isinstance(part, Or) else None
        if inner is not None and (own[0] is REST or all(isinstance(branch[0], Equality) for branch in inner)):
            others = _terms([other for other in parts if other is not part])
            return tuple(_branch([*branch, *others]) for branch in inner)
    return None if own[0] is REST else (_branch(own),)


def _branch(terms: Sequence[Term]) -> Branch:
    told = [term for term in terms if term is not REST]
    is_all = len(told) == len(terms) == len({term.path for term in told})
    return (*told,) if is_all else (*told, REST)


def _either(children: Sequence[Node]) -> tuple[Branch, ...] | None:
    found: list[Branch] = []
    for child in children:
        inner = branches(child)
        if inner is None:
            return None
        found.extend(inner)
    keys = sum(min((len(t.keys) for t in branch if isinstance(t, Equality)), default=1) for branch in found)
    return tuple(found) if len(found) <= _MOST_BRANCHES and keys <= _MOST_KEYS else None


def _terms(parts: Sequence[Node]) -> list[Term]:
    """What a row that satisfies all parts can be found by: equalities, then ranges, then `REST` where they say less."""
    equalities: list[Equality] = []
    bounds: list[Node] = []
    has_rest = False
    for part in parts:
        found: list[Equality] = []
        match part:
            case Compare(path, Comparison.EQ, operand):
                found = _equality(path, (operand,))
            case In(path, items):
                found = _equality(path, items)
            case Not(Exists(path)):
                found = _equality(path, (None,))
            case Contains(path, operand):
                found = _contained(path, operand)
                has_rest |= isinstance(operand, (tuple, Document))
            case Compare() | Like():
                bounds.append(part)
                continue
        equalities += found
        has_rest |= not found
    ranges, is_all = _ranges(bounds)
    return [*equalities, *ranges, *(() if is_all and not has_rest else (REST,))]


def _equality(path: str, literals: Sequence[Literal]) -> list[Equality]:
    """One, or none where there is nothing to look a literal up by, or too much."""
    keys: set[Key] = set()
    for literal in literals:
        if isinstance(literal, (tuple, Document)):
            return []
        keys |= literal_keys(literal)
    if len(keys) > _MOST_KEYS:
        return []
    is_common = all(literal is None or isinstance(literal, bool) for literal in literals)
    return [Equality(path, tuple(keys), is_common)]


def _contained(path: str, operand: Literal) -> list[Equality]:
    """What a value that contains the operand has somewhere."""
    if isinstance(operand, tuple):
        return [term for item in operand[:_MOST_ITEMS] for term in _equality(path, (item,))]
    if isinstance(operand, Document):
        members = [member for member in operand.items if "." not in member[0]]
        return [term for key, item in members[:_MOST_ITEMS] for term in _contained(f"{path}.{key}", item)]
    return _equality(path, (operand,))


def _ranges(parts: Iterable[Node]) -> tuple[list[Range], bool]:
    """One range a path, of its first lower and its first upper bound, and whether they say all that the parts do; a
    pattern's prefix is both. Bounds of two classes never hold together, save of an array, of which another element may
    satisfy each: the index asks all ranges of the field about one."""
    is_all = True
    bounds: dict[str, dict[Comparison, dict[int, Code]]] = {}
    for part in parts:
        if isinstance(part, Compare):
            assert isinstance(part.operand, (bool, int, float, str))
            is_all &= _bound(bounds, part.path, part.op, literal_codes(part.operand))
        elif isinstance(part, Like):
            is_all = False
            if prefix := like_prefix(part.pattern):
                low, high = prefix_codes(prefix)
                _bound(bounds, part.path, Comparison.GTE, low)
                _bound(bounds, part.path, Comparison.LTE, high)
    return [_range(path, of_path) for path, of_path in bounds.items()], is_all


def _bound(
    bounds: dict[str, dict[Comparison, dict[int, Code]]], path: str, op: Comparison, codes: dict[int, Code]
) -> bool:
    """Note an end, unless the path has such a one."""
    of_path = bounds.setdefault(path, {})
    if not of_path.keys().isdisjoint(_LOWER if op in _LOWER else _UPPER):
        return False
    of_path[op] = codes
    return True


def _range(path: str, ends: dict[Comparison, dict[int, Code]]) -> Range:
    lows = next((ends[op] for op in _LOWER if op in ends), None)
    highs = next((ends[op] for op in _UPPER if op in ends), None)
    brackets = set(lows or highs or ()) & set(highs or lows or ())
    if NUMBER in brackets:
        brackets.discard(SPELT)
    spans = []
    for bracket in sorted(brackets):
        low = None if lows is None else lows[bracket]
        high = None if highs is None else highs[bracket]
        if low is None or high is None or low <= high:
            spans.append((bracket, low, high))
    return Range(path, tuple(spans), Comparison.GT in ends, Comparison.LT in ends)
