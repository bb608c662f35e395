"""Connections to the brokers of one Kafka cluster.

aiokafka gives the connection (SASL, TLS, versions) and the protocol's messages. What it has on top, a producer and a
consumer with tasks of their own that neither expire nor stop while a broker is away, is not used: everything here ends
by its deadline, and closing is at once.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from aiokafka.conn import AIOKafkaConnection, create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.metadata import MetadataRequest

from cdc.config import KafkaConfig
from cdc.errors import ConfigError, LogError
from cdc.log.kafka.failure import RETRIED, Code, Lost, refused, unreachable

ANSWER_SECONDS: Final = 10.0
"""How long one answer may take, if an append is given as long; a caller's deadline is for all attempts together."""

CLIENT_ID: Final = "livetail"
GROUP: Final = 0
TRANSACTION: Final = 1
_CLOSE_SECONDS: Final = 0.25
_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.25

Node = int
Partition = tuple[str, int]

logging.getLogger("aiokafka").setLevel(
    logging.CRITICAL
)  # what it would say is in our errors; at DEBUG, every record


class Link:
    """The cluster, as one user of it sees it: what it knows of leaders, and its own connections. answer: how long one
    answer may take, in seconds."""

    def __init__(self, config: KafkaConfig, answer: float | None = None) -> None:
        self._config = config
        self._answer_ms = int(1000 * (answer or min(ANSWER_SECONDS, config.timeout)))
        self._security = security_of(config)
        self._nodes: dict[Node, tuple[str, int]] = {}
        self._leaders: dict[Partition, Node] = {}
        self._coordinators: dict[tuple[str, int], Node] = {}
        self._connections: dict[tuple[Node | str, str], AIOKafkaConnection] = {}
        self._locks: dict[tuple[Node | str, str], asyncio.Lock] = {}
        self._silent: set[Node | str] = set()  # those that did not answer when they were asked last
        self._closed = False

    @property
    def brokers(self) -> int:
        """How many there are, as the cluster said last."""
        return len(self._nodes)

    # -- requests ---------------------------------------------------------------------------------------------

    async def call(self, node: Node, request: Any, lane: str = "") -> Any:
        """The broker's answer. lane: requests of one lane are answered one after the other, so a request that may wait
        has one of its own. Raises LogError."""
        connection = await self._connect(node, lane)
        return await self._ask((node, lane), connection, request)

    async def describe(self, topics: Iterable[str]) -> dict[str, int]:
        """How many partitions these topics have; those that are not there are left out. Learns the leaders anew.
        Raises LogError."""
        answer = await self.ask(MetadataRequest(list(topics), allow_auto_topic_creation=False))
        if not answer.brokers:
            raise Lost("Kafka: no broker of the cluster is ready now")
        self._nodes = {broker[0]: (broker[1], broker[2]) for broker in answer.brokers}
        self._leaders = {each: node for each, node in self._leaders.items() if node in self._nodes}
        self._coordinators = {each: node for each, node in self._coordinators.items() if node in self._nodes}
        found: dict[str, int] = {}
        for code, topic, _, partitions in answer.topics:
            self._forget(topic)
            if code in (Code.UNKNOWN_TOPIC, Code.LEADER_NOT_AVAILABLE) and not partitions:
                continue
            if code not in (Code.NONE, Code.LEADER_NOT_AVAILABLE):
                raise refused(f"topic {topic}", code)
            found[topic] = len(partitions)
            for _, partition, leader, *_ in partitions:
                if leader in self._nodes:
                    self._leaders[topic, partition] = leader
        return found

    async def leader(self, topic: str, partition: int) -> Node:
        """The broker that leads the partition. Raises LogError where there is none now."""
        node = self._leaders.get((topic, partition))
        if node is None:
            if partition >= (await self.describe([topic])).get(topic, 0):
                raise refused(f"topic {topic}, partition {partition}", Code.UNKNOWN_TOPIC)
            node = self._leaders.get((topic, partition))
        if node is None:
            raise Passing(f"topic {topic}, partition {partition}", Code.LEADER_NOT_AVAILABLE)
        return node

    def forget_leader(self, topic: str, partition: int) -> None:
        """It leads no more."""
        self._leaders.pop((topic, partition), None)

    def _forget(self, topic: str) -> None:
        for partition in [each for each in self._leaders if each[0] == topic]:
            del self._leaders[partition]

    async def coordinator(self, key: str, kind: int) -> Node:
        """The broker that keeps this group (`GROUP`) or transactional id (`TRANSACTION`). Raises Passing, LogError."""
        if (key, kind) not in self._coordinators:
            answer = await self.ask(FindCoordinatorRequest(key, kind))
            what = f"{'transactional id' if kind == TRANSACTION else 'group'} {key}"
            if answer.error_code in RETRIED:
                raise Passing(what, answer.error_code)
            if answer.error_code:
                raise refused(what, answer.error_code)
            self._nodes[answer.coordinator_id] = (answer.host, answer.port)
            self._coordinators[key, kind] = answer.coordinator_id
        return self._coordinators[key, kind]

    def forget_coordinator(self, key: str, kind: int) -> None:
        """It is another broker now."""
        self._coordinators.pop((key, kind), None)

    # -- connections ------------------------------------------------------------------------------------------

    async def ask(self, request: Any) -> Any:
        """The answer of whichever broker answers first. One that failed is asked after the others, since one that hangs
        costs the time of an answer."""
        nodes: list[Node | str] = [
            node for node, lane in self._connections if isinstance(node, int) and not lane
        ]
        others = [node for node in self._nodes if node not in nodes]
        random.shuffle(others)
        failure: LogError | None = None
        every = [*nodes, *others, *self._config.brokers]
        for node in sorted(every, key=lambda each: each in self._silent):
            try:
                return await self._ask((node, ""), await self._connect(node, ""), request)
            except LogError as error:
                failure = error
        assert failure is not None
        raise failure

    async def _ask(self, key: tuple[Node | str, str], connection: AIOKafkaConnection, request: Any) -> Any:
        try:
            answer = await connection.send(request)
        except (KafkaError, OSError, TimeoutError, EOFError) as error:
            self._silent.add(key[0])
            if self._connections.get(key) is connection:
                del self._connections[key]
            connection.close()
            raise unreachable(_address(connection), error, self._config.security_protocol) from error
        self._silent.discard(key[0])
        return answer

    async def _connect(self, node: Node | str, lane: str) -> AIOKafkaConnection:
        key = (node, lane)
        async with self._locks.setdefault(key, asyncio.Lock()):
            if self._closed:
                raise LogError("this connection to Kafka is closed")
            connection = self._connections.get(key)
            if connection is None or not connection.connected():
                if connection is not None:
                    connection.close()
                try:
                    connection = self._connections[key] = await self._open(node)
                except LogError:
                    self._silent.add(node)
                    raise
            return connection

    async def _open(self, node: Node | str) -> AIOKafkaConnection:
        if isinstance(node, int):
            if node not in self._nodes:
                raise Lost(f"Kafka: broker {node} is not in the cluster now")
            host, port = self._nodes[node]
        else:
            name, _, number = node.rpartition(":")
            host, port = name.strip("[]"), int(number)
        config = self._config
        try:
            return await create_conn(
                host,
                port,
                client_id=CLIENT_ID,
                request_timeout_ms=self._answer_ms,
                ssl_context=self._security,
                security_protocol=config.security_protocol,
                sasl_mechanism=config.sasl_mechanism,
                sasl_plain_username=config.username,
                sasl_plain_password=None if config.password is None else config.password.reveal(),
            )
        except (KafkaError, OSError, TimeoutError, EOFError) as error:
            raise unreachable(f"{host}:{port}", error, config.security_protocol) from error

    def hang_up(self, lane: str) -> None:
        """Close the connections of this lane."""
        for key in [key for key in self._connections if key[1] == lane]:
            self._connections.pop(key).close()
            self._locks.pop(key, None)

    async def close(self) -> None:
        """Close all connections, whatever is under way on them."""
        self._closed = True
        closing = [connection.close() for connection in self._connections.values()]
        self._connections.clear()
        if waited := [future for future in closing if future is not None]:
            await asyncio.wait(waited, timeout=_CLOSE_SECONDS)


