"""Generates, per shape of document, the code that makes JSON of it in a few steps. (pure)

A shape is which fields of which types there are in which order, within documents in the document too. Between two
strings everything has its fixed place then, so that one `struct` reads and checks it all. What has another shape, is
malformed, or holds a number that JSON has not, the generated functions leave alone and return None; then
`cdc.mongo.values.row` does it, or refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from json.encoder import encode_basestring
from struct import Struct
from typing import Any, Final, TypeAlias

from bson.decimal128 import Decimal128

from cdc.mongo.convert import CONVERT, MALFORMED, SAFE, date_text
from cdc.mongo.values import Row, row

ShapeFunction: TypeAlias = Callable[[bytes, str, int], Row | None]

_KEPT: Final = 4
_UNKNOWN_PER_SHAPE: Final = (
    256  # documents of other shapes before one more is generated: that costs a millisecond
)
_REMEMBERED: Final = 4_096  # bytes of a value that is converted by call
_NEVER: Final = "\u0100"  # no wire text begins so
_MOST_VALUES: Final = 200
_DEEPEST: Final = 8
_END: Final = "\0"

_FIXED: Final = {
    # BSON type -> (code in `struct`, expression of its JSON, condition to be read here, kind)
    "\x01": ("d", "{{{0}!r}}", "isfinite({0})", None),
    "\x07": ("12s", '"{{{0}.hex()}}"', None, "objectId"),
    "\x08": ("?", "{{true if {0} else false}}", None, None),
    "\x09": ("q", "{{date({0})}}", None, "timestamptz"),
    "\x10": ("i", "{{{0}}}", None, None),
    "\x12": ("q", "{{{0}}}", f"-{SAFE} <= {{0}} <= {SAFE}", None),
    "\x13": ("16s", '"{{decimal({0})}}"', None, "decimal"),
}


class Shapes:
    """Makes rows of one collection's documents, whose shapes it comes to know."""

    def __init__(self) -> None:
        self._functions: list[ShapeFunction] = []
        self._unknown = _UNKNOWN_PER_SHAPE

    def row(self, raw: bytes, text: str, at: int) -> Row:
        """As `cdc.mongo.values.row`."""
        functions = self._functions
        for i, function in enumerate(functions):
            try:
                found = function(raw, text, at)
            except MALFORMED:
                continue  # the message ends before a document of this shape would
            if found is not None:
                if i:
                    functions.insert(0, functions.pop(i))
                return found
        found = row(raw, text, at)
        self._unknown += 1
        if self._unknown > _UNKNOWN_PER_SHAPE:
            self._unknown = 0
            generated = generate(raw, text, at)
            if generated is not None:
                self._functions = [generated, *functions[: _KEPT - 1]]
        return found


def generate(raw: bytes, text: str, at: int) -> ShapeFunction | None:
    """The function for the shape of the well-formed document that begins at `at`; None if it gets none."""
    try:
        return _Writer(raw, text).function(at)
    except _UnfitError:
        return None


class _UnfitError(Exception):
    """A document that gets no function: it is too large, or two of its fields have the same path."""


