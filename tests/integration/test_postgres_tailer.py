"""The tailer as a process on a real Postgres: killed, starved of memory, stopped."""

from __future__ import annotations

import asyncio
import random
import signal
from pathlib import Path

import pytest

from cdc.log.embedded import EmbeddedLog
from cdc.postgres.source import SENDER_PATIENCE_S
from integration.conformance import folded
from integration.test_postgres_source import PostgresDriver
from servers.postgres import Database
from support.tail import Tail, eventually
from support.tailer_process import TailerProcess, configuration


@pytest.fixture
async def driver(postgres_db: Database) -> PostgresDriver:
    found = PostgresDriver(postgres_db.url, postgres_db.name)
    await found.prepare()
    return found


def config_of(driver: PostgresDriver) -> str:
    return configuration(driver.url, driver.target().slot, "items", "others")


async def ready(driver: PostgresDriver) -> None:
    slot = driver.target().slot
    await eventually(
        lambda: driver.finds(f"SELECT FROM pg_replication_slots WHERE slot_name = '{slot}' AND active")
    )


async def test_killed_again_and_again_it_loses_and_repeats_nothing(
    driver: PostgresDriver, tmp_path: Path
) -> None:
    chance = random.Random(11)
    tailer = TailerProcess.start(tmp_path, config_of(driver))
    try:
        await ready(driver)
        writing = asyncio.create_task(_write(driver, chance))
        for _ in range(6):
            await asyncio.sleep(chance.uniform(0.05, 0.6))
            tailer.kill()
            tailer = TailerProcess.start(tmp_path, config_of(driver))
            await ready(driver)
        await writing
        await driver.execute("INSERT INTO others VALUES (999)")
        log = EmbeddedLog(tmp_path / "log", "db")
        tail = Tail(log)
        await tail.key("others", {"id": 999})
        assert folded(tail.events, "items") == await driver.documents("items")
        orders = [event.transaction["total_order"] for event in tail.events]
        assert orders == [i for _ in range(_ROUNDS) for i in range(1, 21)] + [1]
        await log.close()
    finally:
        tailer.kill()


_ROUNDS = 150


async def _write(driver: PostgresDriver, chance: random.Random) -> None:
    for number in range(_ROUNDS):
        await driver.execute(
            f"INSERT INTO items SELECT {number * 20} + i, 'a', 0 FROM generate_series(1, 20) i"
        )
        await asyncio.sleep(chance.uniform(0, 0.03))


async def test_the_slot_of_one_that_says_nothing_more_is_free_before_long(
    driver: PostgresDriver, tmp_path: Path
) -> None:
    """The server's own `wal_sender_timeout` is a minute."""
    slot = driver.target().slot
    tailer = TailerProcess.start(tmp_path, config_of(driver))
    try:
        await ready(driver)
        tailer.process.send_signal(signal.SIGSTOP)
        await driver.execute("INSERT INTO others VALUES (1)")
        free = f"SELECT FROM pg_replication_slots WHERE slot_name = '{slot}' AND NOT active"
        async with asyncio.timeout(3 * SENDER_PATIENCE_S):
            await eventually(lambda: driver.finds(free))
    finally:
        tailer.kill()


async def test_a_very_large_transaction_needs_little_memory(driver: PostgresDriver, tmp_path: Path) -> None:
    tailer = TailerProcess.start(tmp_path, config_of(driver))
    try:
        await ready(driver)
        await driver.execute(
            "INSERT INTO items SELECT i, repeat('x', 500), 1 FROM generate_series(1, 100000) i"
        )
        log = EmbeddedLog(tmp_path / "log", "db")

        async def all_there() -> bool:
            state = await log.state()
            return state is not None and state.newest >= 100_000

        await eventually(all_there)
        peak = tailer.peak_memory_mb()
        assert peak < 150, f"peak RSS {peak} MB"
        await log.close()
    finally:
        tailer.kill()


async def test_it_stops_when_told_and_says_why_it_cannot_go_on(
    driver: PostgresDriver, tmp_path: Path
) -> None:
    log = EmbeddedLog(tmp_path / "log", "db")

    async def has_position() -> bool:
        state = await log.state()
        return state is not None and state.position is not None

    tailer = TailerProcess.start(tmp_path, config_of(driver))
    try:
        await eventually(has_position)
        assert tailer.stop() == 0
        await driver.execute(f"SELECT pg_drop_replication_slot('{driver.target().slot}')")
        tailer = TailerProcess.start(tmp_path, config_of(driver))
        assert await asyncio.to_thread(tailer.process.wait, 20) == 3
        assert "vanished" in tailer.output()
        assert "Traceback" not in tailer.output()
    finally:
        tailer.kill()
        await log.close()
