"""One setting of the C library's allocator."""

from __future__ import annotations

import ctypes
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_TOP_PAD = -1, -2


def keep_heap() -> None:
    """Keep glibc from giving the heap back after every batch and faulting it in again, which costs a third of a
    tailer's speed. Does nothing where there is no mallopt."""
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_TRIM_THRESHOLD, 256 << 20)
        mallopt(_M_TOP_PAD, 64 << 20)
