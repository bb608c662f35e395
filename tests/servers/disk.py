"""A file system of its own below a folder, which can be full. Linux, and only for root where it may mount.

Use from a test: `full_disks` (whether there can be such), `disk_below`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

BYTES: Final = 1 << 30
_PATIENCE_S: Final = 20
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

# Holds the file system for as long as somebody holds its standard input: it is gone with us even if we are killed.
_HOLD: Final = """
mount -t tmpfs -o size="$3" livetail "$1" && cp -a "$2/." "$1" && echo mounted && read -r _
umount -l "$1"
"""


class NoDisk(Exception):
    """Nothing may be mounted here."""


class Disk:
    """Mounted on `folder`. Make it with `disk_below`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        """Leave no room: the next page that anyone writes is one too many."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            free = os.statvfs(self.folder)
            used = free.f_blocks - free.f_bfree
            if self._resize(used * _PAGE):
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.folder} grows faster than it can be made full")

    def free(self) -> None:
        """Make room again."""
        assert self._resize(BYTES)

    def _resize(self, size: int) -> bool:
        """False where more is in use by now."""
        command = ["mount", "-o", f"remount,size={size}", self.folder]
        return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


@contextmanager
def disk_below(folder: Path) -> Iterator[Disk]:
    """Move what is in the folder, which nobody uses now, to a disk of its own; all of it is gone in the end.

    Raises NoDisk, with the reason.
    """
    before = folder.with_name(f"{folder.name}.before")
    folder.rename(before)
    folder.mkdir()
    command = ["/bin/sh", "-c", _HOLD, "sh", folder, before, str(BYTES)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as holder:
        assert holder.stdout is not None and holder.stderr is not None
        if not holder.stdout.readline():
            reason = holder.stderr.read().decode(errors="replace").strip()
            folder.rmdir()
            before.rename(folder)
            raise NoDisk(reason)
        shutil.rmtree(before)
        try:
            yield Disk(folder)
        finally:
            holder.communicate(b"\n")


_could_not_run = pytest.StashKey[dict[str, str]]()


@pytest.fixture(scope="session")
def full_disks(pytestconfig: pytest.Config) -> bool:
    """Whether a disk can be had here; if not, the summary says so."""
    with tempfile.TemporaryDirectory(prefix="livetail-disk-") as folder:
        (tried := Path(folder, "tried")).mkdir()
        try:
            with disk_below(tried):
                return True
        except NoDisk as error:
            pytestconfig.stash[_could_not_run]["full disks"] = str(error)
            return False


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_could_not_run] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for what, why in config.stash[_could_not_run].items():
        terminalreporter.write_line(f"could not run on {what}: {why}", yellow=True)
