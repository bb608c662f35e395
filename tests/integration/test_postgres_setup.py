"""What a Postgres lacks is named, with the statement that mends it; what may be mended is; what is lost is said."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from dataclasses import replace

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from broadcaster.demo.postgres import EmbeddedPostgres
from cdc.errors import PositionLost, SetupError, SourceUnavailable
from cdc.event import Position
from cdc.health import State
from cdc.metrics import DatabaseMetrics, Metrics
from cdc.postgres import setup
from cdc.postgres.source import PostgresSource
from cdc.postgres.target import Target
from cdc.requirement import Requirement
from cdc.tailer import Stream
from integration.test_postgres_source import PostgresDriver, followed
from servers.postgres import Database
from support.tail import Tail, eventually, new_tail


@pytest.fixture
async def driver(postgres_db: Database) -> PostgresDriver:
    found = PostgresDriver(postgres_db.url, postgres_db.name)
    await found.prepare()
    return found


def metrics() -> DatabaseMetrics:
    return Metrics(CollectorRegistry()).database("db")


async def refused(target: Target, after: Position | None = None) -> Exception:
    """What opening raises."""
    with pytest.raises((SourceUnavailable, PositionLost)) as caught:
        await (await PostgresSource(target, metrics()).open(after)).close()
    return caught.value


async def open_and_close(target: Target, after: Position | None = None) -> Position:
    """Open, take the first batch's position."""
    stream = await PostgresSource(target, metrics()).open(after)
    try:
        position = (await stream.take()).position
        assert position is not None
        return position
    finally:
        await stream.close()


def unmet(requirements: list[Requirement]) -> dict[str, str]:
    return {each.name: each.fix for each in requirements if not each.ok}


async def test_check_changes_nothing_and_names_what_tailing_will_do(driver: PostgresDriver) -> None:
    found = await setup.check(driver.target())
    assert set(unmet(found)) == {
        "table public.items: replica identity",
        "table public.others: replica identity",
        "publication livetail",
    }
    assert all(each.automatic for each in found if not each.ok)
    assert await driver.fetch("SELECT count(*) FROM pg_publication") == [(0,)]


async def test_all_is_well_once_tailed(driver: PostgresDriver) -> None:
    await open_and_close(driver.target())
    assert unmet(await setup.check(driver.target())) == {}
    again = await open_and_close(driver.target())
    assert again.order > 0


async def test_two_at_once_set_up_one_thing(driver: PostgresDriver) -> None:
    sessions = [await setup.open_session(driver.target()) for _ in range(4)]
    outcomes = await asyncio.gather(*(setup.mend(session, driver.target()) for session in sessions))
    for session in sessions:
        await session.close()
    assert [outcome.unmet for outcome in outcomes] == [()] * 4


async def test_by_hand_the_printed_statements_suffice(driver: PostgresDriver) -> None:
    target = driver.target(manage=False)
    error = await refused(target)
    assert isinstance(error, SetupError)
    assert "4 requirements are not met" in str(error)
    assert await driver.fetch("SELECT count(*) FROM pg_publication") == [(0,)]
    statements = re.findall(r"^      (.*;)$", str(error), re.MULTILINE)
    assert len(statements) == 4
    await driver.execute(*statements)
    assert unmet(await setup.check(target)) == {}
    await open_and_close(target)


async def test_every_bad_table_is_named_at_once(driver: PostgresDriver) -> None:
    await driver.execute(
        "CREATE TABLE keyless (a int)",
        "CREATE VIEW v AS SELECT 1 AS id",
        "CREATE UNLOGGED TABLE u (id int PRIMARY KEY)",
        "CREATE TABLE parent (id int PRIMARY KEY)",
        "CREATE TABLE child () INHERITS (parent)",
        "CREATE SCHEMA shop",
        "CREATE TABLE shop.orders (id int PRIMARY KEY)",
    )
    target = driver.target("itmes", "orders", "keyless", "v", "u", "parent", "items")
    message = str(await refused(target))
    assert "public.itmes: does not exist in database" in message
    assert "did you mean public.items" in message
    assert "did you mean shop.orders" in message
    assert 'ALTER TABLE "public"."keyless" ADD PRIMARY KEY' in message
    assert "public.v: is a view" in message
    assert 'ALTER TABLE "public"."u" SET LOGGED;' in message
    assert "public.parent: has tables that inherit from it" in message
    assert "table public.items" not in message


