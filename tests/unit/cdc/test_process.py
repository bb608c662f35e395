"""What every command does around its work."""

from __future__ import annotations

import resource
import subprocess
import sys

_ASK = """
import resource
from cdc.process import allow_descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 128))
allow_descriptors()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_as_many_descriptors_as_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    said = subprocess.run([sys.executable, "-c", _ASK], check=True, capture_output=True, text=True).stdout
    assert said.split() == ["128", "128"]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


_HANG = """
import asyncio, cdc.process
cdc.process._STOP_SECONDS = 0.1

async def work():
    print("working", flush=True)
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass

cdc.process.run("test", work())
"""


def test_what_does_not_stop_is_left() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HANG], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.terminate()
        _, said = process.communicate(timeout=20)
    assert process.returncode == 0
    assert "left as it is" in said
