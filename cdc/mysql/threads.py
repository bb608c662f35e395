"""Blocking calls beside the event loop, which never wait for a server that does not answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[[], T], discard: Callable[[T], None]) -> T:
    """What the function returns or raises, run in a thread of its own. Cancelled, the caller goes on at once; the
    thread ends when it ends, `discard` gets what it returns, and the process does not wait for it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def deliver(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            if error is None:
                discard(result)  # type: ignore[arg-type]
        elif error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = function()
        except BaseException as failure:  # it is the caller's
            error = failure
        try:
            loop.call_soon_threadsafe(deliver, result, error)
        except RuntimeError:  # the loop is closed
            if error is None:
                discard(result)  # type: ignore[arg-type]

    threading.Thread(target=run, daemon=True, name="livetail-mysql").start()
    return await done
