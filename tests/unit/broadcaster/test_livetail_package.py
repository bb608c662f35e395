"""livetail.js without a server, and the package that npm makes of it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from cdc import VERSION
from support.node import JS, NodeNotFound, npm_packages, run_node, with_node

ROOT = Path(__file__).parents[3]
STATIC = ROOT / "broadcaster/static"
SOURCE = STATIC / "livetail.js"


@with_node
@pytest.mark.parametrize("file", ["console.test.js", "livetail.test.js", "stream.test.js"])
async def test_without_a_server(file: str) -> None:
    await run_node("--test", file)


def test_every_export_has_a_type() -> None:
    exported = re.compile(r"^export (?:async )?(?:class|function|const) (\w+)", re.MULTILINE)
    for name in ("livetail", "react"):
        source = exported.findall((STATIC / f"{name}.js").read_text())
        assert sorted(source) == sorted(exported.findall((STATIC / f"{name}.d.ts").read_text()))
        assert source


def test_npm_and_pypi_have_one_version() -> None:
    assert json.loads((STATIC / "package.json").read_text())["version"] == VERSION


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a project that has the package, as packed by npm, and React."""
    try:
        packages = npm_packages()
    except NodeNotFound as missing:
        pytest.skip(str(missing))
    folder = tmp_path_factory.mktemp("project")
    subprocess.run(
        ["npm", "pack", "--silent", "--pack-destination", folder, STATIC],
        check=True,
        capture_output=True,
        timeout=60,
    )
    modules = folder / "node_modules"
    modules.mkdir()
    with tarfile.open(folder / f"livetail-{VERSION}.tgz") as tar:
        tar.extractall(modules, filter="data")
    (modules / "package").rename(modules / "livetail")
    for other in packages.iterdir():
        if not other.name.startswith("."):
            (modules / other.name).symlink_to(other)
    for file in ("package.json", "react.js", "types.ts"):
        shutil.copy(JS / file, folder)
    return folder


@with_node
def test_what_is_in_it(package: Path) -> None:
    found = sorted(path.name for path in (package / "node_modules/livetail").iterdir())
    assert found == ["README.md", "livetail.d.ts", "livetail.js", "package.json", "react.d.ts", "react.js"]


@with_node
async def test_react(package: Path) -> None:
    await run_node("--test", "react.js", cwd=package)


@with_node
async def test_types(package: Path) -> None:
    tsc = package / "node_modules/typescript/bin/tsc"
    library = (
        "--noEmit",
        "--skipLibCheck",
        "--target",
        "es2022",
        "--lib",
        "es2023,dom,dom.iterable,dom.asynciterable",
    )
    checks = (
        (*library, "--strict", "--module", "nodenext", "types.ts"),
        (*library, "--allowJs", "--checkJs", "--module", "es2022", "--moduleResolution", "bundler", SOURCE),
    )
    await asyncio.gather(*(run_node(tsc, *arguments, cwd=package) for arguments in checks))
