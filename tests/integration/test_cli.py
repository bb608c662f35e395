"""The commands as users run them: processes of their own, exit codes, words on the screen, and no password in them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import yaml

from cdc import VERSION
from servers.mysql import MysqlDatabase
from servers.postgres import Database
from servers.proxy import Proxy

ROOT = Path(__file__).parents[2]
LIVETAIL = ("broadcaster.cli",)
SECONDS = 30
STOP_SECONDS = 10


class Cli:
    """Runs commands in a folder, with one configuration file, and keeps all that they say."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "app.yaml"
        self.said = ""
        self.secrets: set[str] = set()
        self._running: list[tuple[subprocess.Popen[bytes], Path]] = []

    def configure(self, conn: str, *collections: str, alias: str = "sql-postgres") -> None:
        """Describe a database; whatever is a password in `conn` may never be said."""
        live = {"isRealtimeEnabled": True, "rules": {"read": {"rule": "allow"}}}
        databases = {alias: {"conn": conn, "collections": {name: dict(live) for name in collections}}}
        self.write(yaml.safe_dump({"id": "todo-app", "modules": {"crud": databases}}, sort_keys=False))
        password = urlsplit(conn).password if "://" in conn else None
        self.secrets |= {password} if password else set()

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def run(self, command: str, *arguments: str | Path, code: int) -> str:
        """`livetail <command> -c FILE …` until it ends; both outputs."""
        return self.end([*LIVETAIL, command, "-c", str(self.file), *map(str, arguments)], code)

    def end(self, module: Sequence[str], code: int) -> str:
        done = subprocess.run(
            [sys.executable, "-m", *module],
            cwd=self.folder,
            env=self._environ(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        output = done.stdout + done.stderr
        self.said += output
        assert done.returncode == code, output
        return output

    def start(self, *module: str | Path) -> subprocess.Popen[bytes]:
        """A process that runs on; its output is in `said` after `stop`."""
        output = self.folder / f"output-{len(self._running)}.txt"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=self.folder,
                env=self._environ(),
                stdout=file,
                stderr=file,
            )
        self._running.append((process, output))
        return process

    def stop(self, number: signal.Signals = signal.SIGTERM) -> str:
        """Signal all that runs, expect exit code 0 of each; what they said."""
        running, self._running = self._running, []
        said = ""
        try:
            for process, _ in running:
                process.send_signal(number)
            for process, output in running:
                code = process.wait(STOP_SECONDS)
                said += output.read_text()
                assert code == 0, output.read_text()
        finally:
            self.said += said
            _kill(running)
        return said

    def _environ(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    def close(self) -> None:
        _kill(self._running)
        self.said += "".join(output.read_text() for _, output in self._running)


def _kill(running: list[tuple[subprocess.Popen[bytes], Path]]) -> None:
    for process, _ in running:
        process.kill()
        process.wait()


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    """Whatever a test does, no password is said and no traceback shown."""
    cli = Cli(tmp_path)
    yield cli
    cli.close()
    assert [secret for secret in cli.secrets if secret in cli.said] == []
    assert "Traceback" not in cli.said, cli.said


@pytest.fixture
def todos(postgres_db: Database) -> Database:
    postgres_db.execute("CREATE TABLE todos (id int PRIMARY KEY, done bool)")
    return postgres_db


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def one_line(output: str) -> str:
    assert output.count("\n") == 1, output
    return output.rstrip("\n")


async def status(port: int, path: str) -> tuple[int, dict[str, object]]:
    """(HTTP status, body); (0, {}) while nothing listens."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}{path}") as answer,
        ):
            return answer.status, await answer.json()
    except aiohttp.ClientConnectionError:
        return 0, {}


async def until(port: int, path: str, wanted: int, *words: str) -> None:
    """Wait until it answers with this status, and these words in the body."""
    answer: tuple[int, dict[str, object]] = (0, {})
    try:
        async with asyncio.timeout(SECONDS):
            while answer[0] != wanted or not all(word in json.dumps(answer[1]) for word in words):
                await asyncio.sleep(0.02)
                answer = await status(port, path)
    except TimeoutError:
        raise AssertionError(f"waited for {wanted} {words}, last was {answer}") from None


# -- what needs no database -------------------------------------------------------------------------------------


def test_help_and_version(cli: Cli) -> None:
    listed = cli.end([*LIVETAIL, "--help"], 0)
    for command in ("demo", "dev", "cdc", "broadcaster", "check", "events", "snapshot", "status"):
        assert f"\n  {command} " in listed
        assert f"Usage: python -m broadcaster.cli {command} [OPTIONS]" in cli.end(
            [*LIVETAIL, command, "-h"], 0
        )
    for module in ("cdc", "broadcaster"):
        assert f"Usage: python -m {module} [OPTIONS]" in cli.end([module, "--help"], 0)
    assert cli.end([*LIVETAIL, "--version"], 0).startswith(f"livetail {VERSION}, kernel: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "app.yaml: cannot be read: No such file or directory"),
        ("id: [", "app.yaml:1:6: not YAML: while parsing a flow node, "),
        ("id: x\nmodles: {}\n", "app.yaml:2: modles: unknown key; did you mean `modules`?"),
        (
            "id: x\nsecret: ${NOT_SET}\nmodules: {crud: {}}\n",
            "secret: the environment variable NOT_SET is not set",
        ),
    ],
)
def test_a_file_that_cannot_be_used(cli: Cli, text: str | None, message: str) -> None:
    if text is not None:
        cli.write(text)
    said = one_line(cli.run("dev", code=2))
    assert said.startswith("livetail dev: ")
    assert message in said


@pytest.mark.parametrize("module", [(*LIVETAIL, "check"), ("cdc",), ("broadcaster",)])
def test_every_command_refuses_a_file_that_cannot_be_used(cli: Cli, module: Sequence[str]) -> None:
    cli.write("id: x")
    said = one_line(cli.end([*module, "-c", str(cli.file)], 2))
    assert (
        said
        == f"livetail {module[-1]}: {cli.file}:1: the file: `modules.crud` is missing: the databases, by alias"
    )


@pytest.mark.parametrize(
    ("command", "conn"),
    [
        ("check", "host=localhost password=hunter2 nonsense=1"),
        ("check", "host=localhost password='hunter2"),
        ("check", "postgresql://app:hunter2@localhost:5432/app?nonsense=1"),
        ("check", "postgresql://app:%hunter2@localhost/app"),
        ("check", "postgresql://app:x@hunter2@localhost/app"),
        ("cdc", "hunter2"),
        ("broadcaster", "hunter2"),
        ("dev", "hunter2"),
    ],
)
def test_a_conn_that_cannot_be_parsed_is_not_shown(cli: Cli, command: str, conn: str) -> None:
    cli.configure(conn, "todos")
    cli.secrets.add("hunter2")
    listen = [] if command == "check" else ["--listen", "127.0.0.1:0"]
    assert "conn" in cli.run(command, *listen, code=2).splitlines()[-1]


def test_addresses(cli: Cli) -> None:
    cli.configure("postgresql://localhost/app", "todos")
    for address in ("4122", "localhost:", "localhost:99999", ":1"):
        assert "is not host:port, such as 127.0.0.1:4122" in cli.run("dev", "--listen", address, code=2)


def test_a_port_in_use(cli: Cli) -> None:
    cli.configure("postgresql://127.0.0.1:1/app", "todos")
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        for command in ("dev", "cdc", "broadcaster"):
            said = cli.run(command, "--listen", address, code=2)
            assert (
                f"livetail {command}: {address} is in use by another process; choose another with --listen"
                in said
            )


def test_events_of_what_is_not_there(cli: Cli) -> None:
    cli.configure("postgresql://localhost/app", "todos", "other.things")
    for database, collection in (("sql-postgres", "todo"), ("mongo", "todos")):
        said = one_line(cli.run("events", database, collection, code=2))
        assert said == (
            f"livetail events: no live collection `{database} {collection}`; "
            "there is: sql-postgres todos, sql-postgres other.things"
        )
    said = one_line(cli.run("events", "sql-postgres", "todos", code=1))
    assert said.endswith("there is no event log yet: start `livetail dev` or `livetail cdc` first")


def test_a_database_without_a_live_collection(cli: Cli) -> None:
    cli.configure("postgresql://localhost/app")
    assert cli.run("check", code=0) == "sql-postgres: no collection is realtime-enabled; nothing to check\n"
    assert cli.run("status", code=0) == "no collection is realtime-enabled; nothing to tell\n"
    said = one_line(cli.run("cdc", "--db", "nope", "--listen", "127.0.0.1:0", code=2))
    assert said.endswith("database 'nope' has no realtime-enabled collection; those that have: none")


# -- check --------------------------------------------------------------------------------------------------------


def test_check_prints_the_statements_that_mend_everything(cli: Cli, todos: Database) -> None:
    cli.configure(todos.url, "todos")
    said = cli.run("check", code=1)
    assert "UNMET  table public.todos: replica identity: is not FULL" in said
    assert 'ALTER TABLE "public"."todos" REPLICA IDENTITY FULL;' in said
    assert "(`livetail dev` and `livetail cdc` do this by themselves)" in said
    for line in said.splitlines():
        if line.strip().endswith(";"):
            todos.execute(line.strip())
    assert "UNMET" not in cli.run("check", code=0)


def test_check_changes_nothing(cli: Cli, todos: Database) -> None:
    cli.configure(todos.url, "todos")
    assert cli.run("check", code=1) == cli.run("check", code=1)


def test_check_of_a_table_that_is_misspelt_or_has_no_key(cli: Cli, todos: Database) -> None:
    todos.execute("CREATE TABLE keyless (id int)")
    cli.configure(todos.url, "todo", "keyless")
    said = cli.run("check", code=1)
    assert "UNMET  table public.todo: does not exist" in said
    assert "did you mean" in said
    assert "UNMET  table public.keyless: primary key: has none" in said


def test_check_of_a_database_that_is_down(cli: Cli) -> None:
    cli.configure(f"postgresql://app:hunter2@127.0.0.1:{free_port()}/app", "todos")
    said = cli.run("check", code=1)
    assert "UNMET  Postgres at 127.0.0.1:" in said
    assert "Connection refused" in said


def test_check_with_a_wrong_password(cli: Cli, todos: Database) -> None:
    right = urlsplit(todos.url).password
    assert right is not None
    cli.secrets.add(right)
    cli.configure(todos.url.replace(right, "hunter2"), "todos")
    assert "password authentication failed for user" in cli.run("check", code=1)
    cli.configure(todos.url.replace(f":{right}", ""), "todos")
    assert "no password supplied" in cli.run("check", code=1)


def test_check_of_mysql(cli: Cli, mariadb_db: MysqlDatabase) -> None:
    """It has nothing that we would do by ourselves; what is advised makes no check fail."""
    name = mariadb_db.name
    mariadb_db.execute(
        "CREATE TABLE todos (id int PRIMARY KEY)",
        f"CREATE USER {name}@'%' IDENTIFIED BY 'hunter2'",
    )
    try:
        cli.configure(mariadb_db.url_as(name, "hunter2"), "todos", alias="sql-mysql")
        said = cli.run("check", code=1)
        assert f"UNMET  privilege REPLICATION SLAVE: user {name}@% does not have it" in said
        statements = [line.strip() for line in said.splitlines() if line.strip().endswith(";")]
        assert f"GRANT SELECT ON `{name}`.`todos` TO `{name}`@`%`;" in statements
        mariadb_db.execute(*(statement.rstrip(";") for statement in statements))
        said = cli.run("check", code=0)
        assert "UNMET" not in said
        assert "retention: " in said
        cli.configure(mariadb_db.url_as(name, "wrong"), "todos", alias="sql-mysql")
        assert "Look at user and password in `conn`" in cli.run("check", code=1)
    finally:
        mariadb_db.execute(f"DROP USER {name}@'%'")


# -- what runs on -------------------------------------------------------------------------------------------------


async def test_the_two_deployables_outlive_their_database(cli: Cli, todos: Database) -> None:
    tailer, broadcaster = free_port(), free_port()
    async with Proxy(("127.0.0.1", todos.server.port)) as proxy:
        await proxy.refuse()
        cli.configure(todos.url.replace(f":{todos.server.port}/", f":{proxy.port}/"), "todos")
        cli.start("cdc", "-c", cli.file, "--listen", f"127.0.0.1:{tailer}")
        cli.start("broadcaster", "-c", cli.file, "--listen", f"127.0.0.1:{broadcaster}")
        for port in (tailer, broadcaster):
            await until(port, "/readyz", 503, "Connection refused")
            assert (await status(port, "/healthz"))[0] == 200
        await proxy.resume()
        for port in (tailer, broadcaster):
            await until(port, "/readyz", 200)
        await proxy.refuse()
        for port in (tailer, broadcaster):
            await until(port, "/readyz", 503, "reason")
            assert (await status(port, "/healthz"))[0] == 200
        await proxy.resume()
        for port in (tailer, broadcaster):
            await until(port, "/readyz", 200)
        said = await asyncio.to_thread(cli.stop)
    assert "Connection refused" in said
    assert "; trying again" in said
    assert "the database answers again" in said


async def test_stopping_while_the_database_is_down(cli: Cli) -> None:
    ports = free_port(), free_port(), free_port()
    cli.configure(f"postgresql://app:hunter2@127.0.0.1:{free_port()}/app", "todos")
    cli.start("cdc", "-c", cli.file, "--listen", f"127.0.0.1:{ports[0]}")
    cli.start("broadcaster", "-c", cli.file, "--listen", f"127.0.0.1:{ports[1]}")
    cli.start(*LIVETAIL, "dev", "-c", cli.file, "--log-dir", "other", "--listen", f"127.0.0.1:{ports[2]}")
    for port in ports:
        await until(port, "/readyz", 503, "Connection refused")
    await asyncio.to_thread(cli.stop)


async def test_dev_and_then_the_events(cli: Cli, todos: Database) -> None:
    port = free_port()
    cli.configure(todos.url, "todos")
    cli.start(*LIVETAIL, "dev", "-c", cli.file, "--listen", f"127.0.0.1:{port}", "--verbose")
    await until(port, "/readyz", 200)
    todos.execute("INSERT INTO todos VALUES (1, false)")
    todos.execute("UPDATE todos SET done = true")
    async with asyncio.timeout(SECONDS):
        while len(
            shown := await asyncio.to_thread(cli.run, "events", "sql-postgres", "todos", code=0)
        ) == 0 or (shown.count("\n") < 2):
            pass
    asked = ("snapshot", "sql-postgres", "todos", "--tailer", f"127.0.0.1:{port}")
    assert (await asyncio.to_thread(cli.run, *asked, code=0)).splitlines()[-1] == "done"
    shown = await asyncio.to_thread(cli.run, "events", "sql-postgres", "todos", code=0)
    said = await asyncio.to_thread(cli.stop, signal.SIGINT)
    assert "the tailer at" in one_line(cli.run(*asked, code=1))
    assert (
        f"Serving todo-app on http://127.0.0.1:{port}, event log in {cli.folder}/.livetail/todo-app\n" in said
    )
    assert f"curl -N 'http://127.0.0.1:{port}/v1/api/todo-app/realtime/sql-postgres/todos'" in said

    first, second, read = map(json.loads, shown.splitlines())
    assert (first["key"], first["value"]["after"]) == ({"id": 1}, {"id": 1, "done": False})
    assert (second["value"]["op"], second["value"]["before"]["done"]) == ("u", False)
    assert (read["value"]["op"], read["value"]["after"]) == ("r", {"id": 1, "done": True})
    later = cli.run("events", "sql-postgres", "todos", "--from", str(read["offset"]), code=0)
    assert later == shown.splitlines(keepends=True)[2]
    assert cli.run("events", "sql-postgres", "todos", "--from", str(read["offset"] + 1), code=0) == ""
    gone = one_line(cli.run("events", "sql-postgres", "todos", "--from", "0", code=1))
    assert "the log keeps offsets 1 to 3 only" in gone
    assert "UNMET" not in cli.run("check", code=0)


async def test_a_lost_position_is_the_operators_to_give_up(cli: Cli, todos: Database) -> None:
    port = free_port()
    cli.configure(todos.url, "todos")
    command = ["cdc", "-c", str(cli.file), "--listen", f"127.0.0.1:{port}"]
    cli.start(*command)
    await until(port, "/readyz", 200)
    await asyncio.to_thread(cli.stop)
    todos.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = %s", todos.name
    )
    said = await asyncio.to_thread(cli.end, command, 3)
    assert "--reset-position" in said.splitlines()[-1]
    assert said.splitlines()[-1].startswith("livetail cdc: sql-postgres (Postgres at 127.0.0.1:")
    cli.start(*command, "--reset-position")
    await until(port, "/readyz", 200)
    await asyncio.to_thread(cli.stop)


async def test_a_wrong_password_is_said_and_tried_again(cli: Cli, todos: Database) -> None:
    port = free_port()
    right = urlsplit(todos.url).password
    assert right is not None
    cli.configure(todos.url.replace(right, "hunter2"), "todos")
    cli.start("cdc", "-c", cli.file, "--listen", f"127.0.0.1:{port}")
    await until(port, "/readyz", 503, "password authentication failed")
    assert "password authentication failed" in await asyncio.to_thread(cli.stop)


async def test_status_of_what_is_new_runs_and_is_away(cli: Cli, todos: Database) -> None:
    port = free_port()
    cli.configure(todos.url, "todos")
    said = cli.run("status", code=1)
    assert [line.split(maxsplit=1)[0] for line in said.splitlines()] == [
        "sql-postgres:",
        "log",
        "database",
        "slot",
    ]

    cli.start(*LIVETAIL, "dev", "-c", cli.file, "--listen", f"127.0.0.1:{port}")
    await until(port, "/readyz", 200)
    told = json.loads(await asyncio.to_thread(cli.run, "status", "--json", code=0))
    assert (told["project"], told["ok"]) == ("todo-app", True)
    running = told["databases"]["sql-postgres"]
    assert running["source"]["slot"]["active"]
    await asyncio.to_thread(cli.stop)

    cli.configure(todos.url.replace(f":{todos.server.port}/", f":{free_port()}/"), "todos")
    away = json.loads(cli.run("status", "--json", code=1))["databases"]["sql-postgres"]
    assert away["log"]["ok"]
    assert away["log"]["epoch"] == running["log"]["epoch"]
    assert "Connection refused" in away["source"]["error"]


def test_status_on_kafka_wants_kafka_configured(cli: Cli) -> None:
    cli.configure("postgresql://localhost/app", "todos")
    said = one_line(cli.run("status", "--prod", code=2))
    assert said.startswith("livetail status: modules.realtime.kafka is missing")
