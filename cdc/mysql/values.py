"""Rows that a SELECT gives, to the same JSON as the binlog's. (pure)

What each type looks like is told in `forms`. The session has time_zone '+00:00' and character set utf8mb4, and its
values come as the bytes of the text protocol. Columns whose text would lose something are selected in another shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from cdc.errors import ProtocolError
from cdc.mysql import scalars, temporal
from cdc.mysql.charsets import decoder, extends_ascii
from cdc.mysql.forms import SAFE_BITS, Form, is_varying, row_types
from cdc.mysql.scalars import repaired
from cdc.mysql.table import Column, Table
from cdc.mysql.target import identifier
from cdc.wire_text import Marked, indent, json_name, literal, string, wire_text

KeyDocTypes: TypeAlias = tuple[bytes, bytes, Mapping[str, str] | None]
RowFunction: TypeAlias = Callable[[Sequence[bytes | None]], KeyDocTypes]
Convert: TypeAlias = Callable[[bytes], str]
"""The bytes of a value that is not NULL to JSON, as wire text."""

_FORMS: Final[Mapping[str, Form]] = {
    **dict.fromkeys(("tinyint", "smallint", "mediumint", "int", "year"), "integer"),
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"), "text"),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), "bytes"),
    **dict.fromkeys(
        (
            "geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
            "geomcollection", "geometrycollection",
        ),
        "geometry",
    ),
    **dict.fromkeys(("inet4", "inet6"), "text"),
    "bigint": "bigint", "float": "float", "double": "double", "decimal": "decimal", "date": "date",
    "datetime": "datetime", "timestamp": "timestamp", "time": "time", "json": "json", "uuid": "uuid",
    "vector": "vector",
}  # fmt: skip
_TRUTHS: Final = {"0": "false", "1": "true"}
_SHORT_INTEGER: Final = 16  # digits, below which every integer is exact everywhere


def form_of(column: Column) -> Form:
    """Raises ProtocolError for a type that is not known here."""
    if column.hint in ("boolean", "json"):
        return column.hint
    if column.data_type == "bit":
        bits = _bits(column)
        return "boolean" if bits == 1 else "integer" if bits <= SAFE_BITS else "bigint"
    form = _FORMS.get(column.data_type)
    if form is None:
        raise ProtocolError(
            f"the column {column.name} has the type {column.column_type}, which is not known here"
        )
    return form


def select_list(table: Table) -> str:
    """The expressions of a SELECT whose values `compile_row` takes, one for each column, in their order."""
    return ", ".join(_selected(column) for column in table.columns)


def compile_row(table: Table) -> RowFunction:
    """The function from the values of `select_list` (None: NULL) to the JSON of the row's key, the JSON of the row, and
    its `types`, None where empty and never to be changed.

    It raises ProtocolError for a value that does not have its type's form; so does this for a type that is not known.
    """
    places = range(len(table.columns))
    names = [column.name for column in table.columns]
    forms = [form_of(column) for column in table.columns]
    lines = ["def row(values):", "    marked = 0", f"    [{', '.join(f'value{i}' for i in places)}] = values"]
    for i, form in enumerate(forms):
        lines += [
            f"    if value{i} is None:",
            f'        new{i} = "null"',
            "    else:",
            f"        new{i} = convert{i}(value{i})",
        ]
        if is_varying(form):
            lines += [f"        if type(new{i}) is Marked:", f"            marked |= {1 << i}"]
    lines += indent(
        1,
        [
            f'doc = f"{_object(names, names)}"',
            f'key = f"{_object(names, table.key)}"',
            "if not doc.isascii():",
            "    doc = repaired(doc)",
            "    key = repaired(key)",
            'return key.encode("latin-1"), doc.encode("latin-1"), types[marked]',
        ],
    )
    namespace: dict[str, Any] = {
        "Marked": Marked,
        "repaired": repaired,
        "types": row_types(zip(names, forms, strict=True)),
        **{f"convert{i}": _convert(column, forms[i]) for i, column in enumerate(table.columns)},
    }
    exec("\n".join(lines), namespace)
    row: RowFunction = namespace["row"]

    def checked(values: Sequence[bytes | None]) -> KeyDocTypes:
        try:
            return row(values)
        except (LookupError, ValueError) as error:
            raise ProtocolError(
                f"{table.schema}.{table.name}: a value does not have the form of its column's type: {error}"
            ) from error

    return checked


def _object(names: Sequence[str], chosen: Sequence[str]) -> str:
    """The inside of an f-string: these columns as a JSON object."""
    fields = (f"{literal(json_name(name))}:{{new{names.index(name)}}}" for name in chosen)
    return f"{{{{{','.join(fields)}}}}}"


def _selected(column: Column) -> str:
    name = identifier(column.name)
    if column.data_type == "float" or (column.data_type == "double" and "(" in column.column_type):
        return f"{name} * 1e0"  # as it is, a FLOAT shows six digits, and FLOAT(7,3) three behind the point
    if column.data_type == "inet6" or column.charset not in (None, "utf8mb4"):
        return f"CAST({name} AS BINARY)"  # decoded here, as those of the binlog are
    return name


def _convert(column: Column, form: Form) -> Convert:
    if column.data_type == "bit":
        return _bit(form)
    if column.data_type == "inet6":
        return scalars.inet6
    if form == "text" and column.charset is not None:
        return _text(column.charset, string)
    if form == "json":
        return _text(column.charset or "utf8mb4", scalars.document)
    if column.data_type == "year" or "zerofill" in column.column_type:
        return _ZEROFILLED[form]
    return _CONVERT[form]


def _bit(form: Form) -> Convert:
    if form == "boolean":
        return lambda value: scalars.BOOLEANS[int.from_bytes(value)]
    return lambda value: scalars.integer(int.from_bytes(value))


def _text(charset: str, to_json: Callable[[str], str]) -> Convert:
    """to_json: takes wire text."""
    if charset == "utf8mb4":
        return lambda value: to_json(str(value, "latin-1"))
    decode = decoder(charset)
    if extends_ascii(charset):
        return lambda value: to_json(str(value, "latin-1") if value.isascii() else wire_text(decode(value)))
    return lambda value: to_json(wire_text(decode(value)))


def _quoted(value: bytes) -> str:
    return f'"{value.decode()}"'


def _bigint(value: bytes) -> str:
    return value.decode() if len(value) < _SHORT_INTEGER else scalars.integer(int(value))


def _boolean(value: bytes) -> str:
    text = value.decode()
    return _TRUTHS.get(text, text)


def _decimal_zerofilled(value: bytes) -> str:
    text = value.decode().lstrip("0")
    return f'"{text if text[:1].isdigit() else "0" + text}"'


_CONVERT: Final[Mapping[Form, Convert]] = {
    "integer": bytes.decode,
    "bigint": _bigint,
    "boolean": _boolean,
    "float": lambda value: scalars.float32(float(value)),
    "double": lambda value: scalars.float64(float(value)),
    "decimal": _quoted,
    "date": _quoted,
    "datetime": lambda value: temporal.printed_datetime(value.decode()),
    "timestamp": lambda value: temporal.printed_timestamp(value.decode()),
    "time": lambda value: temporal.printed_time(value.decode()),
    "text": _quoted,
    "bytes": scalars.base64,
    "uuid": _quoted,
    "vector": scalars.vector,
    "geometry": scalars.geometry,
}
_ZEROFILLED: Final[Mapping[Form, Convert]] = {
    **_CONVERT,
    "integer": lambda value: str(int(value)),
    "bigint": lambda value: scalars.integer(int(value)),
    "decimal": _decimal_zerofilled,
}


def _bits(column: Column) -> int:
    """Of `bit(n)`."""
    return int(column.column_type[4:-1])
