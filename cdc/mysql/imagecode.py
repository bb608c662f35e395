"""The code that reads one image of a row: pieces for `rowcode`. (pure)

A row without NULLs is read by whole runs of columns, any other column by column. A length is not checked before its
bytes are cut: that they were too few shows at the end of the row, as the place then lies beyond the event's end.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from cdc.mysql import column_types as types
from cdc.mysql.readings import Reading
from cdc.mysql.tablemap import TableMap
from cdc.wire_text import indent

_PARTIAL_JSON: Final = 1
_DEAR: Final = frozenset(
    {"decimal", "datetime", "timestamp", "time", "float", "double", "json", "geometry", "vector"}
)


class ImageCode:
    """For one table. structs: what the pieces need, by name; it grows as they are made."""

    def __init__(self, table: TableMap, readings: Sequence[Reading], varying: bool) -> None:
        self._readings = readings
        self._count = len(readings)
        self.null_bytes = (self._count + 7) // 8
        self.all = (1 << self._count) - 1
        self._varying = varying
        self._nullable = sum(1 << i for i, column in enumerate(table.columns) if column.nullable)
        self._documents = [i for i, column in enumerate(table.columns) if column.type == types.JSON]
        self._dear = frozenset(i for i, reading in enumerate(readings) if _is_dear(reading))
        self.structs: dict[str, Any] = {}

    def lines(self, *, partial: bool = False, keep: bool = False, compare: bool = False) -> list[str]:
        """Statements that read one image at `at`, column i as JSON into the local `new`i.

        partial: documents may be diffs to those of the image before, `before`i.
        keep: leave what `compare` needs. compare: an image was read with `keep`; what is dear to convert and did not
            change is taken from it.
        """
        how = _How(partial, keep, compare)
        size = self.null_bytes
        everything = range(self._count)
        nulls = "body[at]" if size == 1 else f'from_bytes(body[at:at + {size}], "little")'
        lines = ["marked = 0"] if self._varying else []
        if partial:
            lines += self._options()
        return [
            *lines,
            f"nulls = {nulls} & {self.all}",
            f"at += {size}",
            "if not nulls:",
            *indent(1, self._columns(everything, how)),
            "else:",
            *indent(1, self._columns_with_nulls(how)),
            "if at > end:",
            "    raise overrun(at, end)",
        ]

    def _options(self) -> list[str]:
        """Statements that read, into the bits of `partial`, which documents are diffs."""
        size = (len(self._documents) + 7) // 8
        return [
            "options, at = packed(body, at)",
            "partial = 0",
            f"if options & {_PARTIAL_JSON}:",
            f'    partial = from_bytes(body[at:at + {size}], "little")',
            f"    at += {size}",
        ]

    def column(self, i: int) -> list[str]:
        """Statements that read column i alone, which is not NULL."""
        return self._columns([i], _How(partial=False, keep=False, compare=False))

    def kept_documents(self) -> list[str]:
        """Statements that leave what an image with `partial` needs."""
        return [f"before{i} = new{i}" for i in self._documents]

    def _columns_with_nulls(self, how: _How) -> list[str]:
        lines = []
        required = self.all & ~self._nullable
        if required:
            lines += [
                f"if nulls & {required}:",
                '    raise ValueError("NULL in a column that is NOT NULL")',
            ]
        run: list[int] = []
        for i in range(self._count):
            if self._nullable >> i & 1:
                lines += [
                    *self._columns(run, how),
                    f"if nulls & {1 << i}:",
                    f'    new{i} = "null"',
                    *([f"    raw{i} = None"] if how.keep and i in self._dear else []),
                    "else:",
                    *indent(1, self._columns([i], how)),
                ]
                run = []
            else:
                run.append(i)
        return [*lines, *self._columns(run, how)]

    def _columns(self, columns: Sequence[int], how: _How) -> list[str]:
        """Statements that read these columns, none of which is NULL: as much at once as has a fixed place."""
        lines: list[str] = []
        run: list[int] = []
        for i in columns:
            run.append(i)
            if self._readings[i].size or i == columns[-1]:
                lines += self._run(run, how)
                run = []
        return lines

    def _run(self, run: list[int], how: _How) -> list[str]:
        """Columns of fixed size, the last of which may end in one of any size."""
        readings = [self._readings[i] for i in run]
        formats = [code for reading in readings for _, code in reading.fixed]
        targets = [target for reading in readings for target, _ in reading.fixed]
        if formats == ["B"]:
            lines = [f"{targets[0]} = body[at]", "at += 1"]
        else:
            lines = [
                f"[{', '.join(targets)}] = {self._struct(''.join(formats))}(body, at)",
                f"at += {sum(reading.width for reading in readings)}",
            ]
        last = readings[-1]
        for i in run if not last.size else run[:-1]:
            lines += self._conversion(i, f"new{i}", how)
        if not last.size:
            return lines
        i = run[-1]
        convert = self._conversion(i, "body[at:stop]", how)
        if how.partial and i in self._documents:
            bit = 1 << self._documents.index(i)
            diff = f"new{i} = apply(before{i}, body[at:stop])"
            convert = [f"if partial & {bit}:", f"    {diff}", "else:", *indent(1, convert)]
        return [*lines, f"stop = at + ({last.size})", *convert, "at = stop"]

    def _conversion(self, i: int, raw: str, how: _How) -> list[str]:
        """Statements that make JSON of column i. raw: the expression of its bytes, or of what was read of them."""
        convert = [*self._readings[i].convert]
        if i not in self._dear:
            return convert
        if how.compare:
            same = f"{raw} == raw{i} != 0"  # 0.0 is -0.0
            return [f"if {same}:", f"    new{i} = kept{i}", "else:", *indent(1, convert)]
        return [f"raw{i} = {raw}", *convert, f"kept{i} = new{i}"] if how.keep else convert

    def _struct(self, formats: str) -> str:
        name = f"read_{formats}"
        self.structs[name] = struct.Struct("<" + formats).unpack_from
        return name


class _How(NamedTuple):
    partial: bool
    keep: bool
    compare: bool


def _is_dear(reading: Reading) -> bool:
    """Whether converting costs more than comparing; a mark would be lost."""
    return reading.form in _DEAR and not any("marked" in line for line in reading.convert)
