"""One condition on one field, as a function of the row: every kind, arrays, dotted paths. (pure)

These are the general tests; `broadcaster.evaluate` puts inlined ones before them for plain values.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias

from broadcaster.kinds import HAS_NAN, INSTANT, NUMBER, READERS, TEXT, Ordered, Reader, base_kind, wide_number
from broadcaster.patterns import TextTest, compile_like, compile_regex
from broadcaster.predicate import (
    Compare,
    Comparison,
    Contains,
    Document,
    Exists,
    In,
    Leaf,
    Like,
    Literal,
    Regex,
)

Test: TypeAlias = Callable[[Any], bool]
"""Of a value (None: null or missing), or of a whole row."""

Kinds: TypeAlias = Mapping[str, str | None]
"""Path → kind, as `kind_paths` lists the paths."""

COMPARE: Final[Mapping[Comparison, Callable[[Any, Any], bool]]] = {
    Comparison.EQ: operator.eq,
    Comparison.GT: operator.gt,
    Comparison.GTE: operator.ge,
    Comparison.LT: operator.lt,
    Comparison.LTE: operator.le,
}


def kind_paths(leaf: Leaf) -> list[str]:
    """The dotted paths whose kinds decide how the leaf compares."""
    if isinstance(leaf, Exists):
        return []
    if isinstance(leaf, (Like, Regex)):
        return [leaf.path]
    literals = leaf.items if isinstance(leaf, In) else (leaf.operand,)
    return [leaf.path, *(path for literal in literals for path in _inner_paths(leaf.path, literal))]


def array_path(path: str) -> str:
    """The path of the array that an element's path leads to: an element has its kind where it has none of its own."""
    return ".".join(segment for segment in path.split(".") if not segment.isdigit())


def _inner_paths(path: str, literal: Literal) -> list[str]:
    if isinstance(literal, tuple):
        return [inner for item in literal for inner in _inner_paths(path, item)]
    if isinstance(literal, Document):
        return [
            inner
            for key, item in literal.items
            for inner in (f"{path}.{key}", *_inner_paths(f"{path}.{key}", item))
        ]
    return []


def field_test(leaf: Leaf, kinds: Kinds) -> Test:
    """The leaf as a test of the value at its path's end: of an array, any element may satisfy it."""
    if isinstance(leaf, Exists):
        return lambda value: value is not None
    test = _value_test(leaf, kinds)
    return lambda value: test(value) or (value.__class__ is list and any(map(test, value)))


def row_test(leaf: Leaf, kinds: Kinds) -> Test:
    """The leaf as a test of a whole row: the path leads through documents, an array's documents and its indexes."""
    segments = leaf.path.split(".")
    indexes = [int(segment) if is_index(segment) else -1 for segment in segments]
    test = field_test(leaf, kinds)
    length = len(segments)

    def reach(node: Any, depth: int) -> bool:
        while depth < length:
            kind = node.__class__
            if kind is dict:
                node = node.get(segments[depth])
                depth += 1
            elif kind is list:
                if 0 <= indexes[depth] < len(node) and reach(node[indexes[depth]], depth + 1):
                    return True
                return any(reach(element, depth) for element in node if element.__class__ is dict)
            else:
                return test(None)
        return test(node)

    return lambda row: reach(row, 0)


def is_index(segment: str) -> bool:
    """Whether a path's segment may name an element of an array."""
    return segment.isascii() and segment.isdigit() and len(segment) < 10 and str(int(segment)) == segment


def pattern_test(leaf: Like | Regex) -> TextTest:
    """The test of a text that the leaf's pattern is."""
    return compile_like(leaf.pattern) if isinstance(leaf, Like) else compile_regex(leaf.pattern, leaf.flags)


def _value_test(leaf: Compare | In | Like | Regex | Contains, kinds: Kinds) -> Test:
    if isinstance(leaf, (Like, Regex)):
        if base_kind(kinds.get(leaf.path)) is not None:
            return _never
        match = pattern_test(leaf)
        return lambda value: value.__class__ is str and match(value)
    if isinstance(leaf, Contains):
        return _containment(leaf.path, leaf.operand, kinds)
    if isinstance(leaf, In):
        return _in_test(leaf.path, leaf.items, kinds)
    if leaf.op is Comparison.EQ:
        return _equality(leaf.path, leaf.operand, kinds)
    return _range(leaf.op, leaf.operand, base_kind(kinds.get(leaf.path)))


def _equality(path: str, literal: Literal, kinds: Kinds) -> Test:
    if literal is None or isinstance(literal, bool):
        return lambda value: value is literal
    if isinstance(literal, tuple):
        return _array_equality(path, literal, kinds)
    if isinstance(literal, Document):
        return _document_equality(path, literal, kinds)
    kind = base_kind(kinds.get(path))
    if literal == "NaN" and kind in HAS_NAN:
        return lambda value: value == "NaN"
    return _compared(Comparison.EQ, literal, kind)


