"""A datagram that tells the readers of a file, in any process, that there is something new.

Readers bind a Unix socket in a folder that follows from the file's path; the writer sends one byte to all that it finds
there. It is a hint: whatever fails here is ignored, since readers also look by themselves now and then.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from uuid import uuid4


def bell_folder(path: Path) -> Path:
    """Where the sockets for this file are: short whatever the file's path (a socket's may have some 100 bytes), and
    private to the user."""
    name = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"livetail-{os.geteuid()}" / name


def _make_private(folder: Path) -> None:
    """Raises OSError when the folder cannot be made or is open to others, who could have put it there."""
    for part in (folder.parent, folder):
        with suppress(FileExistsError):
            os.mkdir(part, 0o700)
        status = os.lstat(part)
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            raise PermissionError(f"{part} is not private")


def _open_socket() -> socket.socket | None:
    """None where the process has no descriptor left."""
    try:
        return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    except OSError:
        return None


class Ringer:
    """The writer's side."""

    def __init__(self, path: Path) -> None:
        self._folder = str(bell_folder(path))
        self._socket = _open_socket()

    def ring(self) -> None:
        """Wake every reader that there is; never blocks. Sockets whose reader died are removed."""
        self._socket = self._socket or _open_socket()
        if self._socket is None:
            return
        try:
            names = os.listdir(self._folder)
        except OSError:
            return
        for name in names:
            address = f"{self._folder}/{name}"
            try:
                self._socket.sendto(b"!", address)
            except ConnectionRefusedError:
                with suppress(OSError):
                    os.unlink(address)
            except OSError:
                continue

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()


class Bell:
    """A reader's side, for one task in the running loop."""

    def __init__(self, path: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()
        self._socket = _open_socket()
        self._address: str | None = None
        self._folder = bell_folder(path)
        address = str(self._folder / uuid4().hex[:12])
        if self._socket is None:
            return
        for _ in range(2):  # the last other reader may just remove the folder
            with suppress(OSError):
                _make_private(self._folder)
                self._socket.bind(address)
                self._address = address
                self._loop.add_reader(self._socket, self._drain)
                break

    def _drain(self) -> None:
        assert self._socket is not None
        self._rung.set()
        with suppress(OSError):
            while True:
                self._socket.recv(16)

    def mute(self) -> None:
        """Forget what rang until now; to be called before looking."""
        self._rung.clear()

    async def wait(self, seconds: float) -> None:
        """Until it rings after the last `mute`, at most so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._rung.wait()

    def close(self) -> None:
        if self._socket is None:
            return
        if self._address is not None:
            self._loop.remove_reader(self._socket)
            with suppress(OSError):
                os.unlink(self._address)
                os.rmdir(self._folder)  # fails while others are in it
            self._address = None
        self._socket.close()
