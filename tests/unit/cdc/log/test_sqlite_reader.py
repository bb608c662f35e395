"""The embedded log's readers: damage, and being in nobody's way."""

from __future__ import annotations

import asyncio
import os
import sqlite3

import pytest

from cdc.errors import LogError
from cdc.event import Chunk, Position
from cdc.log.embedded import EmbeddedLog
from support.embedded import batch, end, keys, line_of, read_keys, start


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE batches SET payload = CAST('garbage' AS BLOB) WHERE last = 2",
        "UPDATE batches SET crc = crc + 1 WHERE last = 2",
        """UPDATE batches SET collections = '["d"]' WHERE last = 2""",
    ],
)
async def test_a_damaged_row_is_an_error_every_time(log: EmbeddedLog, damage: str) -> None:
    writer = await log.writer()
    for order in (1, 2, 3):
        await writer.append(batch(order))
    with sqlite3.connect(log.path) as db:
        db.execute(damage)
    db.close()
    reader = await log.reader(1)
    for _ in range(2):
        with pytest.raises(LogError, match=r"db\.log\.sqlite is damaged at offset 2"):
            await reader.read()
    assert keys(await (await log.reader(2)).read()) == [b"3"]


async def test_rows_nobody_wants_are_not_decoded(log: EmbeddedLog) -> None:
    await (await log.writer()).append(batch(1))
    with sqlite3.connect(log.path) as db:
        db.execute("UPDATE batches SET payload = x'00'")
    db.close()
    assert await (await log.reader(0, {"other"})).read() == [Chunk([], 1, Position("p", 1), 1)]


async def test_readers_do_not_keep_the_journal_growing(log: EmbeddedLog) -> None:
    writer = await log.writer()
    reader = await log.reader(0)
    following = asyncio.ensure_future(read_keys(reader, 120))
    for order in range(1, 121):
        await writer.append(batch(order, b"x" * 1_000_000))
    assert len(await following) == 120
    assert os.stat(f"{log.path}-wal").st_size < 64 * 2**20


async def test_a_killed_reader_is_in_nobody_s_way(log: EmbeddedLog) -> None:
    """A process that dies in a read transaction leaves no lock behind."""
    writer = await log.writer()
    await writer.append(batch(1))
    code = (
        "import sqlite3, sys, time; db = sqlite3.connect(sys.argv[1], isolation_level=None); db.execute('BEGIN');"
        "db.execute('SELECT * FROM batches').fetchone(); print('reading', flush=True); time.sleep(60)"
    )
    process = start(log.path, program=("-c", code))
    assert await line_of(process) == "reading"
    end(process)
    await writer.append(batch(2))
    assert await read_keys(await log.reader(0), 2) == [b"1", b"2"]