def _array_equality(path: str, literal: tuple[Literal, ...], kinds: Kinds) -> Test:
    tests = [_equality(path, item, kinds) for item in literal]

    def test(value: Any) -> bool:
        return (
            value.__class__ is list
            and len(value) == len(tests)
            and all(item_test(item) for item_test, item in zip(tests, value, strict=True))
        )

    return test


def _document_equality(path: str, literal: Document, kinds: Kinds) -> Test:
    tests = [(key, _equality(f"{path}.{key}", item, kinds)) for key, item in literal.items]

    def test(value: Any) -> bool:
        return (
            value.__class__ is dict
            and len(value) == len(tests)
            and all(key in value and item_test(value[key]) for key, item_test in tests)
        )

    return test


def _containment(path: str, literal: Literal, kinds: Kinds) -> Test:
    """See `predicate.Contains`."""
    if isinstance(literal, Document):
        members = [(key, _containment(f"{path}.{key}", item, kinds)) for key, item in literal.items]
        return lambda value: value.__class__ is dict and all(test(value.get(key)) for key, test in members)
    if isinstance(literal, tuple):
        return _array_containment(path, literal, kinds)
    return _equality(path, literal, kinds)


def _array_containment(path: str, literal: tuple[Literal, ...], kinds: Kinds) -> Test:
    """Numbers and strings are looked for in a set per reader, the rest is tried in turn."""
    kind = base_kind(kinds.get(path))
    readers = (NUMBER, TEXT) if kind is None else (READERS[kind],)
    wanted: list[list[tuple[Reader, Ordered]]] = []
    tests: list[Test] = []
    for item in literal:
        if _is_special(item, kind):
            tests.append(_containment(path, item, kinds))
        else:
            wanted.append(
                [(reader, read) for reader in readers if (read := reader.literal(item)) is not None]
            )

    def test(value: Any) -> bool:
        if value.__class__ is not list:
            return False
        if wanted:
            found = {reader: set(map(reader.value, value)) for reader in readers}
            if not all(any(read in found[reader] for reader, read in item) for item in wanted):
                return False
        return all(any(map(test, value)) for test in tests)

    return test


def _is_special(item: Literal, kind: str | None) -> bool:
    """Whether no reader reads it."""
    return item is None or isinstance(item, (bool, tuple, Document)) or (item == "NaN" and kind in HAS_NAN)


def _in_test(path: str, items: tuple[Literal, ...], kinds: Kinds) -> Test:
    """Numbers and strings are looked up in a set per reader, the rest is tried in turn."""
    kind = base_kind(kinds.get(path))
    readers = (NUMBER, TEXT) if kind is None else (READERS[kind],)
    rest: list[Literal] = []
    wanted: dict[Reader, set[Ordered]] = {reader: set() for reader in readers}
    for item in items:
        if _is_special(item, kind):
            rest.append(item)
            continue
        for reader in readers:
            if (read := reader.literal(item)) is not None:
                wanted[reader].add(read)
    lookups = [_lookup(reader, found) for reader, found in wanted.items() if found]
    tests = [*lookups, *(_equality(path, item, kinds) for item in rest)]
    return lambda value: any(test(value) for test in tests)


def _lookup(reader: Reader, wanted: set[Ordered]) -> Test:
    read = reader.value
    return lambda value: read(value) in wanted


def _range(op: Comparison, literal: Literal, kind: str | None) -> Test:
    if isinstance(literal, bool):
        compare = COMPARE[op]
        return lambda value: value.__class__ is bool and compare(value, literal)
    return _compared(op, literal, kind)


def _compared(op: Comparison, literal: Literal, kind: str | None) -> Test:
    """A number or string literal against values of this kind, each class with its own only."""
    if kind is not None:
        return _instants(op, literal) if READERS[kind] is INSTANT else _reading(op, literal, READERS[kind])
    if not isinstance(literal, str):
        return _reading(op, literal, NUMBER)
    text = _reading(op, literal, TEXT)
    if wide_number(literal) is None:
        return text
    number = _reading(op, literal, NUMBER)
    return lambda value: text(value) or number(value)


def _reading(op: Comparison, literal: Literal, reader: Reader) -> Test:
    operand = reader.literal(literal)
    if operand is None:
        return _never
    compare, read = COMPARE[op], reader.value

    def test(value: Any) -> bool:
        found = read(value)
        return found is not None and compare(found, operand)

    return test


def _instants(op: Comparison, literal: Literal) -> Test:
    """The standard library's parser is three times as fast where it suffices."""
    general = _reading(op, literal, INSTANT)
    micros = INSTANT.literal(literal)
    compare = COMPARE[op]
    try:
        naive = datetime(1970, 1, 1) + timedelta(microseconds=micros)  # type: ignore[arg-type]
    except (OverflowError, TypeError, ValueError):
        return general
    aware = naive.replace(tzinfo=UTC)
    parse = datetime.fromisoformat

    def test(value: Any) -> bool:
        try:
            found = parse(value)
        except (ValueError, TypeError):
            return general(value)
        return compare(found, aware if found.tzinfo is not None else naive)

    return test


def _never(_: Any) -> bool:
    return False
