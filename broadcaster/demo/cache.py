"""Where downloaded programs stay, and how a folder there comes to be whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def cache() -> Path:
    """`livetail/servers` in the user's cache folder."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".cache") / "livetail" / "servers"


def made_once(name: str, fill: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache, made by `fill`, which gets an empty one, if this is the first call ever; whatever
    interrupts that, the next call mends it. Blocks. Raises what `fill` raises.
    """
    root = cache() / name
    if root.exists():
        return root
    root.parent.mkdir(parents=True, exist_ok=True)
    with root.with_name(f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once would write into one another's files
        if not root.exists():
            partial = root.with_name(f"{root.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            fill(partial)
            partial.rename(root)
    return root
