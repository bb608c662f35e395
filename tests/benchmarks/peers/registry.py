"""Gets the peers from the registries by their ordinary clients, once, into a folder of the user's cache."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from broadcaster.demo.debian import cache

FOLDER = cache().parent / "peers"
PATIENCE_S = 900
_POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>livetail</groupId> <artifactId>peers</artifactId> <version>1</version>
  <dependencies>{dependencies}</dependencies>
</project>
"""


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
    target = FOLDER / f"{name}-{version}"
    if not target.exists():
        partial = _fresh(target)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        run([*pip, "--only-binary=:all:", f"{name}=={version}", "--dest", partial], partial)
        for file in partial.glob("*.whl"):
            with zipfile.ZipFile(file) as archive:
                archive.extractall(partial)
            file.unlink()
        partial.rename(target)
    return target


def maven(name: str, *artifacts: str) -> Path:
    """A folder of the jars of these artifacts of Maven Central (`group:artifact:version`) and all they depend on."""
    target = FOLDER / name
    if not target.exists():
        partial = _fresh(target)
        (partial / "pom.xml").write_text(_POM.format(dependencies="".join(map(_dependency, artifacts))))
        copy = [program("mvn"), "--batch-mode", "--no-transfer-progress", "dependency:copy-dependencies"]
        run([*copy, "-DincludeScope=runtime", f"-DoutputDirectory={partial}"], partial)
        partial.rename(target)
    return target


def npm(name: str, *packages: str) -> Path:
    """A folder with these packages of npm (`name@version`) and all that they depend on in `node_modules`."""
    target = FOLDER / name
    if not target.exists():
        partial = _fresh(target)
        (partial / "package.json").write_text('{"private": true}\n')
        run([program("npm"), "install", "--no-audit", "--no-fund", "--loglevel=error", *packages], partial)
        partial.rename(target)
    return target


def _dependency(artifact: str) -> str:
    group, name, version = artifact.split(":")
    return (
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId>"
        f"<version>{version}</version></dependency>"
    )


def _fresh(target: Path) -> Path:
    """What an interrupted download left is never taken for a peer."""
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial
