"""Which type's text becomes what JSON, and whole rows of it: the one place for the stream and the snapshot. (pure)

| type | JSON | kind |
|---|---|---|
| bool | true, false | |
| int2, int4, oid | number | |
| int8 | number; string beyond ±(2^53−1) | `int64` where a string |
| float4, float8 | number; "NaN", "Infinity", "-Infinity" | `float` where a string |
| numeric | string | `decimal` |
| json, jsonb | itself; a string if nested beyond `cdc.wire_text.JSON_DEPTH` | `json` where a string |
| date, time, timetz, timestamp, timestamptz | ISO 8601; infinities and BC as Postgres prints them | the type's name |
| interval, uuid | string (ISO 8601 duration) | the type's name |
| bytea | base64 | `bytes` |
| array | nested arrays | `<kind of the elements>[]` |
| domain | as its base type | |
| all others | string, as Postgres prints it | |

Built-in types are known by their OIDs (src/include/catalog/pg_type.dat), all others are described by `PgType`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum, auto
from functools import cache
from typing import Any, Final, Literal, NamedTuple, Protocol, TypeAlias

from cdc.errors import ProtocolError
from cdc.postgres import scalars
from cdc.postgres.arrays import array_encoder
from cdc.wire_text import JSON_SHORT, Marked, RowTypes, check_utf8, indent, json, json_name, literal, string

KeyDocTypes: TypeAlias = tuple[bytes, bytes, Mapping[str, str] | None]


@dataclass(frozen=True, slots=True)
class PgType:
    """A type that is not built in. base: OID of a domain's base type or of an array's elements, else 0."""

    oid: int
    kind: Literal["base", "domain", "enum", "array", "composite", "range"]
    name: str
    base: int = 0
    delimiter: str = ","


class Column(Protocol):
    """What a column needs to have here; `oid` is that of its type."""

    @property
    def name(self) -> str: ...

    @property
    def oid(self) -> int: ...


class Form(IntEnum):
    """What row code does itself for a type's usual values; it calls `Encoder.encode` for all others."""

    NONE = auto()
    TEXT = auto()
    NUMBER = auto()
    BOOLEAN = auto()
    INT8 = auto()
    FLOAT = auto()
    TIMESTAMP = auto()
    TIMESTAMPTZ = auto()
    JSON = auto()
    JSONB = auto()


class Inline(NamedTuple):
    """A form in generated code. json: a Python expression over `text` and `scalars`' names equal to `encode(text)` and
    unmarked, wherever the expression `guard` over `text` and its `size` holds (empty: everywhere); empty: there is
    none."""

    json: str = ""
    guard: str = ""


_INLINE: Final = {
    Form.NONE: Inline(),
    Form.TEXT: Inline("string(text)"),
    Form.NUMBER: Inline("text"),
    Form.BOOLEAN: Inline("BOOLEANS[text]"),
    Form.INT8: Inline("text", f"size < {scalars.INT8_SHORT}"),
    Form.FLOAT: Inline("text", 'text[-1] < ":"'),
    Form.TIMESTAMP: Inline(
        "f'\"{text[:10]}T{text[11:]}\"'", 'size > 18 and text[10] == " " and text[-1] < ":"'
    ),
    Form.TIMESTAMPTZ: Inline(
        "f'\"{text[:10]}T{text[11:-3]}Z\"'", 'size > 21 and text[10] == " " and text[-3:] == "+00"'
    ),
    Form.JSON: Inline(),
    # jsonb is printed on one line and never holds a lone surrogate.
    Form.JSONB: Inline("text", f"size < {JSON_SHORT}"),
}


@dataclass(frozen=True, slots=True)
class Encoder:
    """How one type's wire text becomes JSON text.

    encode: does it; raises ValueError or LookupError for a text not of the type.
    kind: what strings of this column mean; for the evaluator. `types` names it in every row, or, if `varying`,
        only where `encode` returns a `Marked`.
    """

    encode: Callable[[str], str]
    kind: str | None = None
    varying: bool = False
    form: Form = Form.NONE

    @property
    def inline(self) -> Inline:
        """Of its form."""
        return _INLINE[self.form]