async def test_keys_and_policies_that_would_make_the_stream_differ_from_reads(driver: PostgresDriver) -> None:
    role = f"ruled_{driver.name}"
    await driver.execute(
        f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'x'",
        f"GRANT SELECT ON items, others TO {role}",
        "ALTER TABLE items ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE others DROP CONSTRAINT others_pkey, ADD PRIMARY KEY (id) DEFERRABLE",
    )
    try:
        await open_and_close(driver.target("items"))  # the owner is not subject to the policies
        message = str(await refused(replace(driver.target(), conn=_as(driver.url, role, "x"))))
        assert f'ALTER ROLE "{role}" BYPASSRLS;' in message
        assert "public.others: primary key: is DEFERRABLE" in message
        await driver.execute(f"ALTER ROLE {role} BYPASSRLS")
        assert "row security" not in str(
            await refused(replace(driver.target(), conn=_as(driver.url, role, "x")))
        )
    finally:
        await driver.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def test_a_role_without_rights_gets_every_grant(driver: PostgresDriver) -> None:
    role = f"poor_{driver.name}"
    await driver.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'pw-secret'", "REVOKE ALL ON SCHEMA public FROM public"
    )
    try:
        target = replace(driver.target(), conn=_as(driver.url, role, "pw-secret"))
        message = str(await refused(target))
        assert f'ALTER ROLE "{role}" REPLICATION;' in message
        assert f'GRANT SELECT ON "public"."items" TO "{role}";' in message
        assert 'ALTER TABLE "public"."items" REPLICA IDENTITY FULL;' in message
        assert "CREATE PUBLICATION" in message
        assert "pw-secret" not in message
    finally:
        await driver.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def test_the_least_role_can_tail_what_was_set_up_for_it(driver: PostgresDriver) -> None:
    role = f"least_{driver.name}"
    await driver.execute(f"CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'x'")
    try:
        await driver.execute(f"GRANT SELECT ON items, others TO {role}")
        await open_and_close(driver.target())
        target = replace(driver.target(manage=False), conn=_as(driver.url, role, "x"))
        await open_and_close(target)
    finally:
        await driver.execute(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


async def test_a_wrong_password_is_no_secret_told(driver: PostgresDriver) -> None:
    target = replace(driver.target(), conn=_as(driver.url, "postgres", "hunter2"))
    error = await refused(target)
    assert "password authentication failed" in str(error)
    assert "as user postgres" in str(error)
    assert "hunter2" not in str(error)


def _as(url: str, user: str, password: str) -> str:
    return psycopg.conninfo.make_conninfo(url, user=user, password=password)


async def test_a_table_that_is_locked_is_waited_for(
    driver: PostgresDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup, "_LOCK_TIMEOUT_MS", 200)
    conn = await psycopg.AsyncConnection.connect(driver.url)
    async with conn:
        await conn.execute("LOCK TABLE items IN ACCESS SHARE MODE")
        error = await refused(driver.target("items"))
        assert "the lock was not granted in time" in str(error)
    await open_and_close(driver.target("items"))


async def test_publication_is_kept_exact(driver: PostgresDriver) -> None:
    await driver.execute(
        "CREATE PUBLICATION livetail FOR TABLE elsewhere, items WHERE (n > 5) WITH (publish = 'insert')"
    )
    await open_and_close(driver.target())
    rows = await driver.fetch(
        "SELECT tablename, rowfilter FROM pg_publication_tables WHERE pubname = 'livetail' ORDER BY 1"
    )
    assert rows == [("items", None), ("others", None)]
    options = "SELECT pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot FROM pg_publication"
    assert await driver.fetch(options) == [(True,) * 5]


async def test_an_operators_publication_may_hold_more(driver: PostgresDriver) -> None:
    await driver.execute(
        "CREATE PUBLICATION livetail FOR ALL TABLES WITH (publish_via_partition_root = true)",
        "ALTER TABLE items REPLICA IDENTITY FULL",
        "ALTER TABLE others REPLICA IDENTITY FULL",
    )
    left = unmet(await setup.check(driver.target(manage=False)))
    assert [name.split()[0] for name in left if not name.endswith("options")] == ["slot"]


# --- positions


async def position_of(driver: PostgresDriver) -> Position:
    return await open_and_close(driver.target())


async def test_a_slot_that_vanished(driver: PostgresDriver) -> None:
    position = await position_of(driver)
    await driver.execute(f"SELECT pg_drop_replication_slot('{driver.target().slot}')")
    error = await refused(driver.target(), position)
    assert isinstance(error, PositionLost)
    assert "vanished" in str(error)
    assert "--reset-position" in str(error)
    unmanaged = await refused(driver.target(manage=False), position)
    assert isinstance(unmanaged, PositionLost)


async def test_a_slot_that_was_moved_on(driver: PostgresDriver) -> None:
    position = await position_of(driver)
    await driver.execute("INSERT INTO items VALUES (1)")
    slot = driver.target().slot
    await driver.execute(f"SELECT pg_replication_slot_advance('{slot}', pg_current_wal_lsn())")
    error = await refused(driver.target(), position)
    assert isinstance(error, PositionLost)
    assert "was moved to" in str(error)


async def test_another_cluster(driver: PostgresDriver) -> None:
    position = await position_of(driver)
    error = await refused(driver.target(), replace(position, epoch="12345"))
    assert isinstance(error, PositionLost)
    assert "another cluster" in str(error)


async def test_a_database_restored_from_the_past(driver: PostgresDriver) -> None:
    position = await position_of(driver)
    error = await refused(driver.target(), replace(position, order=position.order + (1 << 40)))
    assert isinstance(error, PositionLost)
    assert "restored from a backup" in str(error)


async def test_a_new_log_takes_over_the_slot_that_is_there(driver: PostgresDriver) -> None:
    await position_of(driver)
    await driver.execute("INSERT INTO items VALUES (1)")
    tail = new_tail()
    async with tail.running(driver.source):
        events = await tail.count(1)
    assert events[0].key == {"id": 1}


async def test_anothers_slot_is_left_alone(driver: PostgresDriver) -> None:
    slot = driver.target().slot
    await driver.execute(f"SELECT pg_create_physical_replication_slot('{slot}')")
    try:
        error = await refused(driver.target())
        assert isinstance(error, SetupError)
        assert "is another's (a physical slot)" in str(error)
    finally:
        await driver.execute(f"SELECT pg_drop_replication_slot('{slot}')")


async def test_a_slot_in_use_names_who_uses_it(driver: PostgresDriver) -> None:
    stream = await PostgresSource(driver.target(), metrics()).open(None)
    try:
        await stream.take()
        error = await refused(driver.target())
        assert re.search(r"active for PID \d+", str(error))
        assert not isinstance(error, SetupError | PositionLost)
    finally:
        await stream.close()


async def test_a_new_slot_names_the_transactions_it_waits_for(
    driver: PostgresDriver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdc.postgres.slot._PATIENCE_S", 0.05)
    conn = await psycopg.AsyncConnection.connect(driver.url)
    async with conn:
        await conn.execute("INSERT INTO elsewhere VALUES (1)")
        opening = asyncio.create_task(PostgresSource(driver.target(), metrics()).open(None))

        async def named() -> bool:
            return f"pid {conn.info.backend_pid} (open for" in caplog.text

        await eventually(named)
        assert not opening.done()
        await conn.commit()
        await (await opening).close()


async def test_cancelled_while_waiting_for_a_slot(driver: PostgresDriver) -> None:
    conn = await psycopg.AsyncConnection.connect(driver.url)
    async with conn:
        await conn.execute("INSERT INTO elsewhere VALUES (1)")
        opening = asyncio.create_task(PostgresSource(driver.target(), metrics()).open(None))
        await eventually(
            lambda: driver.finds(
                "SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT (lsn%' AND wait_event_type = 'Lock'"
            )
        )
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
    await open_and_close(driver.target())


async def test_reset_begins_anew(driver: PostgresDriver) -> None:
    position = await position_of(driver)
    source = PostgresSource(driver.target(), metrics())
    await source.reset()
    await source.reset()
    assert (
        await driver.fetch(f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{driver.target().slot}'")
        == []
    )
    assert (await position_of(driver)).order > position.order
    with pytest.raises(SetupError, match="pg_drop_replication_slot"):
        await PostgresSource(driver.target(manage=False), metrics()).reset()


async def test_a_publication_that_was_dropped_for_a_while(each_postgres_db: Database) -> None:
    """Postgres before 18 cannot decode what was written meanwhile; 18 leaves it out: never in silence."""
    driver = PostgresDriver(each_postgres_db.url, each_postgres_db.name)
    await driver.prepare()
    tail = new_tail()
    async with tail.running(driver.source):
        await followed(tail)
    await driver.execute("DROP PUBLICATION livetail", "INSERT INTO items VALUES (1)")
    async with tail.running(driver.source) as running:
        if each_postgres_db.server.major < 18:
            with pytest.raises(PositionLost, match="publication was missing"):
                await running
        else:
            await tail.until(lambda tail: len(tail.resets) == 2)
            reasons = {(reset.collection, reset.reason) for reset in tail.resets}
            assert reasons == {("items", "table_republished"), ("others", "table_republished")}


# --- servers of our own


async def until_state(tail: Tail, state: State, reason: str = "") -> None:
    async def reached() -> bool:
        return tail.health.state is state and reason in tail.health.reason

    await eventually(reached)


async def test_a_server_that_is_not_logical(throwaway_postgres: Callable[..., EmbeddedPostgres]) -> None:
    server = throwaway_postgres(wal_level="replica")
    driver = PostgresDriver(server.url, "own")
    await driver.prepare()
    error = await refused(driver.target())
    assert isinstance(error, SetupError)
    assert "wal_level: is replica" in str(error)
    assert "ALTER SYSTEM SET wal_level = 'logical';  -- then restart Postgres" in str(error)


async def test_all_slots_taken(throwaway_postgres: Callable[..., EmbeddedPostgres]) -> None:
    server = throwaway_postgres(max_replication_slots="1", max_wal_senders="1")
    driver = PostgresDriver(server.url, "own")
    await driver.prepare()
    await driver.execute("SELECT pg_create_physical_replication_slot('other')")
    error = await refused(driver.target())
    assert "replication slots: all 1 (max_replication_slots) are taken" in str(error)


async def test_a_server_that_is_down_comes_up(throwaway_postgres: Callable[..., EmbeddedPostgres]) -> None:
    server = throwaway_postgres()
    driver = PostgresDriver(server.url, "own")
    await driver.prepare()
    server.stop()
    tail = new_tail()
    async with tail.running(driver.source):
        await until_state(tail, State.RETRYING, "127.0.0.1")
        assert not tail.health.ready(0, 10)
        server.start()
        await followed(tail)
        await driver.execute("INSERT INTO items VALUES (1)")
        await tail.count(1)
        server.kill()
        await until_state(tail, State.RETRYING)
        server.start()
        await driver.execute("INSERT INTO items VALUES (2)")
        events = await tail.count(2)
    assert [event.key["id"] for event in events] == [1, 2]


async def test_a_slot_whose_log_was_removed(throwaway_postgres: Callable[..., EmbeddedPostgres]) -> None:
    server = throwaway_postgres(max_slot_wal_keep_size="1MB", min_wal_size="32MB", max_wal_size="32MB")
    driver = PostgresDriver(server.url, "own")
    await driver.prepare()
    tail = new_tail()
    async with tail.running(driver.source):
        await followed(tail)
    for _ in range(4):
        await driver.execute(
            "SELECT pg_switch_wal()",
            "INSERT INTO elsewhere VALUES (1)",
            "DELETE FROM elsewhere",
            "CHECKPOINT",
        )
    async with tail.running(driver.source) as running:
        with pytest.raises(PositionLost, match="is invalid"):
            await running
    assert tail.health.state is State.FAILED


async def test_status_goes_out_whatever_the_log_does(
    throwaway_postgres: Callable[..., EmbeddedPostgres],
) -> None:
    """The log stalls for four timeouts of the server, with more than a stream holds unread."""
    server = throwaway_postgres(wal_sender_timeout="500ms")
    driver = PostgresDriver(server.url, "own")
    await driver.prepare()
    stream = await PostgresSource(driver.target(), metrics()).open(None)
    try:
        await stream.take()
        query = "SELECT pid FROM pg_stat_replication"
        before = await driver.fetch(query)
        await driver.execute("INSERT INTO items SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i")
        began = asyncio.get_running_loop().time()
        while asyncio.get_running_loop().time() - began < 2:
            await asyncio.sleep(0.2)
            assert await driver.fetch(query) == before
        count = 0
        while count < 20000:
            count += len((await stream.take()).records)
        assert await driver.fetch(query) == before
    finally:
        await stream.close()


async def take_for_ever(stream: Stream) -> None:
    while True:
        await stream.take()


async def test_a_silent_server_is_given_up(throwaway_postgres: Callable[..., EmbeddedPostgres]) -> None:
    server = throwaway_postgres(wal_sender_timeout="500ms")
    driver = PostgresDriver(server.url, "own")
    await driver.prepare()
    stream = await PostgresSource(driver.target(), metrics()).open(None)
    await stream.take()
    [[sender]] = await driver.fetch("SELECT pid FROM pg_stat_replication")
    os.kill(sender, signal.SIGSTOP)
    try:
        with pytest.raises(SourceUnavailable, match="nothing heard from the server"):
            await take_for_ever(stream)
    finally:
        os.kill(sender, signal.SIGCONT)
        await stream.close()
