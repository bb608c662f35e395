"""What only the embedded log has: a file, other processes, crashes, full disks, threads."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support import log_process
from support.clock import ManualClock

import cdc.log.embedded
from cdc.errors import EpochChanged, LogError, LogInUse
from cdc.event import Batch, Chunk, Position
from cdc.log import LogReader, open_log
from cdc.log.embedded import EmbeddedLog
from cdc.log.sqlite_file import file_name
from cdc.log.wakeup import bell_folder

ROOT = Path(__file__).parents[4]


@pytest_asyncio.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedLog]:
    log = EmbeddedLog(tmp_path, "db")
    yield log
    await log.close()


def batch(order: int, value: bytes = b"{}", *, staged: bool = False) -> Batch:
    return Batch([("c", b"%d" % order, value)], None if staged else Position("p", order), order)


def keys(chunks: list[Chunk]) -> list[bytes]:
    return [entry[2] for chunk in chunks for entry in chunk.entries]


async def read_keys(reader: LogReader, until: int) -> list[bytes]:
    """The keys of all records up to the position of this order."""
    chunks: list[Chunk] = []
    while not chunks or chunks[-1].position is None or chunks[-1].position.order < until:
        chunks += await reader.read()
    return keys(chunks)


def start(*arguments: object, program: tuple[str, ...] = (log_process.__file__,)) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


async def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = await asyncio.to_thread(process.stdout.readline)
    assert line, "the process ended"
    return line.strip()


def end(process: subprocess.Popen[str]) -> str:
    """Kill it and return what it had printed and nobody read."""
    process.kill()
    return process.communicate()[0]


# The file


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


async def test_a_path_longer_than_a_socket_address(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 120) / ("e" * 120)
    log = EmbeddedLog(folder, "db")
    reader = await log.reader()
    assert list(bell_folder(log.path).iterdir())
    writer = await log.writer()
    await writer.append(batch(1))
    assert keys(await reader.read()) == [b"1"]
    await log.close()
    assert not list(bell_folder(log.path).iterdir())


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


# The writer


async def test_a_second_writer_is_told_who_is_the_first(log: EmbeddedLog) -> None:
    process = start("echo", log.path.parent)
    try:
        assert await line_of(process) == "ready"
        with pytest.raises(LogInUse, match=rf"process {process.pid} .*db\.log\.sqlite\.lock"):
            await log.writer()
    finally:
        end(process)
    await log.writer()


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


# Readers


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
    assert not list(folder.iterdir())


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


# Retention


async def test_what_was_trimmed_is_deleted(tmp_path: Path) -> None:
    clock = ManualClock()
    log = EmbeddedLog(tmp_path, "db", keep_bytes=1_000_000, clock=clock.now)
    writer = await log.writer()
    for order in range(1, 101):
        await writer.append(Batch([("c", b"k", b"x" * 100_000)], Position("p", order, {"n": order}), 1))
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


def test_the_log_module_does_not_import_sqlite() -> None:
    code = "import sys, cdc.log; sys.exit('sqlite3' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": str(ROOT)})


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
