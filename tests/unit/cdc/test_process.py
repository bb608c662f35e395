"""What every command does around its work."""

from __future__ import annotations

import json
import re
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


_FAIL = """
import logging
from cdc.errors import ConfigError
from cdc.log_output import LogStyle
from cdc.process import run

async def work():
    logging.getLogger("cdc.x").info("%s begins\\nanew", "é")
    logging.getLogger("cdc.x").debug("not told")
    try:
        1 / 0
    except ZeroDivisionError:
        logging.getLogger("cdc.x").exception("oh")
    raise ConfigError("not so")

run("test", work(), LogStyle(json=True))
"""


def test_log_lines_for_programs() -> None:
    done = subprocess.run([sys.executable, "-c", _FAIL], capture_output=True, text=True)
    assert done.returncode == 2
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["level"], line["logger"], line["message"]) for line in lines] == [
        ("info", "cdc.x", "é begins\nanew"),
        ("error", "cdc.x", "oh"),
        ("critical", "livetail.test", "not so"),
    ]
    assert "ZeroDivisionError" in lines[1]["traceback"]
    assert all(re.fullmatch(r"[0-9-]{10}T[0-9:]{8}\.[0-9]{3}Z", line["time"]) for line in lines)
