"""A Postgres server of one's own: data in one folder, loopback only, a generated password, gone with its parent.

Runs the programs directly (`initdb`, `postgres`). As root they run as user `nobody`, since Postgres refuses root.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, Self
from urllib.parse import quote

from broadcaster.demo import host
from broadcaster.demo.installs import Installation, preferred_installation
from cdc.errors import LivetailError

HOST: Final = "127.0.0.1"
USER: Final = "postgres"
READY_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.01
PORT_ATTEMPTS: Final = 5

DEFAULT_SETTINGS: Final[Mapping[str, str]] = MappingProxyType(
    {"wal_level": "logical", "listen_addresses": HOST, "unix_socket_directories": ""}
)


class EmbeddedPostgresError(LivetailError):
    """The embedded Postgres cannot run."""


class EmbeddedPostgres:
    """One server. `start` and `stop` block (well below a second); every start keeps data, port and password.

    data_dir: made if missing; holds the data, the password and `postgres.log`.
    port: None takes a free one at the first start.
    installation: whose programs to run; None takes the preferred one.
    settings: what to add to postgresql.conf's defaults.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        *,
        installation: Installation | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log_file = self.data_dir / "postgres.log"
        self.settings = {**DEFAULT_SETTINGS, **(settings or {})}
        self.cluster = self.data_dir / "pgdata"
        self.installation = installation or preferred_installation()
        self._port = port
        self._password = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0  # where in the log file this start's lines begin

    @property
    def version(self) -> str:
        """Like `18.4`."""
        return self.installation.version

    @property
    def major(self) -> int:
        """Like 18."""
        return self.installation.major

    @property
    def port(self) -> int:
        """The TCP port; known once started."""
        if self._port is None:
            raise EmbeddedPostgresError("The embedded Postgres has no port before its first start")
        return self._port

    @property
    def pid(self) -> int | None:
        """The postmaster's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def url_for(self, database: str) -> str:
        """The connection string of one database, password included."""
        return f"postgresql://{USER}:{self._password}@{HOST}:{self.port}/{quote(database, safe='')}"

    @property
    def url(self) -> str:
        """The connection string of database `postgres`, password included."""
        return self.url_for("postgres")

    @property
    def url_without_password(self) -> str:
        """For log lines."""
        return f"postgresql://{USER}@{HOST}:{self.port}/postgres"

    def psql_command_for(self, database: str) -> str:
        """A shell command that opens psql on one database, password included."""
        psql = "psql" if shutil.which("psql") else str(self.installation.bin / "psql")
        return shlex.join([psql, self.url_for(database)])

    def start(self) -> None:
        """Make the cluster if need be and run the server until it accepts connections.

        Raises EmbeddedPostgresError with the end of the server's own log.
        """
        if self.pid is not None:
            raise EmbeddedPostgresError(f"The embedded Postgres in {self.data_dir} runs already")
        self._release()
        self._prepare_folder()
        self._make_cluster()
        if self._port is not None:
            self._launch(self._port)
            return
        for attempt in range(PORT_ATTEMPTS):
            port = host.free_port(HOST)
            try:
                self._launch(port)
            except EmbeddedPostgresError:
                # Another process may take the port between our look and the server's bind.
                if attempt == PORT_ATTEMPTS - 1 or "Address already in use" not in self._log_tail():
                    raise
            else:
                self._port = port
                return

    def stop(self) -> None:
        """Shut down in order; harder if that takes long, as with a replication client that does not read."""
        if self._process is None:
            return
        for number, seconds in ((signal.SIGINT, 3.0), (signal.SIGQUIT, 8.0)):
            self._process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
                break
        else:
            self.kill()
        self._release()

    def kill(self) -> None:
        """SIGKILL the postmaster and all its children at once, and wait until none is left. Needs Linux' /proc."""
        pid = self.pid
        if self._process is None or pid is None:
            return
        self._process.send_signal(signal.SIGSTOP)  # so that it neither forks nor mourns meanwhile
        children = host.children(pid)
        for victim in (pid, *children):
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
        self._process.wait()
        self._release()
        # A start before the last child is gone would find the shared memory in use.
        deadline = time.monotonic() + READY_SECONDS
        while any(host.alive(child) for child in children):
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"Processes of the killed Postgres remain: {children}")
            time.sleep(POLL_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _release(self) -> None:
        """Let the watchdog go; only once the server is gone, or it would outlive us."""
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(b"\n")
                process.stdin.flush()
            with contextlib.suppress(OSError):
                process.stdin.close()

    def _prepare_folder(self) -> None:
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        host.give_away(self.data_dir)
        if not host.reachable(self.data_dir):
            raise EmbeddedPostgresError(
                f"Postgres does not run as root, and user nobody cannot reach {self.data_dir}: "
                "choose a data folder whose parent folders everybody may enter, such as one in /var/tmp"
            )
        if not host.reachable(self.installation.bin):
            self.installation = self.installation.copied_to(self.data_dir / "install")

    def _make_cluster(self) -> None:
        password_file = self.data_dir / "password"
        if (self.cluster / "PG_VERSION").exists():
            major = (self.cluster / "PG_VERSION").read_text().strip()
            if major != str(self.major):
                raise EmbeddedPostgresError(
                    f"{self.data_dir} holds data of Postgres {major}, these programs are {self.version}: "
                    "remove the folder, or name another one"
                )
            self._password = password_file.read_text()
            return
        self._password = secrets.token_urlsafe(18)
        password_file.unlink(missing_ok=True)
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        host.give_away(password_file)
        # What an interrupted initdb leaves is never mistaken for data.
        partial = self.data_dir / "pgdata.partial"
        shutil.rmtree(partial, ignore_errors=True)
        options = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
        made = subprocess.run(
            [
                self.installation.bin / "initdb",
                "-D",
                partial,
                "-U",
                USER,
                f"--pwfile={password_file}",
                *options,
            ],
            capture_output=True,
            env=host.environment(),
            cwd="/",
            **host.unprivileged(),
        )
        if made.returncode != 0:
            reason = made.stderr.decode(errors="replace").strip()
            raise EmbeddedPostgresError(f"initdb failed in {self.data_dir}: {reason}")
        partial.rename(self.cluster)

    def _launch(self, port: int) -> None:
        settings = [f"--{name}={value}" for name, value in {**self.settings, "port": str(port)}.items()]
        program: list[str | Path] = [self.installation.bin / "postgres", "-D", self.cluster, *settings]
        started = time.time()
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
                **host.unprivileged(),
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready(process.pid, started):
            code = process.poll()
            if code is not None:
                self._release()
                raise EmbeddedPostgresError(f"Postgres did not start (exit {code}):\n{self._log_tail()}")
            if time.monotonic() > deadline:
                self.stop()
                raise EmbeddedPostgresError(f"Postgres was not ready in time:\n{self._log_tail()}")
            time.sleep(POLL_SECONDS)

    def _ready(self, pid: int, started: float) -> bool:
        """Whether postmaster.pid (src/include/utils/pidfile.h) is this server's and says `ready`."""
        try:
            lines = (self.cluster / "postmaster.pid").read_text().split("\n")
        except FileNotFoundError:
            return False
        # One that an earlier life left behind may hold our pid by chance; its start time tells.
        return (
            len(lines) >= 8
            and lines[0] == str(pid)
            and float(lines[2]) >= started - 2
            and lines[7].strip() == "ready"
        )

    def _log_tail(self) -> str:
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read()[-2000:].decode(errors="replace").strip()
