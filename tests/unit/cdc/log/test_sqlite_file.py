"""The embedded log's file: names, rights, creation, files of others."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from cdc.errors import LogError
from cdc.log import open_log
from cdc.log.embedded import EmbeddedLog
from cdc.log.sqlite_file import file_name
from support.embedded import batch, keys


async def test_file_and_folder_are_private(tmp_path: Path) -> None:
    log = open_log(tmp_path / "a" / "logs", "db")
    writer = await log.writer()
    await writer.append(batch(1))
    assert stat.S_IMODE((tmp_path / "a" / "logs").stat().st_mode) == 0o700
    files = list((tmp_path / "a" / "logs").iterdir())
    assert {file.name for file in files} >= {"db.log.sqlite", "db.log.sqlite-wal", "db.log.sqlite.lock"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    await log.close()


@pytest.mark.parametrize("alias", ["..", "a/b", "", "x" * 400, "naïve ☃?#%", "-rf", "\n"])
async def test_any_alias_has_a_file(tmp_path: Path, alias: str) -> None:
    log = EmbeddedLog(tmp_path, alias)
    assert log.path.parent == tmp_path
    await (await log.writer()).append(batch(1))
    assert keys(await (await log.reader(0)).read()) == [b"1"]
    await log.close()


def test_aliases_do_not_collide() -> None:
    aliases = ["a/b", "a%2Fb", "a b", "a%20b", "x" * 400, "x" * 401, "ä", "a"]
    assert len({file_name(alias) for alias in aliases}) == len(aliases)


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = EmbeddedLog(tmp_path / "file" / "logs", "db")
    with pytest.raises(LogError, match=r"cannot make the folder .*/file/logs"):
        await log.writer()


async def test_a_file_that_is_not_a_log(log: EmbeddedLog) -> None:
    log.path.write_bytes(b"something else entirely" * 1000)
    for opening in (log.writer(), log.reader(), log.state()):
        with pytest.raises(LogError, match=r"db\.log\.sqlite.*move it away"):
            await opening


async def test_another_format(log: EmbeddedLog) -> None:
    await (await log.writer()).close()
    with sqlite3.connect(log.path) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    for opening in (log.writer(), log.reader()):
        with pytest.raises(LogError, match=r"db\.log\.sqlite has format 99"):
            await opening


async def test_an_unfinished_creation_is_in_nobody_s_way(log: EmbeddedLog, tmp_path: Path) -> None:
    for suffix in (".new", ".new-wal", "-wal", "-shm"):
        (tmp_path / f"{log.path.name}{suffix}").write_bytes(b"left over")
    reader = await log.reader()
    await (await log.writer()).append(batch(1))
    assert keys(await reader.read()) == [b"1"]
