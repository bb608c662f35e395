"""A cluster of Apache Kafka on this machine, with all the listeners that clients meet."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from broadcaster.demo.cache import made_once
from servers.kafka_broker import HOST, Broker, PortTaken, free_ports, java, quorum, write_properties
from servers.kafka_jars import VERSION, KafkaJars, kafka_jars
from support.certificates import Authority

USERS: Final[Mapping[str, str]] = {"alice": "alice-secret", "bob": "bob-secret"}
"""Names and passwords, for PLAIN and SCRAM alike."""

_ATTEMPTS: Final = 3
_CLUSTER_ID: Final = "bGl2ZXRhaWwtdGVzdHMtMQ"


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
        """In order (SIGTERM), as far as that goes: when most are gone the rest waits for them, and is killed."""
        majority = len(self.brokers) // 2 + 1
        for broker in self.brokers[:majority]:
            broker.stop()
        self.kill()

    def kill(self) -> None:
        """SIGKILL, all of them."""
        for broker in self.brokers:
            broker.kill()


@contextmanager
def temporary_kafka(
    jars: KafkaJars, template: Path, size: int, settings: Mapping[str, str]
) -> Iterator[Kafka]:
    """A started cluster in a folder of its own; killed and removed in the end."""
    for attempt in range(_ATTEMPTS):
        with tempfile.TemporaryDirectory(prefix="livetail-kafka-") as folder:
            kafka = Kafka(Path(folder), jars, template, size, settings)
            with contextlib.ExitStack() as stack:
                stack.callback(kafka.kill)
                try:
                    kafka.start()
                except PortTaken:
                    if attempt == _ATTEMPTS - 1:
                        raise
                    continue
                yield kafka
                return


def prepare(template: Path) -> KafkaJars:
    """The server's program, as quick to start as it gets; `template` becomes a folder for new nodes to begin with. The
    first call ever takes half a minute. Blocks. Raises KafkaNotFound."""
    jars = kafka_jars()
    _format(jars, template)
    return _quickened(jars, template)


def _format(jars: KafkaJars, folder: Path) -> None:
    """Make it a log folder of a node that holds nothing yet but the users' SCRAM credentials."""
    with tempfile.NamedTemporaryFile("w", suffix=".properties") as file:
        properties = Path(file.name)
        listeners = {"listeners": f"CONTROLLER://{HOST}:1,PLAINTEXT://{HOST}:2"}
        roles = {"node.id": "1", "log.dirs": str(folder), "controller.quorum.voters": f"1@{HOST}:1"}
        write_properties(properties, {**_common(1), **listeners, **roles})
        credentials = [
            f"--add-scram={mechanism}=[name={name},password={password}]"
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for name, password in USERS.items()
        ]
        arguments = ["format", "-t", _CLUSTER_ID, "-c", properties, *credentials]
        command = java(jars, "kafka.tools.StorageTool", *arguments)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"Kafka's log folder could not be formatted:\n{done.stdout[-3000:]}")


def _quickened(jars: KafkaJars, template: Path) -> KafkaJars:
    """With Java's archive of loaded classes, which halves what a start takes; the first call ever makes it."""

    def run_once(folder: Path) -> None:
        recording = replace(jars, options=(f"-XX:ArchiveClassesAtExit={folder / 'classes.jsa'}",))
        with temporary_kafka(recording, template, 1, {}) as kafka:
            kafka.stop()

    folder = made_once(f"kafka-{VERSION}/java-{jars.java_version}", run_once)
    return replace(jars, options=(f"-XX:SharedArchiveFile={folder / 'classes.jsa'}",))


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
        "controller.quorum.election.timeout.ms": "500",
        "controller.quorum.election.backoff.max.ms": "300",
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
        "num.network.threads": "1",
        "num.io.threads": "4",
    }


def _security(chain: Path, ca: Path) -> dict[str, str]:
    plain = " ".join(f'user_{name}="{password}"' for name, password in USERS.items())
    settings = {
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,"
        "PROXIED_TOO:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL",
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
