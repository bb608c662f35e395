"""Apache Kafka as a fixture: real brokers, each started at its first use, shared by the whole run, stopped at its end.
Their program is fetched once (see `kafka_jars`).

Use from a test: `kafka` (one broker), `kafka3` (three; ask for it only where one will not do), `throwaway_kafka` (a
cluster of one's own to kill or misconfigure). Topics are the test's own: they are not removed, so name them freshly.

Each broker listens on PLAINTEXT; on SASL_PLAINTEXT and SASL_SSL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512; `USERS`); on SSL
(client certificate required); and on PROXIED, which says of itself to be at another port, where the test puts a proxy:

    async with Proxy(broker.target, broker.ports.proxied) as proxy:
        connect to kafka.bootstrap("PROXIED")
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from servers.kafka_broker import HOST, Broker, free_ports, java, quorum, write_properties
from servers.kafka_jars import VERSION, KafkaJars, KafkaNotFound, kafka_jars
from support.certificates import Authority

USERS: Final[Mapping[str, str]] = {"alice": "alice-secret", "bob": "bob-secret"}
"""Names and passwords, for PLAIN and SCRAM alike."""

_CLUSTER_ID: Final = "bGl2ZXRhaWwtdGVzdHMtMQ"
_could_not_run = pytest.StashKey[dict[str, str]]()


class Kafka:
    """A cluster: `brokers`, of which each can also be stopped, killed or paused alone. ca: signed the brokers'
    certificates; client: what it signed for clients."""

    def __init__(
        self, folder: Path, jars: KafkaJars, template: Path, size: int, settings: Mapping[str, str]
    ) -> None:
        authority = Authority(folder / "tls")
        self.ca = authority.ca
        self.client = authority.sign("client", HOST)
        server = authority.sign("broker", HOST)
        chain = folder / "tls" / "broker.pem"
        chain.write_bytes(server.key.read_bytes() + server.cert.read_bytes())
        ports = free_ports(size)
        given = {
            **_common(min(3, size)),
            **_security(chain, self.ca),
            "controller.quorum.voters": quorum(ports),
            **settings,
        }
        self.brokers = tuple(
            Broker(folder / f"broker-{number}", jars, number, each, given, template)
            for number, each in enumerate(ports, 1)
        )

    def bootstrap(self, listener: str = "PLAINTEXT") -> str:
        """host:port, separated by commas. PROXIED: where the test's proxies are expected."""
        return ",".join(broker.address(listener) for broker in self.brokers)

    def start(self) -> None:
        """Those that do not run, on the same ports and data as before."""
        starting = [broker for broker in self.brokers if broker.pid is None]
        for broker in starting:
            broker.launch()
        for broker in starting:
            broker.wait()

    def stop(self) -> None:
        """In order (SIGTERM), one after the other."""
        for broker in self.brokers:
            broker.stop()

    def kill(self) -> None:
        """SIGKILL, all of them."""
        for broker in self.brokers:
            broker.kill()


