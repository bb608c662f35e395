"""Programs from Debian's packages, in a private folder: nothing on the system changes and nobody need be root.

The packages come with all their libraries, libc included, so that they run whatever distribution this is. apt checks
the signatures with Debian's own keys, which must be there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broadcaster.demo.cache import made_once
from cdc.errors import LivetailError

MIRROR: Final = "http://deb.debian.org/debian"
KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PATIENCE_S: Final = 300
_ELF: Final = b"\x7fELF"

# apt takes perl, which only helpers of the packages use, for installed; it and its like are half of the download.
_STATUS: Final = """\
Package: perl
Status: install ok installed
Priority: standard
Section: perl
Maintainer: none
Installed-Size: 1
Architecture: {architecture}
Multi-Arch: allowed
Version: 99
Description: left out

"""

# In place of each program: run it by the loader and with the libraries that came with it, wherever the folder is now.
_WRAPPER: Final = """\
#!/bin/sh
root=$(dirname "$(dirname "$(dirname "$(readlink -f "$0")")")")
exec "$root/{loader}" --library-path "$root/{first}:$root/{second}" "$root/elf/{name}" "$@"
"""


class NotFromDebian(LivetailError):
    """The programs cannot be had from Debian's packages."""


@dataclass(frozen=True, slots=True)
class Packages:
    """What to unpack: `suite` as Debian calls it; `names` with all that they depend on; `alone` without."""

    suite: str
    names: tuple[str, ...]
    alone: tuple[str, ...] = ()


def unpacked(name: str, packages: Packages) -> Path:
    """The folder that holds the packages' files (`usr/sbin/…`), downloaded if this is the first call ever; whatever
    interrupts that, the next call mends it. Blocks, for seconds. Raises NotFromDebian.
    """

    def unpack(folder: Path) -> None:
        apt = folder.with_suffix(".apt")
        for package in _downloaded(packages, apt):
            _run(["dpkg", "-x", package, folder], folder)
        _wrap(folder)
        shutil.rmtree(apt)

    return made_once(name, unpack)


def missing() -> str | None:
    """What this machine lacks for `unpacked`; None if nothing."""
    for program in ("apt-get", "dpkg"):
        if shutil.which(program) is None:
            return f"no {program}, which fetches them from Debian, on this machine"
    if not KEYRING.exists():
        return f"no {KEYRING} to check Debian's signatures with (package debian-archive-keyring)"
    return None


def _downloaded(packages: Packages, folder: Path) -> list[Path]:
    lacking = missing()
    if lacking is not None:
        raise NotFromDebian(f"There is {lacking}")
    archives = folder / "cache" / "archives"
    for path in (folder / "lists" / "partial", archives / "partial", folder / "state"):
        path.mkdir(parents=True, exist_ok=True)
    architecture = _run(["dpkg", "--print-architecture"], folder).strip()
    (folder / "state" / "status").write_text(_STATUS.format(architecture=architecture))
    (folder / "sources.list").write_text(f"deb [signed-by={KEYRING}] {MIRROR} {packages.suite} main\n")
    options = {
        "Dir::State": folder / "state",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "state" / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "-",
        "Dir::Etc::Preferences": "-",
        "Dir::Etc::PreferencesParts": "-",
        "APT::Sandbox::User": "root",
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
    }
    apt = [
        "apt-get",
        "-q",
        *(argument for pair in options.items() for argument in ("-o", "=".join(map(str, pair)))),
    ]
    _run([*apt, "update"], folder)
    _run([*apt, "-y", "--no-install-recommends", "--download-only", "install", *packages.names], folder)
    if packages.alone:
        _run([*apt, "download", *packages.alone], archives)
    return sorted(archives.glob("*.deb"))


def _wrap(root: Path) -> None:
    """Replace each program by a script that runs it with the libraries that came with it."""
    loaders = [
        *root.glob("usr/lib/*-linux-gnu*/ld-linux*.so.*"),
        *root.glob("lib/*-linux-gnu*/ld-linux*.so.*"),
    ]
    if not loaders:
        raise NotFromDebian(f"{root} holds no program loader: Debian's libc6 has changed")
    loader = loaders[0].relative_to(root)
    libraries = Path("lib") / loader.parent.name  # in older releases some are not below usr
    elf = root / "elf"
    elf.mkdir()
    for program in [*root.glob("usr/bin/*"), *root.glob("usr/sbin/*")]:
        if program.is_symlink() or not _is_elf(program):
            continue
        program.rename(elf / program.name)
        program.write_text(
            _WRAPPER.format(loader=loader, first="usr" / libraries, second=libraries, name=program.name)
        )
        program.chmod(0o755)


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_ELF)) == _ELF


def _run(command: Sequence[str | Path], folder: Path) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        )
    except subprocess.CalledProcessError as error:
        told = re.sub(r"\s+", " ", error.stderr).strip()[-600:]
        raise NotFromDebian(f"{command[0]} failed: {told}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise NotFromDebian(f"{command[0]} failed: {error}") from error
    return done.stdout
