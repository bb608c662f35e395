"""Writes the code that reads messages of one shape: which fields of which types there are in which order, within
documents in the document too. (pure)

Between two strings everything has its fixed place then, so that one `struct` reads and checks it all: a *run*. A
message of another shape, one that is malformed, or one that holds a number that JSON has not, makes the written code
return None or raise one of `cdc.mongo.convert.MALFORMED`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias

from bson.decimal128 import Decimal128

from cdc.mongo.convert import CONVERT, SAFE, Kinds, date_text, double, uint32, uuid_text
from cdc.mongo.values import Types
from cdc.wire_text import literal

Known: TypeAlias = Mapping[str, tuple[str, ...]]
"""By type and path, the variables that hold a value and what was made of it."""

_REMEMBERED: Final = 16_384  # bytes of a value that is converted by call
_NEVER: Final = "\u0100"  # no wire text begins so
_MOST_VALUES: Final = 400
_DEEPEST: Final = 8
_END: Final = "\0"
_DOUBLE: Final = "\x01"
_INT64: Final = "\x12"
_STRING: Final = "\x02"
_DOCUMENT: Final = "\x03"
_BINARY: Final = "\x05"
_NULL: Final = "\x0a"
_UUID: Final = b"\x10\0\0\0\x04"  # its size and subtype
_NO_KINDS: Final[Types] = {}
_NOTHING: Final[Known] = {}
_QUOTE: Final = literal('"')


class _Fixed(NamedTuple):
    """A type of one size. code: in `struct`; json: expression of its JSON text, to stand in an f-string; costly: the
    same, where it is worth to be kept for an equal value; condition: to be read here."""

    code: str
    kind: str | None = None
    json: str = ""
    costly: str = ""
    condition: str = ""


_FIXED: Final = {
    "\x01": _Fixed("d", costly="repr({0})", condition="isfinite({0})"),
    "\x07": _Fixed("12s", "objectId", costly="{0}.hex()"),
    "\x08": _Fixed("?", json="true if {0} else false"),
    "\x09": _Fixed("q", "timestamptz", costly="date({0})"),
    "\x10": _Fixed("i", json="{0}"),
    "\x12": _Fixed("q", json="{0}", condition=f"-{SAFE} <= {{0}} <= {SAFE}"),
    "\x13": _Fixed("16s", "decimal", costly="decimal({0})"),
}
_UUID_VALUE: Final = _Fixed("16s", "uuid", costly="uuid({0})")
_LARGE: Final = _Fixed("q", "int64", json="{0}", condition=f"not -{SAFE} <= {{0}} <= {SAFE}")
_QUOTED: Final = ("objectId", "decimal", "uuid", "int64")


class UnfitError(Exception):
    """What gets no code: it is too large, two of its fields have the same path, or it is nothing usual."""


class Told(NamedTuple):
    """One path's kind, or the variable that holds the kinds of all that is there."""

    path: str
    kind: str
    variable: str = ""


class Image(NamedTuple):
    """What was written for a document. json: for the inside of an f-string; fields: the same of each field of its own;
    known: where equal values of another image can be taken from."""

    json: str
    fields: dict[str, str]
    kinds: list[Told]
    known: Known


