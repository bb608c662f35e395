"""MySQL's binary JSON to text, by the kernel where it is built. (pure)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cdc import kernel
from cdc.mysql import binary_json

_compiled = kernel.load("binary_json")

text_of: Final[Callable[[bytes], str]] = binary_json.text_of if _compiled is None else _compiled.text_of
"""See `binary_json.text_of`."""
