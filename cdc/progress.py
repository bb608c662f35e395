"""Tells what takes long, catching up and snapshots: in one line of a terminal, else in the log now and then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from cdc.catching_up import CatchingUp
from cdc.health import Health
from cdc.log_output import terminal
from cdc.snapshot.snapshots import Snapshots

_LOOK_S: Final = 1.0
_LOG_EVERY_S: Final = 30.0
_log = logging.getLogger(__name__)


async def tell_progress(
    health: Health,
    snapshots: Mapping[str, Snapshots],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Until cancelled. sleep: an argument for the sake of tests."""
    catching_up, screen = CatchingUp(), terminal()
    due: dict[str, float] = {}
    try:
        while True:
            await sleep(_LOOK_S)
            now = time.time()
            lags = catching_up.look(health.sources, now)
            told = {alias: text for alias, text in lags.items() if text}
            for alias, each in snapshots.items():
                if (current := each.current) is not None:
                    collection, rows = current
                    told[f"{alias} {collection}"] = f"{rows:,} rows read so far"
            if screen is not None:
                screen.show("; ".join(f"{what}: {text}" for what, text in told.items()))
            else:
                for what, text in told.items():
                    if now >= due.get(what, 0.0):
                        due[what] = now + _LOG_EVERY_S
                        _log.info("%s: %s", what, text)
            for alias, text in lags.items():
                if not text:
                    _log.info("%s: has caught up", alias)
            due = {what: at for what, at in due.items() if what in told}
    finally:
        if screen is not None:
            screen.show("")
