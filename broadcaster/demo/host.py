"""What running a server asks of the operating system: a user, an environment, a port, its processes."""

from __future__ import annotations

import os
import pwd
import secrets
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

# Below the ports that systems hand out to outgoing connections: one of those could take the port while the server is
# down, even a client's own retry (a loopback connection to oneself).
PORTS: Final = range(15_000, 32_000)
PORT_ATTEMPTS: Final = 100

# Becomes the server, after leaving behind a watchdog that waits on the pipe from our parent: a line means that all is
# well, its end that the parent died. Unlike PR_SET_PDEATHSIG it is portable and does not fire when a mere thread ends.
_LAUNCH: Final = """
exec 3<&0 </dev/null
( ( read -r _ <&3 || kill -"$0" $$ ) >/dev/null 2>&1 & )
exec 3<&-
exec "$@"
"""


def guarded(program: Sequence[str | Path], signal: str = "QUIT") -> list[str | Path]:
    """The command that runs a server and, should we die before writing a line to its standard input, ends it by
    `signal`."""
    return ["/bin/sh", "-c", _LAUNCH, signal, *program]


def unprivileged() -> dict[str, Any]:
    """`subprocess` arguments to start what refuses to be root: as user nobody; nothing unless we are root."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def give_away(path: Path) -> None:
    """Make the user of `unprivileged()` its owner."""
    identity = unprivileged()
    if identity:
        os.chown(path, identity["user"], identity["group"])


def reachable(folder: Path) -> bool:
    """Whether the user of `unprivileged()` can enter the folder."""
    entered = subprocess.run(
        ["/bin/sh", "-c", 'cd "$1"', "sh", folder], stderr=subprocess.DEVNULL, **unprivileged()
    )
    return entered.returncode == 0


def environment() -> Mapping[str, str]:
    """Nothing of the user's PG* variables and locale, which would change the server."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


def free_port(host: str) -> int:
    """A TCP port that nobody listens on now. Raises OSError if chance finds none."""
    for attempt in range(PORT_ATTEMPTS):
        port = secrets.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                if attempt == PORT_ATTEMPTS - 1:
                    raise
            else:
                break
    return port


def children(parent: int) -> list[int]:
    """The ids of a process' children; Linux only."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if (stat := _stat(pid)) is not None and stat[1] == parent]


def alive(pid: int) -> bool:
    """Whether the process runs; one that is dead but not yet waited for does not. Linux only."""
    stat = _stat(pid)
    return stat is not None and stat[0] not in "ZX"


def _stat(pid: int) -> tuple[str, int] | None:
    """(state, parent) of a process (proc(5), /proc/pid/stat); None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[1])
