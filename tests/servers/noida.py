"""The broker for machines that Apache's cannot be had on: `noida-db` from PyPI, where it is installed. It is right in
what a client sees of topics, transactions and groups; it has no password, no TLS, one node, and loses what it
acknowledged when it is killed."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

import pytest

from broadcaster.demo import host

HOST: Final = "127.0.0.1"
_PATIENCE_S: Final = 30


def noida() -> Path | None:
    """The program; None where it is not installed."""
    package = importlib.util.find_spec("noida_db")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).with_name("noida-db")


class Noida:
    """Stands in for `kafka_cluster.Kafka`, and skips the tests that ask for more than it can. why: the reason."""

    def __init__(self, port: int, why: str) -> None:
        self._port = port
        self._why = why

    def bootstrap(self, listener: str = "PLAINTEXT") -> str:
        """host:port."""
        return f"{HOST}:{self._port}" if listener == "PLAINTEXT" else self._skip(listener)

    def start(self) -> None:
        """It runs."""

    def __getattr__(self, name: str) -> NoReturn:
        self._skip(f"`{name}`")

    def _skip(self, what: str) -> NoReturn:
        pytest.skip(f"noida-db has no {what}, and Apache Kafka is not there: {self._why}")


@contextmanager
def temporary_noida(program: Path, why: str) -> Iterator[Noida]:
    """Started; killed and removed in the end."""
    port = host.free_port(HOST)
    with tempfile.TemporaryDirectory(prefix="livetail-noida-") as folder:
        command = [program, "start", "--data-dir", folder, "--only", "kafka", "--kafka-port", str(port)]
        process = subprocess.Popen(
            host.guarded(command, "KILL"),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
        )
        try:
            _wait(port, process)
            yield Noida(port, why)
        finally:
            process.kill()
            process.communicate(b"\n")


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