class Code:
    """A function being written: `lines`, and `space`, the globals it has."""

    def __init__(self, raw: bytes, text: str) -> None:
        """raw, text: the message that is the example."""
        self.raw = raw
        self.text = text
        self.lines: list[str] = []
        self.space: dict[str, Any] = {
            "converted": _converted, "date": date_text, "decimal": Decimal128.from_bid, "escape": encode_basestring,
            "false": "false", "isfinite": math.isfinite, "true": "true", "uuid": uuid_text,
        }  # fmt: skip
        self._globals: list[str] = []
        self._count = 0
        self._format = "<"  # of the run at hand
        self._names: list[str] = []
        self._literal = b""
        self._marks: list[str] = []
        self._checks: list[str] = []
        self._then: list[str] = []

    def function(self, parameters: str, result: str) -> Callable[..., Any]:
        """The function, whose result is this expression."""
        head = [f"global {', '.join(self._globals)}"] if self._globals else []
        body = "".join(f"    {line}\n" for line in [*head, *self.lines, f"return {result}"])
        exec(f"def read({parameters}):\n{body}", self.space)
        function: Callable[..., Any] = self.space["read"]
        return function

    def name(self) -> str:
        """A variable of its own."""
        self._count += 1
        if self._count > _MOST_VALUES:
            raise UnfitError
        return f"v{self._count}"

    def literal(self, data: bytes) -> None:
        """Here stands this."""
        self._literal += data

    def field(self, code: str, name: str = "") -> str:
        """Here stands a value, by its code in `struct`, which becomes a variable, of this name or one of its own."""
        self._end_literal()
        name = name or self.name()
        self._format += code
        self._names.append(name)
        return name

    def skip(self, size: int) -> None:
        """Here stand so many bytes of no interest."""
        self._end_literal()
        self._format += f"{size}x"

    def mark(self) -> str:
        """A variable that holds this place."""
        self._end_literal()
        name = self.name()
        self._marks.append(f"{name} = at + {Struct(self._format).size}")
        return name

    def check(self, condition: str) -> None:
        """What must hold of the values so far; `{here}` is this place."""
        self._end_literal()
        self._checks.append(condition.format(here=f"at + {Struct(self._format).size}"))

    def end_run(self) -> None:
        """Write what reads and checks the run at hand; from then on `at` is the place behind it."""
        self._end_literal()
        run = Struct(self._format)
        if self._names:
            unpack = f"run{self.name()}"
            self.space[unpack] = run.unpack_from
            self.lines.append(f"{', '.join(self._names)}, = {unpack}(raw, at)")
        self.lines += self._marks
        if self._checks:
            self.lines += [f"if not ({' and '.join(self._checks)}):", "    return None"]
        if run.size:
            self.lines.append(f"at += {run.size}")
        self.lines += self._then
        self._format, self._names, self._marks, self._checks, self._then = "<", [], [], [], []

    def string(self, name: str = "") -> str:
        """Here stands a string; a variable with its wire text, of this name or one of its own."""
        size, value = self.field("I"), name or self.name()
        self.end_run()
        self.lines += ["begin = at", f"at += {size} - 1", f"{value} = text[begin:at]"]
        self.literal(b"\0")
        return value

    def then(self, statement: str) -> None:
        """What is done once the run at hand was checked."""
        self._then.append(statement)

    def kept(self, first: object) -> str:
        """A global variable of its own."""
        name = f"kept_{self.name()}"
        self.space[name] = first
        self._globals.append(name)
        return name

    def types(self, kinds: list[Told]) -> str:
        """An expression of these as `Types`."""
        name = self.name()
        self.space[name] = {each.path: each.kind for each in kinds if each.kind}
        called = [each.variable for each in kinds if each.variable]
        if not called:
            return name
        parts = [f"**{each.variable}" if each.variable else f"{each.path!a}: {each.kind!r}" for each in kinds]
        return f"{{{', '.join(parts)}}} if {' or '.join(called)} else {name}"

    def _end_literal(self) -> None:
        if self._literal:
            data, self._literal = self._literal, b""
            self._checks.append(f"{self.field(f'{len(data)}s')} == {data!r}")


