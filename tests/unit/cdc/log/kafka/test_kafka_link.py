"""Which broker is asked what all of them know. The connections are scripted: brokers that hang are slow to wait for."""

from types import SimpleNamespace

import pytest

from cdc.config import KafkaConfig
from cdc.log.kafka import link as module
from cdc.log.kafka.failure import Lost
from cdc.log.kafka.link import Link

BROKERS = {1: ("kafka-1", 9092), 2: ("kafka-2", 9092), 3: ("kafka-3", 9092)}
METADATA = SimpleNamespace(brokers=[(node, *address, None) for node, address in BROKERS.items()], topics=[])


class Cluster:
    """asked: the hosts in the order of their requests; hangs: those that give no answer; gone: that take no
    connection."""

    def __init__(self):
        self.asked = []
        self.hangs = set()
        self.gone = set()

    async def connect(self, host, port, **options):
        if host in self.gone:
            self.asked.append(host)
            raise ConnectionRefusedError
        return Connection(self, host, port)


class Connection:
    def __init__(self, cluster, host, port):
        self.host = host
        self.port = port
        self._cluster = cluster
        self._open = True

    def connected(self):
        return self._open

    def close(self):
        self._open = False

    async def send(self, request):
        self._cluster.asked.append(self.host)
        if self.host in self._cluster.hangs:
            raise TimeoutError
        return METADATA


@pytest.fixture
def cluster(monkeypatch):
    made = Cluster()
    monkeypatch.setattr(module, "create_conn", made.connect)
    return made


@pytest.mark.parametrize("state", ["hangs", "gone"])
async def test_a_broker_that_failed_is_asked_last(cluster, state):
    link = Link(KafkaConfig(("kafka-1:9092",)))
    await link.describe([])
    await link.call(2, None)
    await link.describe([])
    assert cluster.asked[-1] == "kafka-2"
    getattr(cluster, state).add("kafka-2")
    with pytest.raises(Lost):
        await link.call(2, None, "another lane")
    cluster.asked.clear()
    for _ in range(3):
        await link.describe([])
    assert "kafka-2" not in cluster.asked


async def test_a_broker_that_answers_again_is_asked_again(cluster):
    link = Link(KafkaConfig(("kafka-1:9092",)))
    await link.describe([])
    cluster.hangs = {"kafka-1", "kafka-2", "kafka-3"}
    for node in BROKERS:
        with pytest.raises(Lost):
            await link.call(node, None)
    cluster.hangs = set()
    await link.call(3, None)
    cluster.asked.clear()
    await link.describe([])
    assert cluster.asked == ["kafka-3"]


async def test_when_all_failed_all_are_asked(cluster):
    link = Link(KafkaConfig(("kafka-1:9092",)))
    await link.describe([])
    cluster.hangs = {"kafka-1", "kafka-2", "kafka-3"}
    cluster.asked.clear()
    with pytest.raises(Lost):
        await link.describe([])
    assert set(cluster.asked) == cluster.hangs
    cluster.hangs = set()
    await link.describe([])
