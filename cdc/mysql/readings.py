"""How each type of column is read from a row of the binlog: pieces of generated code. (pure)

Formats: mysql-server's sql/log_event.cc (log_event_print_value) and sql/field.cc (pack).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from struct import calcsize
from typing import Any, Final

from cdc.mysql import column_types as types
from cdc.mysql import documents, scalars, temporal, temporal_old
from cdc.mysql.charsets import BINARY, UTF8, charset_of, decoder, extends_ascii
from cdc.mysql.forms import SAFE_BITS, SAFE_INTEGER, Form
from cdc.mysql.table import Hint
from cdc.mysql.tablemap import MapColumn
from cdc.mysql.ways import Way
from cdc.wire_text import Marked, string, wire_text

_INTEGERS: Final[Mapping[int, str]] = {
    types.TINY: "b",
    types.SHORT: "h",
    types.LONG: "i",
    types.LONGLONG: "q",
}
_LENGTHS: Final[Mapping[int, str]] = {1: "B", 2: "H", 3: "HB", 4: "I"}
_DIGITS: Final = 9  # that four bytes of a decimal hold
_DIGIT_BYTES: Final = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
_KEPT_SETS: Final = 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """How column i gets from the event into the local `new`i, as JSON.

    fixed: formats (struct, little-endian) of what is read first, by the local that it goes to.
    size: the local that has the size of what follows, if anything does; it stands in `body[at:stop]` and, as wire
        text, in `text[at:stop]`.
    convert: statements, after which `new`i is JSON; they may mark the column by `marked |= mark`i.
    names: what the statements need.
    way, detail: what the kernel does in place of all that, see `Way`. labels: of `Way.LABEL`, their JSON by number.
    """

    form: Form
    fixed: tuple[tuple[str, str], ...]
    convert: tuple[str, ...] = ()
    size: str = ""
    names: Mapping[str, Any] | None = None
    way: Way = Way.CALL
    detail: int = 0
    labels: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Bytes that are read first."""
        return calcsize("<" + "".join(code for _, code in self.fixed))


NAMES: Final[Mapping[str, Any]] = {
    "BOOLEANS": scalars.BOOLEANS,
    "Marked": Marked,
    "base64": scalars.base64,
    "dates": temporal.dates,
    "decompress": scalars.decompress,
    "document": scalars.document,
    "from_bytes": int.from_bytes,
    "string": string,
    "wire_text": wire_text,
}
"""What all readings may need."""


def reading_of(column: MapColumn, hint: Hint | None, i: int) -> Reading:
    """Raises LookupError or ValueError for a column that cannot be read."""
    new = f"new{i}"
    kind = column.type
    if kind in _INTEGERS or kind in (types.INT24, types.YEAR):
        return _integer(column, hint, i, new)
    if kind in (types.FLOAT, types.DOUBLE):
        if column.metadata == 4:
            return _call("float", ((new, "f"),), scalars.float32, i, Way.FLOAT)
        return _call("double", ((new, "d"),), scalars.float64, i, Way.DOUBLE)
    if kind == types.NEWDECIMAL:
        return _decimal(column.metadata >> 8, column.metadata & 0xFF, new)
    if kind == types.BIT:
        return _bit(column.metadata, i, new)
    if kind in (types.ENUM, types.SET):
        return _labels(column, i, new)
    if kind in (types.DATE, types.DATETIME2, types.TIMESTAMP2, types.TIME2):
        return _temporal(column, i, new)
    if kind in (types.DATETIME, types.TIMESTAMP, types.TIME):
        form, size, function = temporal_old.reading(kind, hint)
        return _call(form, ((new, f"{size}s"),), function, i)
    if kind == types.JSON:
        return _sized_call("json", column.metadata, i, documents.text_of, Way.JSON)
    if kind == types.GEOMETRY:
        return _sized_call("geometry", column.metadata, i, scalars.geometry)
    if kind == types.VECTOR:
        return _sized_call("vector", column.metadata, i, scalars.vector)
    return _string(column, hint, i, new)


def _call(
    form: Form,
    fixed: tuple[tuple[str, str], ...],
    function: Any,
    i: int,
    way: Way = Way.CALL,
    detail: int = 0,
) -> Reading:
    convert = (f"new{i} = convert{i}(new{i})",)
    return Reading(form, fixed, convert, names={f"convert{i}": function}, way=way, detail=detail)


