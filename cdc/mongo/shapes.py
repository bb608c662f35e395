"""Documents by code that is generated per shape, which makes JSON of one in a few steps. (pure)

What the generated functions leave alone, `cdc.mongo.values.row` does, or refuses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from cdc.mongo.convert import MALFORMED
from cdc.mongo.documentcode import Code, DocumentCode, UnfitError
from cdc.mongo.values import Row, row

ShapeFunction: TypeAlias = Callable[[bytes, str, int], Row | None]

_KEPT: Final = 4
_UNKNOWN_PER_SHAPE: Final = (
    256  # documents of other shapes before one more is generated: that costs a millisecond
)


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
    code = Code(raw, text)
    try:
        image, _ = DocumentCode(code).write(at)
    except UnfitError:
        return None
    code.end_run()
    code.space["Row"] = Row
    return code.function("raw, text, at", f'Row(f"{image.json}", {code.types(image.kinds)})')
