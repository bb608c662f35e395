"""A log that cannot be read is asked again: a broker that restarts is no reason for all clients to start over."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from cdc.errors import LogError

log = logging.getLogger(__name__)

ATTEMPTS: Final = 10
_FIRST_SECONDS: Final = 0.2
_MOST_SECONDS: Final = 5.0

Result = TypeVar("Result")


async def patiently(
    database: str,
    attempt: Callable[[], Awaitable[Result]],
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Result:
    """What the first attempt that does not fail gives. Raises LogError: that of the last of `ATTEMPTS`, which is some
    25 seconds after the first one, and what the attempts take. pause: waits so many seconds."""
    delay = _FIRST_SECONDS
    for _ in range(ATTEMPTS - 1):
        try:
            return await attempt()
        except LogError as error:
            log.warning("%s: a cursor waits for the event log: %s", database, error)
        await pause(random.uniform(delay / 2, delay))
        delay = min(2 * delay, _MOST_SECONDS)
    return await attempt()