class KafkaServers:
    """The shared clusters, by the number of their brokers."""

    def __init__(self, stack: ExitStack, could_not_run: dict[str, str]) -> None:
        self._stack = stack
        self._could_not_run = could_not_run
        self._found: KafkaJars | KafkaNotFound | None = None
        self._formatted: Path | None = None
        self._running: dict[int, Kafka] = {}

    def get(self, size: int) -> Kafka:
        """The shared cluster of so many brokers, started at the first call."""
        if size not in self._running:
            self._running[size] = self._stack.enter_context(self.temporary(size, {}))
        return self._running[size]

    @contextmanager
    def temporary(self, size: int, settings: Mapping[str, str]) -> Iterator[Kafka]:
        """A started cluster in a folder of its own; killed and removed in the end."""
        jars = self._jars()
        template = self._template(jars)
        folder = Path(tempfile.mkdtemp(prefix="livetail-kafka-"))
        kafka = Kafka(folder, jars, template, size, settings)
        try:
            kafka.start()
            yield kafka
        finally:
            kafka.kill()
            shutil.rmtree(folder)

    def _jars(self) -> KafkaJars:
        if self._found is None:
            try:
                self._found = kafka_jars()
            except KafkaNotFound as error:
                self._found = error
        if isinstance(self._found, KafkaNotFound):
            self._could_not_run[f"Apache Kafka {VERSION}"] = str(self._found)
            pytest.skip(f"Apache Kafka: {self._found}")
        return self._found

    def _template(self, jars: KafkaJars) -> Path:
        """A formatted log folder, which holds the users' SCRAM credentials."""
        if self._formatted is None:
            folder = Path(tempfile.mkdtemp(prefix="livetail-kafka-format-"))
            self._stack.callback(shutil.rmtree, folder)
            properties = folder / "server.properties"
            data = folder / "data"
            roles = {"node.id": "1", "log.dirs": str(data), "controller.quorum.voters": f"1@{HOST}:1"}
            write_properties(
                properties,
                {**_common(1), **roles, "listeners": f"CONTROLLER://{HOST}:1,PLAINTEXT://{HOST}:2"},
            )
            credentials = [
                f"--add-scram={mechanism}=[name={name},password={password}]"
                for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
                for name, password in USERS.items()
            ]
            arguments = ["format", "-t", _CLUSTER_ID, "-c", properties, *credentials]
            format_it = java(jars, "kafka.tools.StorageTool", *arguments)
            done = subprocess.run(format_it, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode != 0:
                raise RuntimeError(f"Kafka's log folder could not be formatted:\n{done.stdout[-3000:]}")
            self._formatted = data
        return self._formatted


@pytest.fixture(scope="session")
def kafka_servers(pytestconfig: pytest.Config) -> Iterator[KafkaServers]:
    """One broker and three; a cluster starts when asked for."""
    with ExitStack() as stack:
        yield KafkaServers(stack, pytestconfig.stash[_could_not_run])


@pytest.fixture(scope="session")
def shared_kafka(kafka_servers: KafkaServers) -> Kafka:
    """See `kafka`."""
    return kafka_servers.get(1)


@pytest.fixture
def kafka(shared_kafka: Kafka) -> Kafka:
    """The shared single broker, running."""
    shared_kafka.start()
    return shared_kafka


@pytest.fixture
def kafka3(kafka_servers: KafkaServers) -> Kafka:
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


def _common(replication: int) -> dict[str, str]:
    """What makes it small, and quick at what it else does within minutes."""
    copies = str(replication)
    in_sync = str(max(1, replication - 1))
    return {
        "process.roles": "broker,controller",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "auto.create.topics.enable": "false",
        "offsets.topic.num.partitions": "3",
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.num.partitions": "3",
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "300",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "log.initial.task.delay.ms": "500",
        "log.retention.check.interval.ms": "500",
        "log.segment.delete.delay.ms": "500",
        "log.cleaner.backoff.ms": "500",
        "log.cleaner.dedupe.buffer.size": "4194304",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
        "num.network.threads": "1",
        "num.io.threads": "4",
    }


def _security(chain: Path, ca: Path) -> dict[str, str]:
    plain = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
    settings = {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT,"
        "SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(chain),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(ca),
        "listener.name.ssl.ssl.client.auth": "required",
    }
    for listener in ("sasl_plaintext", "sasl_ssl"):
        security = "org.apache.kafka.common.security"
        prefix = f"listener.name.{listener}"
        settings[f"{prefix}.plain.sasl.jaas.config"] = f"{security}.plain.PlainLoginModule required {plain};"
        for mechanism in ("scram-sha-256", "scram-sha-512"):
            settings[f"{prefix}.{mechanism}.sasl.jaas.config"] = (
                f"{security}.scram.ScramLoginModule required;"
            )
    return settings