class _Writer:
    """Writes one function."""

    def __init__(self, raw: bytes, text: str) -> None:
        self._raw = raw
        self._text = text
        self._lines: list[str] = []
        self._json: list[str] = []
        self._types: dict[str, str] = {}
        self._paths: set[str] = set()
        self._globals: list[str] = []  # what is remembered of values that are converted by call
        self._count = 0
        self._format = "<"  # of the run at hand: what has its fixed place from `at` on
        self._names: list[str] = []
        self._literal = b""
        self._checks: list[str] = []
        self._begins: list[str] = []  # statements that keep where the run's documents begin
        self._space: dict[str, Any] = {
            "convert": CONVERT, "date": date_text, "decimal": Decimal128.from_bid, "escape": encode_basestring,
            "false": "false", "isfinite": math.isfinite, "Row": Row, "true": "true",
        }  # fmt: skip

    def function(self, at: int) -> ShapeFunction:
        self._document(at, "", 0)
        self._end_run()
        self._space["types"] = self._types
        types = "types"
        if self._globals:
            types = "{**types, **{path: kind for path, kind in kinds.items() if kind}} if kinds else types"
            self._lines[:0] = [f"global {', '.join(self._globals)}", "kinds = {}"]
        self._lines.append(f"return Row(f'{''.join(self._json)}', {types})")
        source = "def shape(raw, text, at):\n" + "".join(f"    {line}\n" for line in self._lines)
        exec(source, self._space)
        function: ShapeFunction = self._space["shape"]
        return function

    def _document(self, at: int, prefix: str, depth: int) -> int:
        """Write what reads the document; returns where it ends."""
        if depth > _DEEPEST:
            raise _UnfitError
        size, begin = self._name(), self._name()
        self._end_literal()
        self._begins.append(f"{begin} = at + {Struct(self._format).size}")
        self._field("I", size)
        end = at + self._uint32(at) - 1
        at += 4
        self._json.append("{{")
        comma = ""
        while at < end:
            kind = self._text[at]
            stop = self._text.index(_END, at + 1)
            name = self._text[at + 1 : stop]
            self._literal += self._raw[at : stop + 1]
            if prefix + name in self._paths or "." in name:
                raise _UnfitError
            self._paths.add(prefix + name)
            self._json.append(_quoted(f"{comma}{encode_basestring(name)}:"))
            comma = ","
            at = self._value(kind, stop + 1, prefix + name, depth)
        self._literal += b"\0"
        self._json.append("}}")
        self._end_run()
        self._lines += [f"if {begin} + {size} != at:", "    return None"]
        return end + 1

    def _value(self, kind: str, at: int, path: str, depth: int) -> int:
        if kind == "\x03":
            return self._document(at, f"{path}.", depth + 1)
        if kind == "\x0a":
            self._json.append("null")
            return at
        value = self._name()
        if kind == "\x02":
            self._field("I", value)
            self._end_run()
            self._lines += [
                f"end = at + {value} - 1",
                f"{value} = escape(text[at:end])",
                "at = end",
            ]
            self._literal = b"\0"
            self._json.append(f"{{{value}}}")
            return at + 4 + self._uint32(at)
        if kind in _FIXED:
            code, json, condition, told = _FIXED[kind]
            self._field(code, value)
            self._json.append(json.format(value))
            if condition is not None:
                self._checks.append(condition.format(value))
            if told is not None:
                self._types[path] = told
            return at + Struct(f"<{code}").size
        self._end_run()
        self._space |= {f"bson_{value}": _NEVER, f"json_{value}": ""}
        self._globals += [f"bson_{value}", f"json_{value}"]
        self._lines += [
            f"if text.startswith(bson_{value}, at):",  # most often so for the second image of an update
            f"    at += len(bson_{value})",
            f"    {value} = json_{value}",
            "else:",
            "    begin = at",
            f"    {value}, at = convert[{kind!a}](raw, text, at, {path!a}, kinds, None)",
            f"    if at - begin < {_REMEMBERED} and not any(kinds.values()):",
            f"        bson_{value}, json_{value} = text[begin:at], {value}",
        ]
        self._json.append(f"{{{value}}}")
        return CONVERT[kind](self._raw, self._text, at, path, {}, None)[1]

    def _uint32(self, at: int) -> int:
        return int.from_bytes(self._raw[at : at + 4], "little")

    def _name(self) -> str:
        """A variable of its own."""
        self._count += 1
        if self._count > _MOST_VALUES:
            raise _UnfitError
        return f"v{self._count}"

    def _field(self, code: str, name: str) -> None:
        self._end_literal()
        self._format += code
        self._names.append(name)

    def _end_literal(self) -> None:
        if self._literal:
            name = self._name()
            self._format += f"{len(self._literal)}s"
            self._names.append(name)
            self._checks.append(f"{name} == {self._literal!r}")
            self._literal = b""

    def _end_run(self) -> None:
        """Write what reads and checks the run at hand."""
        self._end_literal()
        if self._names:
            run = Struct(self._format)
            unpack = f"run{len(self._lines)}"
            self._space[unpack] = run.unpack_from
            self._lines.append(f"{', '.join(self._names)}, = {unpack}(raw, at)")
            self._lines += (
                [f"if not ({' and '.join(self._checks)}):", "    return None"] if self._checks else []
            )
            self._lines += [*self._begins, f"at += {run.size}"]
        self._format, self._names, self._checks, self._begins = "<", [], [], []


def _quoted(text: str) -> str:
    """For the inside of an f-string in single quotes."""
    return ascii(text + '"')[1:-2].replace("{", "{{").replace("}", "}}")
