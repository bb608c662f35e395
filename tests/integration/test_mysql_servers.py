import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pymysql
import pytest

from broadcaster.demo import host, mysql_installs
from broadcaster.demo.mysql import EmbeddedMysqlError
from broadcaster.demo.mysql_installs import MysqlInstallation
from servers.mysql import FLAVORS, MysqlServers, temporary_database


def scalar(server, query):
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def test_every_flavor_logs_rows(each_mysql_db):
    assert each_mysql_db.execute(
        "SELECT @@log_bin, @@binlog_format, @@binlog_row_image, @@binlog_row_metadata"
    ) == [(1, "ROW", "FULL", "FULL")]
    said = each_mysql_db.execute("SELECT @@version")[0][0]
    assert said.startswith(each_mysql_db.server.version)
    assert ("MariaDB" in said) == (each_mysql_db.flavor == "mariadb")


def test_a_database_is_dropped_with_its_sessions(mysql_server):
    with temporary_database(mysql_server) as database:
        idle = database.connect()
        with idle.cursor() as cursor:
            cursor.execute("CREATE TABLE held (id int)")
            cursor.execute("LOCK TABLES held WRITE")
    with pytest.raises(pymysql.OperationalError):
        idle.query("SELECT 1")
    idle.close()
    count = f"SELECT count(*) FROM information_schema.schemata WHERE schema_name = '{database.name}'"
    assert scalar(mysql_server, count) == 0


@pytest.mark.parametrize("flavor", FLAVORS)
def test_keeps_data_port_and_password_through_sigkill_and_restart(flavor, throwaway_mysql):
    server = throwaway_mysql(flavor)
    url = server.url_for("kept")
    with server.connect() as connection, connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE kept")
        cursor.execute("CREATE TABLE kept.t AS SELECT 1 AS n")
    pid = server.pid
    server.kill()
    assert server.pid is None
    assert not host.alive(pid)
    server.start()
    assert server.url_for("kept") == url
    assert scalar(server, "SELECT n FROM kept.t") == 1
    server.stop()
    server.stop()
    server.start()
    assert scalar(server, "SELECT n FROM kept.t") == 1


def test_settings_reach_the_server_and_servers_differ(throwaway_mysql, mysql_servers):
    server = throwaway_mysql("mysql", gtid_mode="OFF", enforce_gtid_consistency="OFF", skip_log_bin=None)
    assert scalar(server, "SELECT @@gtid_mode") == "OFF"
    assert scalar(server, "SELECT @@log_bin") == 0
    assert scalar(server, "SELECT @@server_uuid") != scalar(
        mysql_servers.get("mysql"), "SELECT @@server_uuid"
    )


def test_temporary_tables_are_out_of_reach_of_other_servers(mysql_server):
    """Each MariaDB that starts removes what others have in a shared folder."""
    assert scalar(mysql_server, "SELECT @@tmpdir") == str(mysql_server.data_dir / "tmp")


def test_asks_for_the_password(mysql_server):
    with pytest.raises(pymysql.OperationalError, match="Access denied"):
        pymysql.connect(host="127.0.0.1", port=mysql_server.port, user="root", password="")


def test_a_bad_setting_is_reported_with_the_servers_words(throwaway_mysql):
    with pytest.raises(EmbeddedMysqlError, match="no_such_option"):
        throwaway_mysql("mariadb", no_such_option="1")


def test_its_own_client_opens_it(mysql_server):
    command = f"{mysql_server.client_command_for('information_schema')} -N -e 'SELECT 1 + 1'"
    answer = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert answer.stdout == "2\n", answer.stderr


def test_programs_that_cannot_be_had_skip_the_test_and_are_told(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mysql_installs, "_SYSTEM_FOLDERS", ())
    could_not_run = {}
    with ExitStack() as stack, pytest.raises(pytest.skip.Exception, match=r"no mysqld .* no apt-get"):
        MysqlServers(stack, could_not_run).installation("mysql")
    assert list(could_not_run) == ["MySQL"]


def test_an_unpacked_program_runs_wherever_its_folder_is_moved(mysql_servers, tmp_path):
    installed = mysql_servers.installation("mariadb")
    if installed.root is None:
        pytest.skip("MariaDB is installed on this machine: nothing was unpacked")
    moved = tmp_path / "moved"
    moved.symlink_to(installed.root)
    program = MysqlInstallation("mariadb", moved / "usr" / "sbin" / "mariadbd", "", moved).server
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert installed.version in said.stdout


def test_dies_with_a_sigkilled_parent(mysql_servers, tmp_path):
    installed = mysql_servers.installation("mariadb")
    program = (
        "import os, pathlib, signal, sys\n"
        "from broadcaster.demo.mysql import EmbeddedMysql\n"
        "from broadcaster.demo.mysql_installs import installation\n"
        "server = EmbeddedMysql(pathlib.Path(sys.argv[1]), installation('mariadb')); server.start()\n"
        "print(server.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(host.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "data"],
        capture_output=True,
        text=True,
        cwd=root,
    )
    pid = int(done.stdout)
    assert installed.server
    deadline = time.monotonic() + 20
    while host.alive(pid):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
