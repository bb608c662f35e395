"""Node's own test runner, and the packages from npm that tests in JavaScript use."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from hashlib import blake2b
from pathlib import Path
from typing import Final

import pytest

from broadcaster.demo.cache import made_once

JS: Final = Path(__file__).parents[1] / "js"
_OLDEST: Final = 20
_PATIENCE_S: Final = 120


class NodeNotFound(Exception):
    """What is missing on this machine, and what to install."""


def _why_not() -> str | None:
    if shutil.which("node") is None:
        return "no node here: apt-get install nodejs"
    version = subprocess.check_output(["node", "--version"], text=True).strip()
    return None if int(version[1:].split(".")[0]) >= _OLDEST else f"node {version} is older than {_OLDEST}"


WHY_NOT: Final = _why_not()
with_node = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


def npm_packages() -> Path:
    """The `node_modules` of tests/js/package.json; the first call ever downloads them (27 MB). Blocks. Raises
    NodeNotFound."""
    manifest = (JS / "package.json").read_bytes()
    return made_once(f"npm-{blake2b(manifest, digest_size=8).hexdigest()}", _install) / "node_modules"


def _install(folder: Path) -> None:
    if shutil.which("npm") is None:
        raise NodeNotFound("no npm here: apt-get install npm")
    shutil.copy(JS / "package.json", folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--ignore-scripts"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=_PATIENCE_S)
    except subprocess.SubprocessError as error:
        raise NodeNotFound(f"npm could not download the tests' packages: {error}") from error


async def run_node(*arguments: str | Path, cwd: Path = JS, **environment: str) -> str:
    """`node …` is to succeed; what it says of a failure is shown. Returns what it said."""
    process = await asyncio.create_subprocess_exec(
        *("node", *arguments),
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said.decode()
    return said.decode()
