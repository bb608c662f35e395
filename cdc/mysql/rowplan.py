"""What the kernel is told of a table, so that it can read its rows. (pure)"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from cdc.mysql.imagecode import ImageCode
from cdc.mysql.readings import NAMES, Reading
from cdc.mysql.rowcode import readings_of, types_of
from cdc.mysql.table import Hint
from cdc.mysql.tablemap import TableMap
from cdc.mysql.ways import Way
from cdc.wire_text import RowTypes, indent, json_name

_PARTLY: Final = (Way.CALL, Way.ASCII, Way.BYTES, Way.DOCUMENT)

Convert: TypeAlias = Callable[[bytes], tuple[str, int]]
"""All bytes of a value, its size before it included, to its JSON as wire text, and `1 << i` if the value is marked."""


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """name: as JSON; way, detail, labels: see `Reading`. width: bytes of the value, or of its size if it is sized.
    convert: for those ways that do not do every value, else None."""

    name: bytes
    nullable: bool
    way: Way
    detail: int
    labels: tuple[bytes, ...]
    width: int
    sized: bool
    convert: Convert | None


@dataclass(frozen=True, slots=True)
class RowPlan:
    """key: as in `TableMap`; types: by the marks of a row."""

    columns: tuple[ColumnPlan, ...]
    key: tuple[int, ...]
    types: RowTypes


def plan_rows(table: TableMap, hints: Mapping[str, Hint]) -> RowPlan:
    """Raises ProtocolError as `compile_rows` does."""
    readings = readings_of(table, hints)
    code = ImageCode(table, readings, varying=True)
    columns = [
        ColumnPlan(
            json_name(column.name or "").encode("latin-1"),
            column.nullable,
            reading.way,
            reading.detail,
            tuple(label.encode("latin-1") for label in reading.labels),
            reading.width,
            bool(reading.size),
            _converter(code, reading, i) if reading.way in _PARTLY else None,
        )
        for i, (column, reading) in enumerate(zip(table.columns, readings, strict=True))
    ]
    return RowPlan(tuple(columns), table.key, types_of(table, readings))


def _converter(code: ImageCode, reading: Reading, i: int) -> Convert:
    """A function of the code that reads the column in Python."""
    lines = [
        "def convert(body):",
        "    at = marked = 0",
        '    text = str(body, "latin-1")',
        *indent(1, code.column(i)),
        f"    return str(new{i}), marked",
    ]
    namespace: dict[str, Any] = {**NAMES, **code.structs, **(reading.names or {})}
    exec("\n".join(lines), namespace)
    convert: Convert = namespace["convert"]
    return convert
