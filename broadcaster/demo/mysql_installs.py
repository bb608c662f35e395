"""Finds MySQL's and MariaDB's own programs: on this machine if recent enough, else in Debian's packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from broadcaster.demo.debian import NotFromDebian, Packages, unpacked
from cdc.errors import LivetailError

Flavor: TypeAlias = Literal["mysql", "mariadb"]

TITLES: Final[Mapping[Flavor, str]] = MappingProxyType({"mysql": "MySQL", "mariadb": "MariaDB"})
_PROGRAMS: Final[Mapping[Flavor, str]] = MappingProxyType({"mysql": "mysqld", "mariadb": "mariadbd"})
_OLDEST: Final[Mapping[Flavor, tuple[int, int]]] = MappingProxyType({"mysql": (8, 4), "mariadb": (10, 6)})
_DEBIAN: Final[Mapping[Flavor, Packages]] = MappingProxyType(
    {
        "mysql": Packages("sid", ("mysql-server-core", "mysql-client-core")),
        # mariadb-server holds the plugins (ed25519 among them), and asks for much else
        "mariadb": Packages("bookworm", ("mariadb-server-core", "mariadb-client-core"), ("mariadb-server",)),
    }
)
_SYSTEM_FOLDERS: Final = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec", "/usr/local/mysql/bin")


class MysqlNotFound(LivetailError):
    """No MySQL or MariaDB programs found."""


@dataclass(frozen=True, slots=True)
class MysqlInstallation:
    """One set of programs: `server` is mysqld or mariadbd; `version` is like `9.7.4`; `root`: the folder that holds
    `usr`, of programs that were unpacked from packages; None for those at home on this machine."""

    flavor: Flavor
    server: Path
    version: str
    root: Path | None

    @property
    def release(self) -> tuple[int, ...]:
        """Like (9, 7, 4)."""
        return tuple(int(part) for part in self.version.split("."))

    def program(self, name: str) -> Path | None:
        """Another program of the set, such as `mysqlbinlog`; None if there is none."""
        if self.root is None:
            found = shutil.which(name)
            return None if found is None else Path(found)
        path = self.root / "usr" / "bin" / name
        return path if path.exists() else None

    @property
    def folders(self) -> list[str]:
        """The options that tell the server where its own files are."""
        if self.root is None:
            return []
        usr = self.root / "usr"
        share = usr / "share" / "mysql"
        return [
            f"--basedir={usr}",
            f"--lc-messages-dir={share}",
            f"--character-sets-dir={share / 'charsets'}",
            f"--plugin-dir={usr / 'lib' / 'mysql' / 'plugin'}",
        ]


def installation(flavor: Flavor) -> MysqlInstallation:
    """The programs of MySQL or MariaDB: those of this machine if they are recent enough, else Debian's, which the
    first call ever downloads (MySQL 60 MB, MariaDB 15 MB). Blocks. Raises MysqlNotFound.
    """
    found = _on_this_machine(flavor)
    if found is not None:
        return found
    try:
        root = unpacked(f"{flavor}-{_DEBIAN[flavor].suite}", _DEBIAN[flavor])
    except NotFromDebian as error:
        oldest = ".".join(map(str, _OLDEST[flavor]))
        raise MysqlNotFound(
            f"{TITLES[flavor]}: no {_PROGRAMS[flavor]} {oldest} or later on PATH, "
            f"and Debian's could not be had: {error}"
        ) from error
    server = root / "usr" / "sbin" / _PROGRAMS[flavor]
    version = _version(flavor, server)
    if version is None:
        raise MysqlNotFound(
            f"{server}, unpacked from Debian's packages, does not run: remove {root} and try again"
        )
    return MysqlInstallation(flavor, server, version, root)


def _on_this_machine(flavor: Flavor) -> MysqlInstallation | None:
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *_SYSTEM_FOLDERS))
    found = shutil.which(_PROGRAMS[flavor], path=path)
    version = None if found is None else _version(flavor, Path(found))
    if found is None or version is None:
        return None
    installed = MysqlInstallation(flavor, Path(found), version, None)
    return installed if installed.release >= _OLDEST[flavor] else None


def _version(flavor: Flavor, server: Path) -> str | None:
    """Its version; None if it does not run, or is the other of the two (MariaDB's is called mysqld, too)."""
    try:
        answer = subprocess.run([server, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"Ver (\d+\.\d+\.\d+)(-MariaDB)?", answer.stdout)
    if match is None or (flavor == "mariadb") != (match[2] is not None):
        return None
    return match[1]