def _string(kind: str | None = None) -> Encoder:
    return Encoder(string, kind, form=Form.TEXT)


_TEXT: Final = _string()
_NUMBER: Final = Encoder(str, form=Form.NUMBER)
_JSON: Final = Encoder(json, "json", varying=True, form=Form.JSON)
_FLOAT: Final = Encoder(scalars.floating, "float", varying=True, form=Form.FLOAT)

_SCALARS: Final[Mapping[int, Encoder]] = {
    16: Encoder(scalars.BOOLEANS.__getitem__, form=Form.BOOLEAN),
    17: Encoder(scalars.bytea, "bytes"),
    20: Encoder(scalars.int8, "int64", varying=True, form=Form.INT8),
    21: _NUMBER,
    22: _TEXT,  # int2vector, which the catalog calls an array but prints as one word after another
    23: _NUMBER,
    26: _NUMBER,
    30: _TEXT,  # oidvector
    114: _JSON,
    700: _FLOAT,
    701: _FLOAT,
    1082: _string("date"),
    1083: _string("time"),
    1114: Encoder(scalars.timestamp, "timestamp", form=Form.TIMESTAMP),
    1184: Encoder(scalars.timestamptz, "timestamptz", form=Form.TIMESTAMPTZ),
    1186: _string("interval"),
    1266: Encoder(scalars.timetz, "timetz"),
    1700: _string("decimal"),
    2950: _string("uuid"),
    3802: replace(_JSON, form=Form.JSONB),
}

_ARRAYS: Final[Mapping[int, int]] = {
    # array: element
    143: 142, 199: 114, 271: 5069, 629: 628, 651: 650, 719: 718, 775: 774, 791: 790, 1000: 16, 1001: 17,
    1002: 18, 1003: 19, 1005: 21, 1006: 22, 1007: 23, 1008: 24, 1009: 25, 1010: 27, 1011: 28, 1012: 29,
    1013: 30, 1014: 1042, 1015: 1043, 1016: 20, 1017: 600, 1018: 601, 1019: 602, 1020: 603, 1021: 700,
    1022: 701, 1027: 604, 1028: 26, 1034: 1033, 1040: 829, 1041: 869, 1115: 1114, 1182: 1082, 1183: 1083,
    1185: 1184, 1187: 1186, 1231: 1700, 1263: 2275, 1270: 1266, 1561: 1560, 1563: 1562, 2201: 1790,
    2207: 2202, 2208: 2203, 2209: 2204, 2210: 2205, 2211: 2206, 2949: 2970, 2951: 2950, 3221: 3220,
    3643: 3614, 3644: 3642, 3645: 3615, 3735: 3734, 3770: 3769, 3807: 3802, 3905: 3904, 3907: 3906,
    3909: 3908, 3911: 3910, 3913: 3912, 3927: 3926, 4073: 4072, 4090: 4089, 4097: 4096, 4192: 4191,
    5039: 5038, 6150: 4451, 6151: 4532, 6152: 4533, 6153: 4534, 6155: 4535, 6157: 4536,
}  # fmt: skip
_BOX: Final = 603  # the one built-in type whose arrays are delimited by a semicolon
_FIRST_FREE_OID: Final = 16384


def encoder_of(oid: int, types: Mapping[int, PgType]) -> Encoder:
    """How values of the type `oid` become JSON; what nobody knows is text."""
    if oid < _FIRST_FREE_OID and (oid in _SCALARS or oid in _ARRAYS):
        return _built_in(oid)
    given = types.get(oid)
    if given is None:
        return _TEXT
    if given.kind == "domain":
        return encoder_of(given.base, types)
    if given.kind == "array":
        return _array_of(encoder_of(given.base, types), given.delimiter)
    return _TEXT


@cache
def _built_in(oid: int) -> Encoder:
    element = _ARRAYS.get(oid)
    if element is None:
        return _SCALARS[oid]
    return _array_of(encoder_of(element, {}), ";" if element == _BOX else ",")


def _array_of(element: Encoder, delimiter: str) -> Encoder:
    kind = None if element.kind is None else f"{element.kind}[]"
    return Encoder(array_encoder(element.encode, delimiter), kind, element.varying)


