"""The oracle's tables, as far as they are the same on every database. (pure)

Every row image carries a `version`, so that (key, version) names one image of one row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

Row = dict[str, Any]
Key = tuple[Any, ...]

KINDS: Final = {"price": "decimal", "at": "timestamptz"}
"""The columns whose kind JSON cannot tell, apart from keys."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table (or collection) of the workload.

    key: its primary-key fields; draw: a random key, as a client writes it in `where`; types: path → kind, as the
    events would have it.
    """

    name: str
    key: tuple[str, ...]
    draw: Callable[[Random], Row]
    types: Mapping[str, str]

    def find(self, row: Row) -> Key:
        """A row's primary key, hashable."""
        return tuple(_hashable(row[field]) for field in self.key)


def _hashable(value: Any) -> Any:
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else value
