"""A server that tells many clients the same, as a process that is watched."""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

HOST = "127.0.0.1"
PATIENCE_S = 60
_TICKS = os.sysconf("SC_CLK_TCK")


class Server(Protocol):
    """who: in the table; pid: the process that does the sending; request: what a client sends to listen; ready: what
    the response holds once it is on the list."""

    who: str
    pid: int
    address: tuple[str, int]
    request: bytes
    ready: bytes

    def publish(self, changes: int) -> None:
        """Have each client told so many changes, one frame each, which come to the server together."""


@dataclass(frozen=True, slots=True)
class Use:
    """CPU seconds so far; the resident set now, in KiB."""

    cpu: float
    resident_kb: int

    @classmethod
    def of(cls, pid: int) -> Use:
        """Of a process, all its threads."""
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return cls((int(fields[11]) + int(fields[12])) / _TICKS, int(line.split()[1]))
        raise AssertionError(f"no VmRSS of {pid}")


def text(number: int) -> str:
    """What a change is about, the same for every server: with its frame about 300 bytes."""
    return f"change {number} of a row whose title is as long as titles are ".ljust(200, ".") + "~"


def allow_many_connections() -> None:
    """To this process, and to the servers that it starts from here on."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def free_port() -> int:
    """On the loopback."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def wait_for(address: tuple[str, int]) -> None:
    """Until it accepts connections."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            socket.create_connection(address, timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


class Publisher:
    """Publishes over one HTTP connection, several requests at once where several changes come together."""

    def __init__(self, address: tuple[str, int], path: str) -> None:
        self._socket = socket.create_connection(address, timeout=PATIENCE_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._path = path
        self._number = 0

    def publish(self, changes: int) -> None:
        """See `Server.publish`; reads away what was answered to those before."""
        while select.select([self._socket], [], [], 0)[0]:
            self._socket.recv(1 << 16)
        parts = []
        for _ in range(changes):
            self._number += 1
            body = json.dumps({"id": self._number, "title": text(self._number)})
            parts.append(
                f"POST {self._path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}"
            )
        self._socket.sendall("".join(parts).encode())

    def close(self) -> None:
        """Let the connection go."""
        self._socket.close()
