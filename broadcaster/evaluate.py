"""The one evaluator: a predicate to a compiled test of one row. (pure)

What a query means, on every database:
- Missing and null are equal. `$ne`, `$nin`, `$nor` and `$not` are exact complements, so they match what is missing.
- Ranges compare only within a class: numbers, strings (by code point), bools (false < true), and the kinds of
  `broadcaster.kinds`. Anything else is no match. `true` is not 1.
- The kind of the row's value decides how a literal is read beside it; one that cannot be read so never matches.
- Of an array any element may satisfy a condition, or the whole array equals an array literal. A dotted path leads
  through documents, through all documents of an array, and by number to an element.
- Documents are equal whatever the order of their keys.
- Patterns are for text: what has a kind of `broadcaster.kinds` never matches one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any, Final

import msgspec

from broadcaster.conditions import Kinds, Test, array_path, field_test, kind_paths, pattern_test, row_test
from broadcaster.kinds import SAFE_INTEGER, base_kind, wide_number
from broadcaster.predicate import (
    And,
    Compare,
    Comparison,
    Constant,
    Contains,
    Exists,
    In,
    Leaf,
    Like,
    Literal,
    Node,
    Not,
    Or,
    Regex,
    leaves,
)
from broadcaster.rowjson import decode_any

_MAX_VARIANTS: Final = 64
_SHARED_CHARACTERS: Final = 4096
_GLOBALS: Final[dict[str, Any]] = {}
_NO_KINDS: Final[Kinds] = {}
_PYTHON: Final = {
    Comparison.EQ: "==",
    Comparison.GT: ">",
    Comparison.GTE: ">=",
    Comparison.LT: "<",
    Comparison.LTE: "<=",
}
_IS_NUMBER: Final = "(t := (v := get({field!r})).__class__) is int or t is float"
_IS_STRING: Final = "(v := get({field!r})).__class__ is str"

_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


def decode_row(raw: bytes | memoryview) -> dict[str, Any]:
    """A row's JSON object as Python values: integers exact, fractions as the nearest float (see `decode_any` for what
    floats cannot hold). Never raises on JSON that a database can produce."""
    try:
        return _decode(raw)
    except (msgspec.DecodeError, RecursionError):
        row = decode_any(bytes(raw).decode())
        if not isinstance(row, dict):
            raise TypeError(f"a row is a JSON object, not {type(row).__name__}") from None
        return row


def compile_predicate(node: Node) -> Predicate:
    """Compile the node once; the result tests many rows."""
    return Predicate(node)


class Predicate:
    """A test of a row, specialised for the kinds of the fields it looks at (at most 64 variants are kept)."""

    __slots__ = ("_key_of", "_kinded", "_node", "_paths", "_plain", "_variants")

    def __init__(self, node: Node) -> None:
        self._node = node
        self._paths = tuple(dict.fromkeys(path for leaf in leaves(node) for path in kind_paths(leaf)))
        shape = _shape if sum(map(len, self._paths)) <= _SHARED_CHARACTERS else _shape.__wrapped__
        self._kinded, self._key_of = shape(self._paths)
        self._plain = _compile(node, _NO_KINDS)
        self._variants: dict[tuple[str | None, ...], Test] = {}

    def __call__(self, row: dict[str, Any], types: Mapping[str, str] | None = None) -> bool:
        """Does the row match? row: as `decode_row` returns it; types: dotted path → kind, as in the event."""
        return self.for_types(types)(row)

    def for_types(self, types: Mapping[str, str] | None) -> Test:
        """The test of rows with these types, for callers that judge many of them in a row."""
        if not types or types.keys().isdisjoint(self._kinded):
            return self._plain
        key = self._key_of(types)
        return self._variants.get(key) or self._specialise(key)

    def _specialise(self, key: tuple[str | None, ...]) -> Test:
        kinds = {path: base_kind(kind) for path, kind in zip(self._paths, key, strict=True)}
        test = _compile(self._node, kinds) if any(kinds.values()) else self._plain
        if len(self._variants) >= _MAX_VARIANTS:
            self._variants.clear()
        self._variants[key] = test
        return test


@lru_cache(maxsize=512)
def _shape(
    paths: tuple[str, ...],
) -> tuple[tuple[str, ...], Callable[[Mapping[str, str]], tuple[str | None, ...]]]:
    """(all paths whose kinds matter, the kinds of the given ones in order)."""
    parts = []
    for path in paths:
        array = array_path(path)
        parts.append(f"get({path!r})" if array == path else f"(get({path!r}) or get({array!r}))")
    kinded = tuple(dict.fromkeys([*paths, *map(array_path, paths)]))
    return kinded, _function("types", f"({''.join(f'{part}, ' for part in parts)})", _NO_KINDS)


def _compile(node: Node, kinds: Kinds) -> Test:
    names: dict[str, object] = {}
    expression = _Expressions(kinds, names).of(node)
    return _function("row", expression, names)


def _function(argument: str, expression: str, names: Mapping[str, object]) -> Callable[[Any], Any]:
    """The expression as a function to which the names are defaults. Predicates of one shape share its code: to compile
    it takes a hundred times as long as all the rest, and a kibibyte."""
    compiled = _code if len(expression) <= _SHARED_CHARACTERS else _code.__wrapped__
    code = compiled(argument, expression, tuple(names))
    return FunctionType(code, _GLOBALS, "test", tuple(names.values()))


@lru_cache(maxsize=512)
def _code(argument: str, expression: str, names: tuple[str, ...]) -> CodeType:
    """Of what a client sent only paths get into the text, by repr() of a str."""
    namespace: dict[str, Any] = {}
    parameters = ", ".join([argument, *names])
    exec(f"def test({parameters}):\n    get = {argument}.get\n    return {expression}\n", namespace)
    code: CodeType = namespace["test"].__code__
    return code


class _Late:
    """The general test of a leaf, made when it is first asked: most rows never need it."""

    __slots__ = ("_kinds", "_leaf", "_test")

    def __init__(self, leaf: Leaf, kinds: Kinds) -> None:
        self._leaf = leaf
        self._kinds = kinds
        self._test: Test | None = None

    def __call__(self, value: Any) -> bool:
        if self._test is None:
            self._test = field_test(self._leaf, self._kinds)
        return self._test(value)


class _Expressions:
    """Nodes to Python expressions over `row` and `get`; what cannot be inlined is called by a name bound in `names`."""

    def __init__(self, kinds: Kinds, names: dict[str, object]) -> None:
        self._kinds = kinds
        self._names = names

    def of(self, node: Node) -> str:
        match node:
            case Constant(value):
                return repr(value)
            case Not(leaf):
                return f"(not {self.leaf(leaf)})"
            case And(children):
                return f"({' and '.join(map(self.of, children))})"
            case Or(children):
                return f"({' or '.join(map(self.of, children))})"
            case _:
                return self.leaf(node)

    def leaf(self, leaf: Leaf) -> str:
        if "." in leaf.path:
            return f"{self.bind(row_test(leaf, self._kinds))}(row)"
        field = leaf.path
        if isinstance(leaf, Exists):
            return f"(get({field!r}) is not None)"
        if isinstance(leaf, Compare) and (leaf.operand is None or isinstance(leaf.operand, bool)):
            if leaf.op is not Comparison.EQ:
                return f"{self.general(leaf)}(get({field!r}))"
            late = self.bind(_Late(leaf, self._kinds))
            return f"((v := get({field!r})) is {leaf.operand} or v.__class__ is list and {late}(v))"
        if isinstance(leaf, In) and None in leaf.items:
            return f"{self.general(leaf)}(get({field!r}))"
        inlined = None if self._kinds.get(field) else self.inlined(leaf)
        if inlined is None:
            return f"((v := get({field!r})) is not None and {self.general(leaf)}(v))"
        guard, test = inlined
        late = self.bind(_Late(leaf, self._kinds))
        return f"({test} if {guard.format(field=field)} else v is not None and {late}(v))"

    def general(self, leaf: Leaf) -> str:
        return self.bind(field_test(leaf, self._kinds))

    def inlined(self, leaf: Compare | In | Like | Regex | Contains) -> tuple[str, str] | None:
        """(guard, test) for values without a kind, None where only the general test will do."""
        if isinstance(leaf, Contains):
            return None
        if isinstance(leaf, (Like, Regex)):
            return _IS_STRING, f"{self.bind(pattern_test(leaf))}(v)"
        if isinstance(leaf, In):
            if not all(map(_is_simple, leaf.items)):
                return None
            return f"{_IS_NUMBER} or t is str", f"v in {self.bind(frozenset(leaf.items))}"
        if not _is_simple(leaf.operand):
            return None
        guard = _IS_STRING if isinstance(leaf.operand, str) else _IS_NUMBER
        return guard, f"v {_PYTHON[leaf.op]} {self.bind(leaf.operand)}"

    def bind(self, value: object) -> str:
        name = f"c{len(self._names)}"
        self._names[name] = value
        return name


def _is_simple(literal: Literal) -> bool:
    """A string or number that Python itself compares right with strings, ints and floats of a row."""
    if isinstance(literal, str):
        return wide_number(literal) is None
    if isinstance(literal, (int, float)) and not isinstance(literal, bool):
        return -SAFE_INTEGER <= literal <= SAFE_INTEGER
    return False
