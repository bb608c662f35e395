import asyncio
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from broadcaster.demo import host
from broadcaster.demo.installs import installations, preferred_installation
from broadcaster.demo.postgres import EmbeddedPostgres, EmbeddedPostgresError
from servers.postgres import Servers, connect, temporary_database


def scalar(url, query):
    with psycopg.connect(url, connect_timeout=5) as connection:
        return connection.execute(query).fetchone()[0]


@pytest.fixture
def open_folder():
    """A folder that every user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="livetail-servers-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_prefers_the_newest_wheel():
    found = installations()
    assert preferred_installation() == found[0]
    assert found[0].major == 18
    assert all((one.bin / "initdb").exists() for one in found)


def test_a_version_that_is_not_here_is_skipped_and_told():
    could_not_run = {}
    with ExitStack() as stack, pytest.raises(pytest.skip.Exception, match="Postgres 9: no programs found"):
        Servers(stack, could_not_run).get(9)
    assert list(could_not_run) == ["Postgres 9"]


async def test_every_version_decodes(each_postgres_db, postgres_server):
    connection = await connect(each_postgres_db.url)
    async with connection:
        cursor = await connection.execute("SHOW server_version_num")
        assert int((await cursor.fetchone())[0]) // 10000 == postgres_server.major
        await connection.execute("SELECT pg_create_logical_replication_slot('a_slot', 'pgoutput')")


def test_a_database_is_dropped_with_its_slots_and_sessions(postgres):
    with temporary_database(postgres) as database:
        database.execute(f"SELECT pg_create_logical_replication_slot('{database.name}', 'pgoutput')")
        idle = psycopg.connect(database.url)
    with pytest.raises(psycopg.OperationalError):
        idle.execute("SELECT 1")
    idle.close()
    count = f"SELECT count(*) FROM pg_replication_slots WHERE slot_name = '{database.name}'"
    assert scalar(postgres.url, count) == 0
    assert scalar(postgres.url, f"SELECT count(*) FROM pg_database WHERE datname = '{database.name}'") == 0


def test_keeps_data_port_and_password_through_sigkill_and_restart(throwaway_postgres):
    server = throwaway_postgres()
    url = server.url
    connection = psycopg.connect(url, autocommit=True)
    connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    busy = connection.info.backend_pid
    server.kill()
    assert server.pid is None
    assert not host.alive(busy)
    connection.close()
    server.start()
    assert server.url == url
    assert scalar(url, "SELECT n FROM kept") == 1
    server.stop()
    server.start()
    assert scalar(url, "SELECT n FROM kept") == 1


def test_settings_reach_the_server(throwaway_postgres):
    assert scalar(throwaway_postgres(wal_level="replica").url, "SHOW wal_level") == "replica"


def test_asks_for_the_password(throwaway_postgres):
    server = throwaway_postgres()
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        psycopg.connect(server.url_without_password)
    assert server.url.split("@")[0].endswith(server.data_dir.joinpath("password").read_text())


def test_psql_command_works(throwaway_postgres):
    server = throwaway_postgres()
    answer = subprocess.run(
        [*shlex.split(server.psql_command_for("postgres")), "-Atc", "SHOW server_version"],
        capture_output=True,
        text=True,
    )
    assert answer.stdout.startswith(server.version), answer.stderr


def test_dies_with_a_sigkilled_parent(open_folder):
    folder = open_folder / "data"
    program = (
        "import pathlib, sys, time\n"
        "from broadcaster.demo.postgres import EmbeddedPostgres\n"
        "server = EmbeddedPostgres(pathlib.Path(sys.argv[1])); server.start()\n"
        "print(server.pid, flush=True); time.sleep(600)\n"
    )
    root = Path(host.__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", program, folder],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as parent:
        pid = int(parent.stdout.readline())
        assert host.alive(pid)
        parent.send_signal(signal.SIGKILL)
    wait_until(lambda: not host.alive(pid))
    with EmbeddedPostgres(folder) as server:
        assert scalar(server.url, "SELECT 1") == 1


def test_stopping_and_killing_twice_is_fine(throwaway_postgres):
    server = throwaway_postgres()
    server.stop()
    server.stop()
    server.kill()
    assert server.pid is None


def test_a_taken_port_is_reported(postgres, open_folder):
    with pytest.raises(EmbeddedPostgresError, match="Address already in use"):
        EmbeddedPostgres(open_folder / "data", port=postgres.port).start()


def test_a_bad_setting_is_reported_with_the_servers_words(throwaway_postgres):
    with pytest.raises(EmbeddedPostgresError, match="wal_level"):
        throwaway_postgres(wal_level="loogical")


def test_data_of_another_version_is_refused(throwaway_postgres, postgres_servers):
    server = throwaway_postgres(major=15)
    server.stop()
    other = EmbeddedPostgres(server.data_dir, installation=postgres_servers.installation(18))
    with pytest.raises(EmbeddedPostgresError, match="holds data of Postgres 15"):
        other.start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs Postgres as somebody else")
def test_unreachable_folders_are_explained_or_worked_around(open_folder):
    closed = open_folder / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EmbeddedPostgresError, match="nobody cannot reach"):
        EmbeddedPostgres(closed / "data").start()

    hidden = preferred_installation().copied_to(closed)
    hidden.bin.chmod(0o700)
    folder = open_folder / "data"
    with EmbeddedPostgres(folder, installation=hidden) as server:
        assert scalar(server.url, "SELECT 1") == 1
        assert server.installation.bin.is_relative_to(folder)


async def test_starts_off_the_event_loops_thread(throwaway_postgres):
    server = throwaway_postgres()
    server.stop()
    await asyncio.to_thread(server.start)
    assert scalar(server.url, "SELECT 1") == 1
