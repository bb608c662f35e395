"""A commit wakes readers, also in other processes; without that they look by themselves."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

import cdc.log.embedded
import cdc.log.wakeup
from cdc.event import Chunk, Position
from cdc.log.embedded import EmbeddedLog
from cdc.log.wakeup import bell_folder
from support.embedded import batch, end, keys, line_of, start


async def test_a_path_longer_than_a_socket_address(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120) / ("e" * 120)
    log = EmbeddedLog(folder, "db")
    reader = await log.reader()
    assert list(bell_folder(log.path).iterdir())
    writer = await log.writer()
    await writer.append(batch(1))
    assert keys(await reader.read()) == [b"1"]
    await log.close()
    assert not bell_folder(log.path).exists()


async def test_a_commit_wakes_readers_in_other_processes(
    log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cdc.log.embedded, "POLL_SECONDS", 1e9)
    process = start("echo", log.path.parent)
    try:
        assert await line_of(process) == "ready"
        readers = [await log.reader(0), await log.reader(0, {"other"})]
        for order, name in enumerate(("one", "two"), 1):
            reading = [asyncio.ensure_future(reader.read()) for reader in readers]
            await asyncio.sleep(0)
            assert process.stdin is not None
            process.stdin.write(f"{name}\n")
            process.stdin.flush()
            full, filtered = await asyncio.gather(*reading)
            assert [entry[3] for chunk in full for entry in chunk.entries] == [name.encode()]
            assert filtered == [Chunk([], order, Position("p", order), 1)]
    finally:
        end(process)


async def test_without_wake_up_readers_look_by_themselves(
    log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("cdc.log.wakeup.bell_folder", lambda path: tmp_path / ("x" * 200) / "y")
    reader = await log.reader()
    await (await log.writer()).append(batch(1))
    assert keys(await reader.read()) == [b"1"]


async def test_a_folder_of_sockets_that_is_open_to_others_is_not_used(
    log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    monkeypatch.setattr("cdc.log.wakeup.bell_folder", lambda path: shared / "bells")
    reader = await log.reader()
    assert not list(shared.rglob("*"))
    await (await log.writer()).append(batch(1))
    assert keys(await reader.read()) == [b"1"]


async def test_sockets_of_dead_readers_are_removed(log: EmbeddedLog) -> None:
    reader = await log.reader()
    folder = bell_folder(log.path)
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(str(folder / "dead"))
    dead.close()
    assert len(list(folder.iterdir())) == 2
    await (await log.writer()).append(batch(1))
    assert len(list(folder.iterdir())) == 1
    await reader.close()
    assert not folder.exists()


async def test_without_a_descriptor_left_readers_look_by_themselves(
    log: EmbeddedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_many(*arguments: object) -> socket.socket:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as scarce:
        scarce.setattr(cdc.log.wakeup.socket, "socket", too_many)
        writer, reader = await log.writer(), await log.reader()
        await writer.append(batch(1))
        assert keys(await reader.read()) == [b"1"]
    await writer.append(batch(2))
    assert keys(await reader.read()) == [b"2"]
