"""What the embedded log trims is gone from the file."""

from __future__ import annotations

import itertools
import random
import sqlite3
from pathlib import Path

from cdc.event import Batch, Position
from cdc.log.embedded import EmbeddedLog
from support.clock import ManualClock
from support.embedded import batch, read_keys


async def test_what_was_trimmed_is_deleted(tmp_path: Path) -> None:
    clock = ManualClock()
    log = EmbeddedLog(tmp_path, "db", keep_bytes=1_000_000, clock=clock.now)
    writer = await log.writer()
    for order in range(1, 101):
        record = ("c", b"k", random.Random(order).randbytes(100_000))
        await writer.append(Batch([record], Position("p", order, {"n": order}), 1))
        clock.advance(1)
    for order in range(101, 111):
        await writer.append(Batch([], Position("p", order, {"n": order}), 1))
        clock.advance(10)
    await writer.close()
    with sqlite3.connect(log.path) as db:
        count, size = db.execute("SELECT count(*), sum(size) FROM batches").fetchone()
        states = db.execute("SELECT count(*) FROM states").fetchone()[0]
    db.close()
    assert count == 9
    assert size <= 1_000_000
    assert states == 19
    assert log.path.stat().st_size < 5_000_000
    await log.close()


async def test_starting_over_deletes_the_old_epoch_bit_by_bit(tmp_path: Path) -> None:
    clock = ManualClock()
    log = EmbeddedLog(tmp_path, "db", clock=clock.now)
    writer = await log.writer()
    for order in range(1, 31):
        await writer.append(batch(order, b"x" * 300_000))
    await writer.start_over(Position("q", 0, {"a": 1}))
    for order in itertools.count(1):
        clock.advance(10)
        await writer.append(Batch([("c", b"%d" % order, b"")], Position("q", order, {"a": 1}), 1))
        if order == 10:
            break
    await writer.close()
    with sqlite3.connect(log.path) as db:
        assert db.execute("SELECT min(last), count(*) FROM batches").fetchone() == (31, 10)
    db.close()
    assert await read_keys(await log.reader(30), 10) == [b"%d" % order for order in range(1, 11)]
    await log.close()
