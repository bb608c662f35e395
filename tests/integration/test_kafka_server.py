"""The brokers that the Kafka tests run on do what those tests rely on."""

from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaClient, AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import AuthenticationFailedError, KafkaConnectionError
from aiokafka.helpers import create_ssl_context

from servers import kafka as fixture
from servers.kafka import KafkaServers
from servers.kafka_broker import PortTaken
from servers.kafka_cluster import USERS, Kafka, temporary_kafka
from servers.kafka_jars import KafkaJars, KafkaNotFound
from servers.noida import noida
from servers.proxy import Proxy


@asynccontextmanager
async def topic(kafka, partitions=1, replication=1):
    name = f"test-{uuid4().hex[:12]}"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap())
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, partitions, replication)])
        yield name
        await admin.delete_topics([name])
    finally:
        await admin.close()


@asynccontextmanager
async def producer(kafka, listener="PLAINTEXT", **options):
    client = AIOKafkaProducer(bootstrap_servers=kafka.bootstrap(listener), acks="all", **options)
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


async def values(kafka, name):
    """All committed values of a topic of one partition."""
    partition = TopicPartition(name, 0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap(), isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign([partition])
        end = (await consumer.end_offsets([partition]))[partition]
        found = []
        while await consumer.position(partition) < end:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found += [record.value for record in records]
        return found
    finally:
        await consumer.stop()


async def test_what_is_acknowledged_survives_sigkill(kafka):
    async with topic(kafka) as name:
        async with producer(kafka) as client:
            await client.send_and_wait(name, b"kept")
            kafka.kill()
            kafka.start()
        assert await values(kafka, name) == [b"kept"]


async def test_an_aborted_transaction_is_hidden(kafka):
    async with topic(kafka) as name, producer(kafka, transactional_id=name) as client:
        await client.begin_transaction()
        await client.send_and_wait(name, b"aborted")
        await client.abort_transaction()
        async with client.transaction():
            await client.send_and_wait(name, b"committed")
        assert await values(kafka, name) == [b"committed"]


async def test_a_client_that_comes_through_a_proxy_stays_there(kafka):
    async with topic(kafka) as name:
        (broker,) = kafka.brokers
        async with Proxy(broker.target(), broker.ports.proxied["PROXIED"]) as proxy:
            async with producer(kafka, "PROXIED") as client:
                await client.send_and_wait(name, b"by proxy")
                assert proxy.connections > 0
        assert await values(kafka, name) == [b"by proxy"]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_a_password_is_asked_for(kafka, mechanism):
    security = {
        "bootstrap_servers": kafka.bootstrap("SASL_PLAINTEXT"),
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "alice",
    }
    right = AIOKafkaClient(**security, sasl_plain_password=USERS["alice"])
    await right.bootstrap()
    await right.close()
    wrong = AIOKafkaClient(**security, sasl_plain_password=USERS["bob"])
    with pytest.raises((AuthenticationFailedError, KafkaConnectionError)):
        await wrong.bootstrap()
    await wrong.close()


async def test_tls_with_a_password_and_tls_with_a_certificate(kafka):
    trusting = create_ssl_context(cafile=str(kafka.ca))
    identified = create_ssl_context(
        cafile=str(kafka.ca), certfile=str(kafka.client.cert), keyfile=str(kafka.client.key)
    )
    user = {"sasl_mechanism": "PLAIN", "sasl_plain_username": "alice", "sasl_plain_password": USERS["alice"]}
    for listener, options in (
        ("SASL_SSL", {"ssl_context": trusting, **user}),
        ("SSL", {"ssl_context": identified}),
    ):
        client = AIOKafkaClient(
            bootstrap_servers=kafka.bootstrap(listener), security_protocol=listener, **options
        )
        await client.bootstrap()
        await client.close()
    anonymous = AIOKafkaClient(
        bootstrap_servers=kafka.bootstrap("SSL"), security_protocol="SSL", ssl_context=trusting
    )
    with pytest.raises(KafkaConnectionError):
        await anonymous.bootstrap()
    await anonymous.close()


async def test_two_of_three_brokers_go_on(kafka3):
    async with topic(kafka3, replication=3) as name, producer(kafka3) as client:
        await client.send_and_wait(name, b"of three")
        leader = client.client.cluster.leader_for_partition(TopicPartition(name, 0))
        fallen = kafka3.brokers[leader - 1]
        fallen.kill()
        await client.send_and_wait(name, b"of two")
        fallen.start()
        assert await values(kafka3, name) == [b"of three", b"of two"]


def test_where_a_port_is_taken_meanwhile_others_are_tried(monkeypatch, tmp_path):
    (tmp_path / "meta.properties").write_text("node.id=1\ndirectory.id=x\n")
    tried = []

    def start(kafka):
        tried.append(kafka.bootstrap())
        if len(tried) == 1:
            raise PortTaken

    monkeypatch.setattr(Kafka, "start", start)
    with temporary_kafka(KafkaJars(Path("java"), "17", tmp_path), tmp_path, 3, {}) as kafka:
        assert [kafka.bootstrap()] == tried[1:]
    assert tried[0] != tried[1]


@pytest.fixture
def without_maven(monkeypatch):
    def lacking(_):
        raise KafkaNotFound("no mvn")

    monkeypatch.setattr(fixture, "prepare", lacking)


@pytest.mark.usefixtures("without_maven")
def test_without_the_jars_tests_are_skipped_and_told(monkeypatch):
    monkeypatch.setattr(fixture, "noida", lambda: None)
    could_not_run = {}
    with ExitStack() as stack, pytest.raises(pytest.skip.Exception, match=r"Apache Kafka 4\.3\.1: no mvn"):
        KafkaServers(stack, could_not_run).get(1)
    assert could_not_run == {"Apache Kafka 4.3.1": "no mvn"}


@pytest.mark.usefixtures("without_maven")
async def test_without_the_jars_another_broker_does_what_it_can():
    if noida() is None:
        pytest.skip("noida-db is not installed")
    could_not_run = {}
    with ExitStack() as stack:
        servers = KafkaServers(stack, could_not_run)
        kafka = servers.get(1)
        async with topic(kafka) as name, producer(kafka) as client:
            await client.send_and_wait(name, b"here")
            assert await values(kafka, name) == [b"here"]
        with pytest.raises(pytest.skip.Exception, match="no SASL_SSL, and Apache Kafka is not there: no mvn"):
            kafka.bootstrap("SASL_SSL")
        with pytest.raises(pytest.skip.Exception, match="no `brokers`"):
            kafka.brokers[0].kill()
        with pytest.raises(pytest.skip.Exception, match="no mvn"):
            servers.get(3)
    assert could_not_run == {"Apache Kafka 4.3.1": "no mvn; noida-db stands in where it can"}
