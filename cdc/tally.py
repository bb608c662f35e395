"""Counts events by what they are. (pure)"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from cdc import kernel
from cdc.event import Record

Tally: TypeAlias = Callable[[Sequence[Record]], Mapping[tuple[str, int], int]]
"""Of records, how many there are by (collection, ASCII of the op; 0: a tombstone)."""

_OP: Final = b'},"op":"'  # closes the envelope's `source`; nothing that comes after can look the same
_OP_AT: Final = len(_OP)


def python_tally(records: Sequence[Record]) -> Mapping[tuple[str, int], int]:
    """A `Tally`."""
    return Counter(
        (name, 0 if value is None else value[value.rfind(_OP) + _OP_AT]) for name, _, value in records
    )


_compiled = kernel.load("tally")
tally: Tally = python_tally if _compiled is None else _compiled.tally
