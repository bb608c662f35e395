"""When to write: evenly, and no more than there is to catch up."""

from __future__ import annotations

import time
from collections.abc import Iterator


def due(rate: float, seconds: float) -> Iterator[int]:
    """How many rows to write now, until the time is over; sleeps between."""
    written, begun = 0, time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        rows = int(passed * rate) + 1 - written
        if rows > 0:
            yield rows
            written += rows
        else:
            time.sleep(max(0.0, begun + written / rate - time.monotonic()))
