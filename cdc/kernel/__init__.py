"""The compiled halves of the hottest loops; each has a pure twin that is its reference and stands in where it is not
built: without a C compiler, or where LIVETAIL_KERNEL is `off`."""

from __future__ import annotations

import importlib
import os
from types import ModuleType

SWITCH = "LIVETAIL_KERNEL"
PARTS = ("pgoutput", "tally", "binary_json", "binlog", "bson", "changes", "reply")
"""What `load` can be asked for."""


def load(name: str) -> ModuleType | None:
    """The kernel's part of this name; None: use its twin."""
    if os.environ.get(SWITCH) == "off":
        return None
    try:
        return importlib.import_module(f"cdc.kernel.{name}")
    except ImportError:
        return None


def describe() -> str:
    """For people: whether the kernel is used."""
    if os.environ.get(SWITCH) == "off":
        return f"off ({SWITCH})"
    missing = [name for name in PARTS if load(name) is None]
    return f"not built: {', '.join(missing)}" if missing else "compiled"