class Passing(LogError):
    """The cluster cannot do it now, but will be able to soon."""

    def __init__(self, what: str, code: int) -> None:
        super().__init__(str(refused(what, code)))


async def persist(attempt: Callable[[], Awaitable[Any]], seconds: float) -> Any:
    """The result of the first attempt that neither fails in passing nor loses its connection, begun within so many
    seconds. Raises LogError: the last failure's."""
    deadline = time.monotonic() + seconds
    pause = _PAUSE
    while True:
        try:
            return await attempt()
        except (Lost, Passing):
            if time.monotonic() + pause > deadline:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def security_of(config: KafkaConfig) -> ssl.SSLContext | None:
    """What TLS is spoken with. Raises ConfigError for files that cannot be used."""
    if not config.security_protocol.endswith("SSL"):
        return None
    where = "modules.realtime.kafka.caFile"
    try:
        context = ssl.create_default_context(cafile=config.ca_file)
        if config.cert_file is not None:
            where = "modules.realtime.kafka.certFile, keyFile"
            context.load_cert_chain(config.cert_file, config.key_file)
    except OSError as error:
        raise ConfigError(f"{where}: cannot be used: {error.strerror or error}") from error
    return context


def _address(connection: AIOKafkaConnection) -> str:
    return f"{connection.host}:{connection.port}"
