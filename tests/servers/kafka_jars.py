"""Apache Kafka's server: its jars from Maven Central, fetched once by Maven itself, run by this machine's Java."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broadcaster.demo.cache import made_once

VERSION: Final = "4.3.1"
_POM: Final = Path(__file__).with_name("kafka-pom.xml")
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_OLDEST_JAVA: Final = 17
_PATIENCE_S: Final = 300


class KafkaNotFound(Exception):
    """Apache Kafka's server cannot run on this machine; the text says what to install."""


@dataclass(frozen=True, slots=True)
class KafkaJars:
    """java: the program; java_version: like `17.0.15`; folder: holds all jars; options: for the JVM."""

    java: Path
    java_version: str
    folder: Path
    options: tuple[str, ...] = ()


def kafka_jars() -> KafkaJars:
    """The server; the first call ever downloads it (44 MB). Blocks. Raises KafkaNotFound."""
    return KafkaJars(*_java(), made_once(f"kafka-{VERSION}", lambda folder: fetch(_POM, folder)))


def _java() -> tuple[Path, str]:
    """The program and its version."""
    found = shutil.which("java")
    if found is None:
        raise KafkaNotFound("no java on PATH (Debian: default-jre-headless)")
    told = _run([found, "-version"])
    match = re.search(r'version "((\d+)[^"]*)', told)
    if match is None or int(match[2]) < _OLDEST_JAVA:
        raise KafkaNotFound(f"{found} is not Java {_OLDEST_JAVA} or later: {told.splitlines()[0]}")
    return Path(found), match[1]


def fetch(pom: Path, folder: Path) -> None:
    """Put the jars that a pom names into the folder. Raises KafkaNotFound."""
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaNotFound("no mvn on PATH, which fetches it (Debian: maven)")
    _run(
        [
            maven,
            "-q",
            "-B",
            "-ntp",
            "-f",
            pom,
            _COPY,
            "-DincludeScope=runtime",
            f"-DoutputDirectory={folder}",
        ]
    )


def _run(command: list[str | Path]) -> str:
    """All that it prints."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE_S,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        told = re.sub(r"\s+", " ", error.stdout).strip()
        raise KafkaNotFound(f"{command[0]} failed: {told[:300]}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise KafkaNotFound(f"{command[0]} failed: {error}") from error
    return done.stdout
