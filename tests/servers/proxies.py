"""The proxies that the documentation configures: this machine's, else from Debian's packages, downloaded once each."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from broadcaster.demo.debian import Packages, unpacked

_NGINX: Final = Packages(
    "bookworm", ("libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"), alone=("nginx",)
)
_CADDY: Final = Packages("bookworm", ("libc6",), alone=("caddy",))


def nginx() -> Path:
    """The program (6 MB to download). Blocks. Raises NotFromDebian."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    return Path(found) if found else unpacked("nginx-bookworm", _NGINX) / "usr" / "sbin" / "nginx"


def caddy() -> Path:
    """The program (12 MB to download). Blocks. Raises NotFromDebian."""
    found = shutil.which("caddy")
    return Path(found) if found else unpacked("caddy-bookworm", _CADDY) / "usr" / "bin" / "caddy"
