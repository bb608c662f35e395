"""Exclusivity by a lock on a file: the kernel releases it when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from cdc.errors import LogError, LogInUse


class LockFile:
    """An exclusive lock. Its file names the holder's pid, for people to read.

    `flock` and not `lockf`: it also excludes a second holder in the same process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None

    def hold(self) -> None:
        """Take the lock, or take it again if its file was removed meanwhile. Raises LogInUse while another holds it,
        LogError when the file cannot be used."""
        if self._fd is None or not _is_at(self._fd, self._path):
            fd = _acquire(self._path)
            self.release()
            self._fd = fd

    def release(self) -> None:
        """Let others have it. The file stays: removing it could let two holders in."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _acquire(path: Path) -> int:
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LogError(
                f"cannot open the lock file {path}: {error.strerror}; check folder and rights"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(fd, path):
                _write_pid(fd)
                return fd
        except BlockingIOError as error:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            os.close(fd)
            who = f"process {holder}" if holder else "another process"
            raise LogInUse(
                f"{who} writes this log already (it holds {path}); a database has one tailer: stop that one first"
            ) from error
        except OSError as error:
            os.close(fd)
            raise LogError(f"cannot lock {path}: {error.strerror}; put the log on a local disk") from error
        os.close(fd)


def _write_pid(fd: int) -> None:
    """For people only: on a full disk the lock is held all the same."""
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except OSError:
        return


def _is_at(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except FileNotFoundError:
        return False
