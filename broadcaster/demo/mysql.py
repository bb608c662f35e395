"""A MySQL or MariaDB server of one's own: data in one folder, loopback only, a generated password, gone with its
parent."""

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

import pymysql

from broadcaster.demo import host
from broadcaster.demo.mysql_installs import TITLES, MysqlInstallation
from cdc.errors import LivetailError

HOST: Final = "127.0.0.1"
USER: Final = "root"
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 15.0
POLL_SECONDS: Final = 0.01
PORT_ATTEMPTS: Final = 5

DEFAULT_SETTINGS: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        "bind_address": HOST,
        "skip_name_resolve": None,
        "socket": "mysql.sock",  # in the data folder; a full path may be too long for the kernel
        "pid_file": "mysql.pid",
        "server_id": "1",
        "log_bin": "binlog",
        "binlog_format": "ROW",
        "binlog_row_image": "FULL",
        "binlog_row_metadata": "FULL",
    }
)
FLAVOR_SETTINGS: Final[Mapping[str, Mapping[str, str | None]]] = MappingProxyType(
    {
        "mysql": {
            "gtid_mode": "ON",
            "enforce_gtid_consistency": "ON",
            "mysqlx": "OFF",
            "secure_file_priv": "NULL",
            "innodb_redo_log_capacity": "32M",
        },
        "mariadb": {"innodb_log_file_size": "32M"},
    }
)


class EmbeddedMysqlError(LivetailError):
    """The embedded MySQL cannot run."""


