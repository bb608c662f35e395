"""`livetail dev` as a process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.tailer_process import ROOT


@contextmanager
def dev(config: Path, address: str) -> Iterator[subprocess.Popen[str]]:
    """Ready on `address` (host:port) until the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "broadcaster.cli", "dev", "-c", config, "--listen", address],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        while "Ready" not in (line := process.stdout.readline()):
            if not line:
                raise SystemExit("livetail dev ended")
        yield process
    finally:
        process.terminate()
        process.wait()