def kind_of(oid: int, types: Mapping[int, PgType]) -> str | None:
    """What a string in a column of this type means (see the table above); None: text, or never a string."""
    return encoder_of(oid, types).kind


class RowShape:
    """A table's columns and key, and the pieces of generated code that turn a row's texts into JSON.

    Generated code never contains a name as such, only as a string literal with everything unusual escaped.
    """

    def __init__(self, columns: Sequence[Column], key: Sequence[str], types: Mapping[int, PgType]) -> None:
        self.names = tuple(column.name for column in columns)
        self.json_names = tuple(json_name(name) for name in self.names)
        self.encoders = tuple(encoder_of(column.oid, types) for column in columns)
        self.key = tuple(self.names.index(name) for name in key)
        self.types = RowTypes(
            (name, encoder.kind, encoder.varying)
            for name, encoder in zip(self.names, self.encoders, strict=True)
        )

    def namespace(self) -> dict[str, Any]:
        """The names that the pieces need."""
        encode = {f"encode{i}": encoder.encode for i, encoder in enumerate(self.encoders)}
        return {
            "string": string,
            "BOOLEANS": scalars.BOOLEANS,
            "Marked": Marked,
            "check_utf8": check_utf8,
            **encode,
        }

    def conversion(self, i: int, target: str) -> list[str]:
        """Statements: the local `text` of `size` bytes, a value of column i, to JSON in `target`, and its mark to
        `marked`."""
        encoder = self.encoders[i]
        call = [f"{target} = encode{i}(text)"]
        if encoder.varying:
            call += [f"if type({target}) is Marked:", f"    marked |= {1 << i}"]
        json, guard = encoder.inline
        if not json:
            return call
        inline = f"{target} = {json}"
        if not guard:
            return [inline]
        return [f"if {guard}:", f"    {inline}", "else:", *indent(1, call)]

    def doc(self, prefix: str) -> str:
        """The inside of an f-string: the whole row, column i from the local `prefix`i."""
        return self._object(range(len(self.names)), prefix)

    def key_doc(self, prefix: str) -> str:
        """The inside of an f-string: the key alone."""
        return self._object(self.key, prefix)

    def _object(self, places: Iterable[int], prefix: str) -> str:
        fields = (f"{literal(self.json_names[i])}:{{{prefix}{i}}}" for i in places)
        return f"{{{{{','.join(fields)}}}}}"


def compile_row(
    columns: Sequence[Column], key: Sequence[str], types: Mapping[int, PgType]
) -> Callable[[Sequence[bytes | None]], KeyDocTypes]:
    """The function from a row's values as Postgres prints them (None: NULL; one per column, in their order) to the
    JSON of its key, the JSON of the whole row, and the row's `types`, None where empty and never to be changed.

    It raises ProtocolError for a text that does not have its type's form.
    """
    shape = RowShape(columns, key, types)
    places = range(len(columns))
    lines = ["def row(values):", "    marked = 0", f"    [{', '.join(f'value{i}' for i in places)}] = values"]
    for i in places:
        lines += [
            f"    if value{i} is None:",
            f'        new{i} = "null"',
            "    else:",
            f'        text = str(value{i}, "latin-1")',
            "        size = len(text)",
            *indent(2, shape.conversion(i, f"new{i}")),
        ]
    lines += [
        f'    doc = f"{shape.doc("new")}"',
        "    if not doc.isascii():",
        "        check_utf8(doc)",
        f'    key = f"{shape.key_doc("new")}"',
        '    return key.encode("latin-1"), doc.encode("latin-1"), types[marked]',
    ]
    namespace = {**shape.namespace(), "types": shape.types}
    exec("\n".join(lines), namespace)
    row: Callable[[Sequence[bytes | None]], KeyDocTypes] = namespace["row"]

    def checked(values: Sequence[bytes | None]) -> KeyDocTypes:
        try:
            return row(values)
        except (LookupError, ValueError) as error:
            raise ProtocolError(f"a value does not have the form of its column's type: {error}") from error

    return checked
