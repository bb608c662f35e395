"""Where the kernel can be built it is, and is used; it can be left out."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from cdc import kernel

HEADERS = Path(sysconfig.get_path("include")) / "Python.h"


@pytest.mark.skipif(not (shutil.which("cc") and HEADERS.exists()), reason="no C compiler or Python headers")
def test_it_is_built_where_it_can_be() -> None:
    assert kernel.describe() == "compiled", "install anew: pip install -e ."


def test_it_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(kernel.SWITCH, "off")
    assert kernel.describe() == "off (LIVETAIL_KERNEL)"
    assert all(kernel.load(part) is None for part in kernel.PARTS)


def test_the_version_names_it() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "from broadcaster.cli import main; main()", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip().endswith(f"kernel: {kernel.describe()}")
