"""The embedded log's writer meets rivals, strangers and files that vanish."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from cdc.errors import EpochChanged, LogError, LogInUse
from cdc.event import Position
from cdc.log.embedded import EmbeddedLog
from support.embedded import batch, end, keys, line_of, read_keys, start


async def test_a_second_writer_is_told_who_is_the_first(log: EmbeddedLog) -> None:
    process = start("echo", log.path.parent)
    try:
        assert await line_of(process) == "ready"
        with pytest.raises(LogInUse, match=rf"process {process.pid} .*db\.log\.sqlite\.lock"):
            await log.writer()
    finally:
        end(process)
    await log.writer()


async def test_a_busy_file_is_an_error_and_then_works_again(
    log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc.log.sqlite_file.BUSY_SECONDS", 0.05)
    writer = await log.writer()
    await writer.append(batch(1))
    stranger = sqlite3.connect(log.path, isolation_level=None)
    stranger.execute("BEGIN IMMEDIATE")
    with pytest.raises(LogError, match=r"db\.log\.sqlite: database is locked; another program"):
        await writer.append(batch(2))
    assert writer.position == Position("p", 1)
    stranger.execute("ROLLBACK")
    stranger.close()
    await writer.append(batch(2))
    assert await read_keys(await log.reader(0), 2) == [b"1", b"2"]


async def test_a_removed_file_is_the_end_of_the_epoch(log: EmbeddedLog) -> None:
    writer = await log.writer()
    await writer.append(batch(1))
    reader = await log.reader(0)
    await reader.read()
    log.path.unlink()
    with pytest.raises(EpochChanged, match="removed"):
        await reader.read()
    with pytest.raises(LogError, match="removed or replaced"):
        await writer.append(batch(2))
    assert writer.position is None
    with pytest.raises(EpochChanged):
        await reader.read()
    await writer.append(batch(1))
    again = await log.reader(0)
    assert keys(await again.read()) == [b"1"]
    assert again.epoch != reader.epoch


async def test_a_removed_folder_is_noticed_by_the_next_writer_s_rival(
    log: EmbeddedLog, tmp_path: Path
) -> None:
    writer = await log.writer()
    for name in os.listdir(tmp_path):
        os.unlink(tmp_path / name)
    rival = await log.writer()
    with pytest.raises(LogError):
        await writer.append(batch(1))
    with pytest.raises(LogInUse):
        await writer.append(batch(1))
    await rival.append(batch(1))
    assert await read_keys(await log.reader(0), 1) == [b"1"]
