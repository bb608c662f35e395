"""What only the embedded log has: threads, and calls that are cancelled while one works."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from typing import Any

import pytest

from cdc.errors import LogError
from cdc.event import Batch, Position
from cdc.log.embedded import EmbeddedLog
from support.embedded import ROOT, batch, read_keys


async def test_large_batches_are_split_and_stay_one_transaction(log: EmbeddedLog) -> None:
    writer = await log.writer()
    records = [("c", b"%d" % index, b"x" * 700) for index in range(5000)]
    await writer.append(Batch(records, Position("p", 1), 1))
    reader = await log.reader(0)
    first = await reader.read()
    assert len(first) < 3
    assert first[0].position is None
    chunks = [*first]
    while chunks[-1].position is None:
        more = await reader.read()
        assert sum(len(entry[3] or b"") for chunk in more for entry in chunk.entries) < 1.1 * 2**20
        chunks += more
    assert [entry for chunk in chunks for entry in chunk.entries] == [
        (offset, *record) for offset, record in enumerate(records, 1)
    ]
    assert [chunk.position for chunk in chunks] == [None] * (len(chunks) - 1) + [Position("p", 1)]


async def test_a_cancelled_append_is_finished_all_the_same(log: EmbeddedLog) -> None:
    writer = await log.writer()
    appending = asyncio.ensure_future(writer.append(batch(1)))
    await asyncio.sleep(0)
    appending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await appending
    await writer.append(batch(2))
    assert writer.position == Position("p", 2)
    assert await read_keys(await log.reader(0), 2) == [b"1", b"2"]


async def test_after_close_the_position_tells_what_became_of_a_cancelled_append(log: EmbeddedLog) -> None:
    writer = await log.writer()
    await writer.append(batch(1))
    appending = asyncio.ensure_future(writer.append(batch(2)))
    await asyncio.sleep(0)
    appending.cancel()
    await asyncio.gather(appending, return_exceptions=True)
    await writer.close()
    assert writer.position == Position("p", 2)
    state = await log.state()
    assert state is not None
    assert state.position == Position("p", 2)


async def test_a_cancelled_append_that_failed_leaves_no_gap(log: EmbeddedLog) -> None:
    writer = await log.writer()
    await writer.append(batch(1))
    await writer.append(batch(2, staged=True))
    bad: Any = Batch([("c", b"2", object())], None, 1)  # type: ignore[list-item]
    appending = asyncio.ensure_future(writer.append(bad))
    await asyncio.sleep(0)
    appending.cancel()
    await asyncio.gather(appending, return_exceptions=True)
    with pytest.raises(LogError, match="cancelled failed"):
        await writer.append(batch(3))
    assert writer.position == Position("p", 1)
    await writer.append(batch(4))
    assert await read_keys(await log.reader(0), 4) == [b"1", b"4"]


async def test_opening_may_be_cancelled(log: EmbeddedLog) -> None:
    opening = asyncio.ensure_future(log.writer())
    await asyncio.sleep(0)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    await (await log.writer()).append(batch(1))


def test_the_log_module_does_not_import_sqlite() -> None:
    code = "import sys, cdc.log; sys.exit('sqlite3' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