class DocumentCode:
    """Writes what reads one document.

    known: of a document that was read before, and most of whose values this one probably has.
    """

    def __init__(self, code: Code, known: Known = _NOTHING) -> None:
        self._code = code
        self._fields: dict[str, str] = {}
        self._paths: set[str] = set()
        self._kinds: list[Told] = []
        self._before = known
        self._known: dict[str, tuple[str, ...]] = {}

    def write(self, at: int) -> tuple[Image, int]:
        """The document at this place of the example, and where it ends. Raises UnfitError."""
        json, end = self._document(at, "", 0)
        return Image(json, self._fields, self._kinds, self._known), end

    def _document(self, at: int, prefix: str, depth: int) -> tuple[str, int]:
        if depth > _DEEPEST:
            raise UnfitError
        code, pieces = self._code, []
        begin, size = code.mark(), code.field("I")
        end = at + uint32(code.raw, at)[0] - 1
        at += 4
        while at < end:
            kind = code.text[at]
            stop = code.text.index(_END, at + 1)
            name = code.text[at + 1 : stop]
            path = prefix + name
            if path in self._paths or "." in name:
                raise UnfitError
            self._paths.add(path)
            code.literal(code.raw[at : stop + 1])
            json, at = self._value(kind, stop + 1, path, depth)
            if not depth:
                self._fields[name] = json
            pieces.append(f"{literal(encode_basestring(name))}:{json}")
        code.literal(b"\0")
        code.check(f"{begin} + {size} == {{here}}")
        return f"{{{{{','.join(pieces)}}}}}", end + 1

    def _value(self, kind: str, at: int, path: str, depth: int) -> tuple[str, int]:
        code = self._code
        if kind == _DOCUMENT:
            return self._document(at, f"{path}.", depth + 1)
        if kind == _NULL:
            return "null", at
        if kind == _STRING:
            json = self._costly(path, kind, code.string(), "escape({0})")
            return f"{{{json}}}", at + 4 + uint32(code.raw, at)[0]
        if kind == _BINARY and code.raw.startswith(_UUID, at):
            code.literal(_UUID)
            return self._fixed(_UUID_VALUE, kind, path), at + 21
        fixed = _fixed(code.raw, kind, at)
        if fixed is not None:
            return self._fixed(fixed, kind, path), at + Struct(f"<{fixed.code}").size
        end = CONVERT[kind](code.raw, code.text, at, path, {}, None)[1]
        return self._by_call(kind, path), end

    def _fixed(self, fixed: _Fixed, kind: str, path: str) -> str:
        value = self._code.field(fixed.code)
        if fixed.kind is not None:
            self._kinds.append(Told(path, fixed.kind))
        if fixed.condition:
            self._code.check(fixed.condition.format(value))
        json = self._costly(path, kind, value, fixed.costly) if fixed.costly else fixed.json.format(value)
        return f"{_QUOTE}{{{json}}}{_QUOTE}" if fixed.kind in _QUOTED else f"{{{json}}}"

    def _costly(self, path: str, kind: str, value: str, expression: str) -> str:
        """A variable with the JSON of this value, made anew only where it differs from the known one."""
        json = self._code.name()
        made = expression.format(value)
        key = f"{kind}{path}"
        if key in self._before:
            known, known_json = self._before[key]
            nonzero = " != 0" if kind == _DOUBLE else ""  # zero has a sign
            made = f"{known_json} if {value} == {known}{nonzero} else {made}"
        self._known[key] = value, json
        self._code.then(f"{json} = {made}")
        return json

    def _by_call(self, kind: str, path: str) -> str:
        """Here stands a value that is converted by call. The newest one is remembered, since the next is often the
        same: that of an update's other image, an empty list."""
        code = self._code
        json, kinds = code.name(), code.name()
        key = f"{kind}{path}"
        kept = self._before.get(key) or (code.kept(_NEVER), code.kept(""), code.kept(_NO_KINDS))
        self._known[key] = kept
        kept_bson, kept_json, kept_kinds = kept
        code.end_run()
        code.lines += [
            f"if text.startswith({kept_bson}, at):",
            f"    at += len({kept_bson})",
            f"    {json}, {kinds} = {kept_json}, {kept_kinds}",
            "else:",
            "    begin = at",
            f"    {json}, at, {kinds} = converted({kind!a}, raw, text, at, {path!a})",
            f"    if at - begin < {_REMEMBERED}:",
            f"        {kept_bson}, {kept_json}, {kept_kinds} = text[begin:at], {json}, {kinds}",
        ]
        self._kinds.append(Told(path, "", kinds))
        return f"{{{json}}}"


def _fixed(raw: bytes, kind: str, at: int) -> _Fixed | None:
    """How to read values such as that at this place of the example, where they are of one size."""
    if kind == _INT64 and abs(int.from_bytes(raw[at : at + 8], "little", signed=True)) > SAFE:
        return _LARGE
    if kind == _DOUBLE and not math.isfinite(double(raw, at)[0]):
        return None
    return _FIXED.get(kind)


def _converted(kind: str, raw: bytes, text: str, at: int, path: str) -> tuple[str, int, Types]:
    """The JSON of a value of any type, where it ends, and the kinds in it."""
    kinds: Kinds = {}
    json, end = CONVERT[kind](raw, text, at, path, kinds, None)
    return json, end, {path: told for path, told in kinds.items() if told} if kinds else _NO_KINDS
