"""Tells how tailers catch up: on a terminal in a line that changes, else in the log now and then."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from cdc.catching_up import CatchingUp
from cdc.health import Health
from cdc.log_output import terminal

_LOOK_S: Final = 1.0
_LOG_EVERY_S: Final = 30.0
_log = logging.getLogger(__name__)


async def tell_progress(health: Health) -> None:
    """Until cancelled."""
    catching_up, screen = CatchingUp(), terminal()
    due: dict[str, float] = {}
    try:
        while True:
            await asyncio.sleep(_LOOK_S)
            now = time.time()
            told = catching_up.look(health.sources, now)
            if screen is not None:
                screen.show("; ".join(f"{alias}: {text}" for alias, text in told.items() if text))
            for alias, text in told.items():
                if not text:
                    due.pop(alias, None)
                    _log.info("%s: has caught up", alias)
                elif screen is None and now >= due.get(alias, 0.0):
                    due[alias] = now + _LOG_EVERY_S
                    _log.info("%s: catching up, %s", alias, text)
    finally:
        if screen is not None:
            screen.show("")