class EmbeddedMysql:
    """One server. `start` and `stop` block (seconds at the first start); every start keeps data, port and password.

    data_dir: made if missing; holds the data, the password and `server.log`.
    installation: whose programs to run.
    settings: options to add to or to replace of the defaults; None for an option without value.
    """

    def __init__(
        self,
        data_dir: Path,
        installation: MysqlInstallation,
        *,
        settings: Mapping[str, str | None] | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.installation = installation
        self.log_file = self.data_dir / "server.log"
        self.settings = {**DEFAULT_SETTINGS, **FLAVOR_SETTINGS[installation.flavor], **(settings or {})}
        self.cluster = self.data_dir / "data"
        self._title = TITLES[installation.flavor]
        self._port: int | None = None
        self._password = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0  # where in the log file this start's lines begin

    @property
    def version(self) -> str:
        """Like `9.7.4`."""
        return self.installation.version

    @property
    def port(self) -> int:
        """The TCP port; known once started."""
        if self._port is None:
            raise EmbeddedMysqlError(f"The embedded {self._title} has no port before its first start")
        return self._port

    @property
    def password(self) -> str:
        """That of root; known once started."""
        return self._password

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def url_for(self, database: str) -> str:
        """The connection string of one database, password included."""
        scheme = self.installation.flavor
        return f"{scheme}://{USER}:{self._password}@{HOST}:{self.port}/{quote(database, safe='')}"

    def client_command_for(self, database: str) -> str:
        """A shell command that opens the server's own client on one database, password included."""
        name = "mariadb" if self.installation.flavor == "mariadb" else "mysql"
        client = self.installation.program(name) or name
        return shlex.join(
            [str(client), "-h", HOST, "-P", str(self.port), "-u", USER, f"-p{self._password}", database]
        )

    def connect(self, database: str | None = None) -> pymysql.Connection[pymysql.cursors.Cursor]:
        """An autocommit connection as root; the caller closes it."""
        return pymysql.connect(
            host=HOST, port=self.port, user=USER, password=self._password, database=database, autocommit=True
        )

    def initialize(self) -> None:
        """Make the data folder, unless it is there. Raises EmbeddedMysqlError."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.cluster.exists():
            return
        # What an interrupted initialization leaves is never mistaken for data.
        partial = self.data_dir / "data.partial"
        shutil.rmtree(partial, ignore_errors=True)
        made = subprocess.run(
            self._initializer(partial),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env=self._environment(),
            cwd="/",
        )
        if made.returncode != 0:
            reason = (made.stderr + made.stdout).decode(errors="replace").strip()[-2000:]
            raise EmbeddedMysqlError(f"{self._title} could not make its data in {self.data_dir}: {reason}")
        partial.rename(self.cluster)

    def start(self) -> None:
        """Make the data if need be and run the server until it accepts connections.

        Raises EmbeddedMysqlError with the end of the server's own log.
        """
        if self.pid is not None:
            raise EmbeddedMysqlError(f"The embedded {self._title} in {self.data_dir} runs already")
        self._release()
        self.initialize()
        self._prepare_password()
        if self._port is not None:
            self._launch(self._port)
            return
        for attempt in range(PORT_ATTEMPTS):
            port = host.free_port(HOST)
            try:
                self._launch(port)
            except EmbeddedMysqlError:
                # Another process may take the port between our look and the server's bind.
                if attempt == PORT_ATTEMPTS - 1 or "Address already in use" not in self._log_tail():
                    raise
            else:
                return

    def stop(self) -> None:
        """Shut down in order; harder if that takes long."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
        self._release()

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        self._release()

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

    def _initializer(self, folder: Path) -> list[str | Path]:
        installed = self.installation
        if installed.flavor == "mysql":
            options = ["--initialize-insecure", "--innodb-redo-log-capacity=16M", *installed.folders]
            return [installed.server, "--no-defaults", *self._user(), *options, f"--datadir={folder}"]
        script = installed.program("mariadb-install-db")
        if script is None:
            raise EmbeddedMysqlError(f"No mariadb-install-db beside {installed.server}")
        folders = [one for one in installed.folders if not one.startswith("--plugin-dir")]
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        return [script, "--no-defaults", *self._user(), *folders, *options, f"--datadir={folder}"]

    def _prepare_password(self) -> None:
        file = self.data_dir / "password"
        if file.exists():
            self._password = file.read_text()
        else:
            self._password = secrets.token_urlsafe(18)
            file.touch(mode=0o600)
            file.write_text(self._password)
        statements = [  # each on a line of its own, as the server wants it
            "SET sql_log_bin = 0;",
            f"ALTER USER {USER}@localhost IDENTIFIED BY '{self._password}';",
            f"CREATE USER IF NOT EXISTS {USER}@'{HOST}';",
            f"ALTER USER {USER}@'{HOST}' IDENTIFIED BY '{self._password}';",
            f"GRANT ALL ON *.* TO {USER}@'{HOST}' WITH GRANT OPTION;",
        ]
        first = self.data_dir / "init.sql"
        first.touch(mode=0o600)
        first.write_text("\n".join(statements) + "\n")

    def _launch(self, port: int) -> None:
        self._port = port
        settings = [
            f"--{name}" if value is None else f"--{name}={value}" for name, value in self.settings.items()
        ]
        program: list[str | Path] = [
            self.installation.server,
            "--no-defaults",
            *self._user(),
            *self.installation.folders,
            f"--datadir={self.cluster}",
            f"--init-file={self.data_dir / 'init.sql'}",
            f"--port={port}",
            *settings,
        ]
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            process = self._process = subprocess.Popen(
                host.guarded(program),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=self._environment(),
                cwd="/",
                start_new_session=True,  # Ctrl-C is for us, who then stop the server in order
            )
        deadline = time.monotonic() + READY_SECONDS
        while not self._ready():
            code = process.poll()
            if code is not None:
                self._release()
                raise EmbeddedMysqlError(f"{self._title} did not start (exit {code}):\n{self._log_tail()}")
            if time.monotonic() > deadline:
                self.kill()
                raise EmbeddedMysqlError(f"{self._title} was not ready in time:\n{self._log_tail()}")
            time.sleep(POLL_SECONDS)

    def _ready(self) -> bool:
        """Whether it takes connections with our password, which another server on the port would not."""
        try:
            self.connect().close()
        except pymysql.MySQLError:
            return False
        return True

    def _environment(self) -> dict[str, str]:
        """With a folder for temporary tables of its own: MariaDB, when it starts, removes those of all others."""
        folder = self.data_dir / "tmp"
        folder.mkdir(exist_ok=True)
        return {**host.environment(), "TMPDIR": str(folder)}

    def _user(self) -> list[str]:
        """It runs as root only if told to."""
        return ["--user=root"] if os.geteuid() == 0 else []

    def _log_tail(self) -> str:
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read()[-2000:].decode(errors="replace").strip()