def _integer(column: MapColumn, hint: Hint | None, i: int, new: str) -> Reading:
    if column.type == types.YEAR:
        return Reading("integer", ((new, "B"),), (f"if {new}:", f"    {new} += 1900"), way=Way.YEAR)
    unsigned = int(column.unsigned)
    if column.type == types.INT24:
        high = "B" if column.unsigned else "b"
        halves = ((new, "H"), (f"high{i}", high))
        return Reading("integer", halves, (f"{new} |= high{i} << 16",), way=Way.INTEGER, detail=unsigned)
    code = _INTEGERS[column.type]
    fixed = ((new, code.upper() if column.unsigned else code),)
    if column.type == types.LONGLONG:
        return Reading("bigint", fixed, _safe(i, new), way=Way.BIGINT, detail=unsigned)
    if hint == "boolean":
        convert = (f"{new} = BOOLEANS.get({new}, {new})",)
        return Reading("boolean", fixed, convert, way=Way.BOOLEAN, detail=unsigned)
    return Reading("integer", fixed, way=Way.INTEGER, detail=unsigned)


def _safe(i: int, new: str) -> tuple[str, ...]:
    return (
        f"if not -{SAFE_INTEGER} <= {new} <= {SAFE_INTEGER}:",
        f"    {new} = f'\"{{{new}}}\"'",
        f"    marked |= {1 << i}",
    )


def _decimal(precision: int, scale: int, new: str) -> Reading:
    """The digits before the point and those after it in groups of nine from the point on, four bytes a group; the
    first and the last group may be shorter. The uppermost bit is that of the sign, upside down; negative ones have all
    other bits upside down."""
    if not 0 < precision <= 65 or scale > precision:
        raise ValueError(f"a DECIMAL({precision},{scale})")
    whole, part = divmod(precision - scale, _DIGITS)
    groups = [part] * (part > 0) + [_DIGITS] * whole
    before = len(groups)
    whole, part = divmod(scale, _DIGITS)
    groups += [_DIGITS] * whole + [part] * (part > 0)
    bits = 8 * sum(_DIGIT_BYTES[digits] for digits in groups)
    shift = bits
    values = []
    for digits in groups:
        width = 8 * _DIGIT_BYTES[digits]
        shift -= width
        values.append((f"({new} >> {shift} & {(1 << width) - 1})", digits))
    digits_before, digits_after = _joined(values[:before]), _joined(values[before:])
    number = f"{{{digits_before}}}" + (f".{{{digits_after}:0{scale}}}" if scale else "")
    top = 1 << bits - 1
    return Reading(
        "decimal",
        ((new, f"{bits // 8}s"),),
        (
            f"{new} = from_bytes({new})",
            f"if {new} >= {top}:",
            f"    {new} -= {top}",
            f"    {new} = f'\"{number}\"'",
            "else:",
            f"    {new} ^= {top - 1}",
            f"    {new} = f'\"-{number}\"'",
        ),
        way=Way.DECIMAL,
        detail=precision << 8 | scale,
    )


def _joined(values: list[tuple[str, int]]) -> str:
    """One number of several groups of digits."""
    text = "0"
    for value, digits in values:
        text = value if text == "0" else f"({text} * {10**digits} + {value})"
    return text


def _bit(bits: int, i: int, new: str) -> Reading:
    fixed = ((new, f"{(bits + 7) // 8}s"),)
    number = f"{new} = from_bytes({new})"
    if bits == 1:
        return Reading("boolean", fixed, (f"{new} = BOOLEANS[from_bytes({new})]",), way=Way.FLAG)
    if bits <= SAFE_BITS:
        return Reading("integer", fixed, (number,))
    return Reading("bigint", fixed, (number, *_safe(i, new)))


def _labels(column: MapColumn, i: int, new: str) -> Reading:
    labels = [wire_text(label) for label in column.labels]
    if column.type == types.ENUM:
        texts = tuple(string(label) for label in ("", *labels))
        fixed = ((new, {1: "B", 2: "H"}[column.metadata]),)
        convert = (f"{new} = labels{i}[{new}]",)
        return Reading("text", fixed, convert, names={f"labels{i}": texts}, way=Way.LABEL, labels=texts)
    fixed = ((new, f"{column.metadata}s"),)
    convert = (f'{new} = labels{i}[from_bytes({new}, "little")]',)
    return Reading("text", fixed, convert, names={f"labels{i}": _Sets(labels)})


