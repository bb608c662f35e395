"""A cancellation that the driver swallowed is raised all the same."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from cdc.mongo.connect import cancellable


async def test_what_goes_on_although_it_was_cancelled_is_cancelled() -> None:
    begun = asyncio.Event()

    @cancellable
    async def swallow(*, fail: bool) -> str:
        with suppress(asyncio.CancelledError):
            begun.set()
            await asyncio.sleep(60)
        if fail:
            raise OSError("what the driver made of it")
        return "done"

    for fail in (False, True):
        begun.clear()
        task = asyncio.create_task(swallow(fail=fail))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_what_was_not_cancelled_is_left_alone() -> None:
    @cancellable
    async def double(number: int) -> int:
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
        return 2 * number

    assert await double(4) == 8
