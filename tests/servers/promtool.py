"""Prometheus' own checker of rules: this machine's, else from Debian's package, downloaded once (20 MB)."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from broadcaster.demo.debian import Packages, unpacked

_PACKAGES: Final = Packages("bookworm", ("libc6",), alone=("prometheus",))


def promtool() -> Path:
    """The program. Blocks. Raises NotFromDebian."""
    found = shutil.which("promtool")
    return Path(found) if found else unpacked("prometheus-bookworm", _PACKAGES) / "usr" / "bin" / "promtool"
