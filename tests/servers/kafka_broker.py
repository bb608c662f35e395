"""One node of Apache Kafka, broker and controller in one process (KRaft), in a folder of its own."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import signal
import subprocess
import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from broadcaster.demo import host
from servers.kafka_jars import KafkaJars

HOST: Final = "127.0.0.1"
PROXIED: Final = ("PROXIED", "PROXIED_TOO")
LISTENERS: Final = ("PLAINTEXT", *PROXIED, "SASL_PLAINTEXT", "SSL", "SASL_SSL", "CONTROLLER")
_READY: Final = b"Kafka Server started"
_TAKEN: Final = b"Address already in use"
_PATIENCE_S: Final = 60
_POLL_S: Final = 0.05
# A third of the heap and of the time to start that Kafka's own scripts would take.
_JVM: Final = ("-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_LOGGING: Final = Path(__file__).with_name("kafka-log4j2.properties")


class PortTaken(RuntimeError):
    """Another process took one of the ports between our look and the server's bind."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a node listens, by listener; `proxied` is where it says that those of `PROXIED` are: a test's proxies."""

    of: Mapping[str, int]
    proxied: Mapping[str, int]


def free_ports(nodes: int) -> list[Ports]:
    """Of each node."""
    free: set[int] = set()
    while len(free) < nodes * (len(LISTENERS) + len(PROXIED)):
        free.add(host.free_port(HOST))
    return [
        Ports({name: free.pop() for name in LISTENERS}, {name: free.pop() for name in PROXIED})
        for _ in range(nodes)
    ]


def java(jars: KafkaJars, main: str, *arguments: str | Path) -> list[str | Path]:
    """The command that runs a class of Kafka's."""
    logging = f"-Dlog4j2.configurationFile={_LOGGING}"
    return [jars.java, *_JVM, *jars.options, logging, "-cp", f"{jars.folder}/*", main, *arguments]


class Broker:
    """Node `number` (from 1 on). settings: server.properties; template: a formatted log folder, to begin with."""

    def __init__(
        self,
        folder: Path,
        jars: KafkaJars,
        number: int,
        ports: Ports,
        settings: Mapping[str, str],
        template: Path,
    ) -> None:
        folder.mkdir()
        self.number = number
        self.ports = ports
        self.data = folder / "data"
        self.log_file = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        properties = folder / "server.properties"
        own = {**settings, "node.id": str(number), "log.dirs": str(self.data), **_listeners(ports)}
        write_properties(properties, own)
        self._command = java(jars, "kafka.Kafka", properties)
        shutil.copytree(template, self.data)
        meta = self.data / "meta.properties"
        directory = urlsafe_b64encode(secrets.token_bytes(16)).rstrip(b"=").decode()
        text = re.sub(r"node\.id=.*", f"node.id={number}", meta.read_text())
        meta.write_text(re.sub(r"directory\.id=.*", f"directory.id={directory}", text))

    def address(self, listener: str = "PLAINTEXT") -> str:
        """host:port for clients. Of those of `PROXIED`: where the test's own proxy is expected."""
        return f"{HOST}:{self.ports.proxied.get(listener) or self.ports.of[listener]}"

    def target(self, listener: str = "PROXIED") -> tuple[str, int]:
        """What a proxy on `ports.proxied[listener]` forwards to."""
        return HOST, self.ports.of[listener]

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return None if self._process is None else self._process.pid

    def launch(self) -> None:
        """Start the process. It is not ready until `wait`."""
        assert self._process is None
        with self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                host.guarded(self._command, "KILL"),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Until it serves: one of three needs a second one for that."""
        process = self._process
        assert process is not None and process.stdin is not None
        deadline = time.monotonic() + _PATIENCE_S
        while _READY not in (told := self._told()):
            if process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                failure = PortTaken if _TAKEN in told else RuntimeError
                raise failure(f"Kafka did not start:\n{told[-3000:].decode(errors='replace')}")
            time.sleep(_POLL_S)

    def start(self) -> None:
        """On the same ports and data as before."""
        self.launch()
        self.wait()

    def stop(self) -> None:
        """In order (SIGTERM), if it runs. It asks the other nodes, so the last of three cannot."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, if it runs, whatever state it is in."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(timeout=_PATIENCE_S)
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # lets the watchdog go, unless it went by itself
                process.stdin.write(b"\n")
                process.stdin.close()

    def _told(self) -> bytes:
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read()


def write_properties(path: Path, settings: Mapping[str, str]) -> None:
    """In the format of java.util.Properties, for values of one line without a backslash."""
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))


def quorum(ports: Sequence[Ports]) -> str:
    """controller.quorum.voters."""
    return ",".join(f"{number}@{HOST}:{each.of['CONTROLLER']}" for number, each in enumerate(ports, 1))


def _listeners(ports: Ports) -> dict[str, str]:
    advertised = {name: port for name, port in ports.of.items() if name != "CONTROLLER"} | {**ports.proxied}
    return {
        "listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in ports.of.items()),
        "advertised.listeners": ",".join(f"{name}://{HOST}:{port}" for name, port in advertised.items()),
    }
