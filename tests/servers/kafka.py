"""Apache Kafka as a fixture: real brokers, each started at its first use, shared by the whole run, stopped at its end.
Their program is fetched once (see `kafka_jars`); where that cannot be, `noida` stands in for `kafka` where it can.

Use from a test: `kafka` (one broker), `kafka3` (three; ask for it only where one will not do), `throwaway_kafka` (a
cluster of one's own to kill or misconfigure). Topics are the test's own: they are not removed, so name them freshly.

Each broker listens on PLAINTEXT; on SASL_PLAINTEXT and SASL_SSL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; users in
`kafka_cluster.USERS`); on SSL (client certificate required); and on PROXIED and PROXIED_TOO, which say of themselves to
be at other ports, where the test puts a proxy:

    async with Proxy(broker.target(), broker.ports.proxied["PROXIED"]) as proxy:
        connect to kafka.bootstrap("PROXIED")
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest

from servers.kafka_cluster import Kafka, prepare, temporary_kafka
from servers.kafka_jars import VERSION, KafkaJars, KafkaNotFound
from servers.noida import Noida, noida, temporary_noida

_TITLE = f"Apache Kafka {VERSION}"

_could_not_run = pytest.StashKey[dict[str, str]]()


class KafkaServers:
    """The shared clusters, by the number of their brokers."""

    def __init__(self, stack: ExitStack, could_not_run: dict[str, str]) -> None:
        self._stack = stack
        self._could_not_run = could_not_run
        self._prepared: tuple[KafkaJars, Path] | KafkaNotFound | None = None
        self._running: dict[int, Kafka | Noida] = {}

    def get(self, size: int) -> Kafka | Noida:
        """The shared cluster of so many brokers, started at the first call."""
        if size not in self._running:
            found, program = self._found(), noida()
            if isinstance(found, KafkaNotFound) and program is not None and size == 1:
                self._could_not_run[_TITLE] = f"{found}; noida-db stands in where it can"
                self._running[size] = self._stack.enter_context(temporary_noida(program, str(found)))
            else:
                self._running[size] = self._stack.enter_context(self.temporary(size, {}))
        return self._running[size]

    def temporary(self, size: int, settings: Mapping[str, str]) -> AbstractContextManager[Kafka]:
        """See `temporary_kafka`. Skips the test, and has the summary say so, where Kafka cannot be had."""
        found = self._found()
        if isinstance(found, KafkaNotFound):
            self._could_not_run.setdefault(_TITLE, str(found))
            pytest.skip(f"{_TITLE}: {found}")
        return temporary_kafka(*found, size, settings)

    def _found(self) -> tuple[KafkaJars, Path] | KafkaNotFound:
        if self._prepared is None:
            try:
                self._prepared = self._prepare()
            except KafkaNotFound as error:
                self._prepared = error
        return self._prepared

    def _prepare(self) -> tuple[KafkaJars, Path]:
        """The program, and a formatted folder to begin with."""
        template = Path(tempfile.mkdtemp(prefix="livetail-kafka-format-"))
        self._stack.callback(shutil.rmtree, template)
        return prepare(template), template


@pytest.fixture(scope="session")
def kafka_servers(pytestconfig: pytest.Config) -> Iterator[KafkaServers]:
    """One broker and three; a cluster starts when asked for."""
    with ExitStack() as stack:
        yield KafkaServers(stack, pytestconfig.stash[_could_not_run])


@pytest.fixture(scope="session")
def shared_kafka(kafka_servers: KafkaServers) -> Kafka | Noida:
    """See `kafka`."""
    return kafka_servers.get(1)


@pytest.fixture
def kafka(shared_kafka: Kafka | Noida) -> Kafka | Noida:
    """The shared single broker, running; noida-db where Apache's cannot be had but this can."""
    shared_kafka.start()
    return shared_kafka


@pytest.fixture
def kafka3(kafka_servers: KafkaServers) -> Kafka | Noida:
    """The shared three brokers, running."""
    shared = kafka_servers.get(3)
    shared.start()
    return shared


@pytest.fixture
def throwaway_kafka(kafka_servers: KafkaServers) -> Iterator[Callable[..., Kafka]]:
    """Starts clusters that only this test uses: `throwaway_kafka(3, {"log.retention.ms": "1000"})`."""
    with ExitStack() as stack:

        def start(size: int = 1, settings: Mapping[str, str] | None = None) -> Kafka:
            return stack.enter_context(kafka_servers.temporary(size, settings or {}))

        yield start


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_could_not_run] = {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for what, why in sorted(config.stash[_could_not_run].items()):
        terminalreporter.write_line(f"could not run on {what}: {why}", yellow=True)
