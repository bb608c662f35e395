"""Where a demo keeps its database and its log: a folder that one demo at a time holds."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cdc.errors import LivetailError

PREFIX: Final = "livetail-demo-"
_LOCK: Final = "lock"


class FolderInUse(LivetailError):
    """Another demo runs in this folder."""


@contextlib.contextmanager
def demo_folder(given: Path | None) -> Iterator[Path]:
    """The folder as given, kept afterwards; else a temporary one, removed afterwards, as are those that a killed demo
    left behind. Raises FolderInUse, OSError."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        lock = _locked(given, create=True)
        if lock is None:
            raise FolderInUse(
                f"Another demo runs in {given}: stop it, or name another folder with --data-dir"
            )
        with lock:
            yield given
        return
    remove_abandoned(Path(tempfile.gettempdir()))
    folder, lock = _temporary()
    with lock:
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned(parent: Path) -> None:
    """Remove our own user's demo folders whose demo is no more."""
    for folder in parent.glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid != os.geteuid():
                continue
            lock = _locked(folder, create=False)
            if lock is not None:
                with lock:
                    shutil.rmtree(folder, ignore_errors=True)


def _temporary() -> tuple[Path, contextlib.ExitStack]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = _locked(folder, create=True)
        if lock is not None and folder.exists():
            folder.chmod(0o711)  # as root, Postgres runs as another user, who must pass through
            return folder, lock
        # Another demo took it for an abandoned one before it was locked.


def _locked(folder: Path, *, create: bool) -> contextlib.ExitStack | None:
    """Holds the folder until closed, or until this process ends in whatever way; None if somebody else holds it."""
    flags = os.O_RDWR | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
    stack = contextlib.ExitStack()
    file = os.open(folder / _LOCK, flags, 0o600)
    stack.callback(os.close, file)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        stack.close()
        return None
    return stack
