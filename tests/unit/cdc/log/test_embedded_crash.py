"""The embedded log under SIGKILL, on a full disk and with a transaction larger than memory."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from cdc.event import Batch, Position
from cdc.log import LogReader
from cdc.log.embedded import EmbeddedLog
from support import log_process
from support.embedded import end, line_of, read_keys, start


async def test_a_full_disk(tmp_path: Path) -> None:
    process = start("fill", tmp_path, 4)
    output, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0
    message, last = output.splitlines()
    assert f"{tmp_path}/db.log.sqlite" in message
    assert "free space" in message or "make room" in message
    log = EmbeddedLog(tmp_path, "db")
    assert await read_keys(await log.reader(0), int(last)) == [
        b"%d" % order for order in range(1, int(last) + 1)
    ]
    await log.close()


async def test_the_size_of_a_transaction_is_not_in_memory(tmp_path: Path) -> None:
    process = start("stage", tmp_path, 200)
    output, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0
    assert int(output) < 80, "MB RSS at peak"
    log = EmbeddedLog(tmp_path, "db")
    state = await log.state()
    assert state is not None
    assert (state.newest, state.position) == (200_000, Position("p", 1))
    await log.close()


async def test_kill_nine_loses_and_invents_nothing(log: EmbeddedLog) -> None:
    """A writer is killed again and again while two readers follow, one of them from the first kill on."""
    promised, killed = 0, 0
    following = [asyncio.ensure_future(follow(await log.reader(0)))]
    for round_ in range(8):
        process = start("write", log.path.parent)
        resumed = int(await line_of(process))
        assert resumed >= promised
        for _ in range(round_ * 5 % 13):
            promised = int(await line_of(process))
        rest = end(process).split("\n")
        promised = max(promised, resumed, *(int(line) for line in rest[:-1]))
        killed += 1
        if round_ == 0:
            following.append(asyncio.ensure_future(follow(await log.reader(0))))
    state = await log.state()
    assert state is not None
    assert state.position is not None
    assert state.position.order >= promised > killed
    writer = await log.writer()
    await writer.append(Batch([], Position("end", 0), 0))
    expected = [
        record
        for order in range(1, state.position.order + 1)
        for b in log_process.batches_of(order)
        for record in b.records
    ]
    for got in await asyncio.gather(*following):
        assert got == [(offset, *record) for offset, record in enumerate(expected, 1)]


async def follow(reader: LogReader) -> list[tuple[Any, ...]]:
    """Everything up to the epoch "end"; no transaction is ever seen without its end."""
    entries: list[tuple[Any, ...]] = []
    while True:
        for chunk in await reader.read():
            entries += chunk.entries
            if chunk.position is None:
                continue
            if chunk.position.epoch == "end":
                return entries
            orders = {int(entry[2].split(b"/")[0]) for entry in entries[-1:]}
            assert all(order <= chunk.position.order for order in orders)