class _Sets(dict[int, str]):
    """The JSON of a SET by its bits."""

    def __init__(self, labels: list[str]) -> None:
        super().__init__()
        self._labels = labels

    def __missing__(self, bits: int) -> str:
        if bits >> len(self._labels):
            raise ValueError(f"a SET of {len(self._labels)} labels has others: {bits:b}")
        text = string(",".join(label for i, label in enumerate(self._labels) if bits >> i & 1))
        if len(self) < _KEPT_SETS:
            self[bits] = text
        return text


def _temporal(column: MapColumn, i: int, new: str) -> Reading:
    if column.type == types.DATE:
        fixed = ((new, "H"), (f"high{i}", "B"))
        return Reading("date", fixed, (f"{new} = dates[{new} | high{i} << 16]",), way=Way.DATE)
    if column.metadata > 6:
        raise ValueError(f"a time of {column.metadata} fraction digits")
    extra = temporal.fraction_size(column.metadata)
    if column.type == types.DATETIME2:
        return _call("datetime", ((new, f"{5 + extra}s"),), temporal.datetime2, i, Way.DATETIME, extra)
    if column.type == types.TIMESTAMP2:
        return _call("timestamp", ((new, f"{4 + extra}s"),), temporal.timestamp2, i, Way.TIMESTAMP, extra)
    return _call("time", ((new, f"{3 + extra}s"),), temporal.time2, i, Way.TIME, extra)


def _string(column: MapColumn, hint: Hint | None, i: int, new: str) -> Reading:
    """CHAR, VARCHAR, TEXT and their binary twins, and what travels as one of them."""
    kind = column.type
    compressed = kind in (types.BLOB_COMPRESSED, types.VARCHAR_COMPRESSED)
    length = 1 if column.metadata < 256 else 2
    if kind in (types.BLOB, types.BLOB_COMPRESSED):
        length = column.metadata
    data = "decompress(body[at:stop])" if compressed else "body[at:stop]"
    if hint == "uuid":
        return _sized_call("uuid", length, i, scalars.uuid)
    if hint == "inet4":
        return _sized_call("text", length, i, scalars.inet4)
    if hint == "inet6":
        return _sized_call("text", length, i, scalars.inet6)
    if hint == "vector":
        return _sized_call("vector", length, i, scalars.vector)
    if column.collation == BINARY:
        padded = column.metadata if kind == types.STRING else 0
        value = f"{data}.ljust({padded}, b'\\0')" if padded else data
        way = Way.CALL if compressed else Way.BYTES
        return _sized("bytes", length, i, (f"{new} = base64({value})",), way=way, detail=padded)
    charset = charset_of(column.collation)
    way = Way.CALL if compressed or not extends_ascii(charset) else Way.ASCII
    if charset in UTF8:
        way = Way.CALL if compressed else Way.TEXT
        text: tuple[str, ...] = (
            (f"{new} = str({data}, 'latin-1')",) if compressed else (f"{new} = text[at:stop]",)
        )
    elif compressed or not extends_ascii(charset):
        text = (f"{new} = wire_text(decode{i}({data}))",)
    else:
        text = (
            f"{new} = text[at:stop]",
            f"if not {new}.isascii():",
            f"    {new} = wire_text(decode{i}(body[at:stop]))",
        )
    names = {f"decode{i}": decoder(charset)}
    if hint == "json":
        mark = (f"if type({new}) is Marked:", f"    marked |= {1 << i}")
        way = Way.DOCUMENT if way == Way.TEXT else Way.CALL
        return _sized("json", length, i, (*text, f"{new} = document({new})", *mark), names, way)
    if len(text) == 1:
        expression = text[0].removeprefix(f"{new} = ")
        return _sized("text", length, i, (f"{new} = string({expression})",), names, way)
    return _sized("text", length, i, (*text, f"{new} = string({new})"), names, way)


def _sized_call(
    form: Form, length: int, i: int, function: Callable[[bytes], str], way: Way = Way.CALL
) -> Reading:
    names = {f"convert{i}": function}
    return _sized(form, length, i, (f"new{i} = convert{i}(body[at:stop])",), names, way)


def _sized(
    form: Form,
    length: int,
    i: int,
    convert: tuple[str, ...],
    names: Mapping[str, Any] | None = None,
    way: Way = Way.CALL,
    detail: int = 0,
) -> Reading:
    """A value behind its size of so many bytes."""
    size = f"size{i}"
    fixed = tuple(zip((size, f"high{i}"), _LENGTHS[length], strict=False))
    return Reading(
        form, fixed, convert, f"{size} | high{i} << 16" if length == 3 else size, names, way, detail
    )
