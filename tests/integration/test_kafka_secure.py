"""Kafka with passwords and TLS, and what is said where they are wrong."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from cdc.config import Collection, KafkaConfig
from cdc.config_reader import Secret
from cdc.errors import ConfigError, LogError
from cdc.event import Batch, Position
from cdc.log.kafka.log import KafkaLog
from servers.kafka_cluster import USERS, Kafka
from support.certificates import Authority


def config(kafka: Kafka, protocol: str, **options: Any) -> KafkaConfig:
    if protocol.endswith("SSL"):
        options = {"ca_file": str(kafka.ca), **options}
    if protocol.startswith("SASL"):
        options = {
            "sasl_mechanism": "PLAIN",
            "username": "alice",
            "password": Secret(USERS["alice"]),
            **options,
        }
    return KafkaConfig((kafka.bootstrap(protocol),), protocol, takeover=2.0, **options)


async def refusal(kafka: KafkaConfig) -> str:
    """What is said; well before any deadline, and without a password."""
    log = KafkaLog(kafka, f"secure-{uuid4().hex[:8]}", "db")
    begun = time.monotonic()
    with pytest.raises(LogError) as caught:
        await log.writer()
    with pytest.raises(LogError):
        await log.reader()
    await log.close()
    assert time.monotonic() - begun < kafka.timeout / 2
    assert "wrong" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("protocol", "options"),
    [
        ("SASL_PLAINTEXT", {}),
        ("SASL_PLAINTEXT", {"sasl_mechanism": "SCRAM-SHA-256"}),
        ("SASL_SSL", {"sasl_mechanism": "SCRAM-SHA-512"}),
        ("SSL", {}),
    ],
)
async def test_a_log_over_a_secure_connection(kafka: Kafka, protocol: str, options: dict[str, Any]) -> None:
    if protocol == "SSL":
        options = {"cert_file": str(kafka.client.cert), "key_file": str(kafka.client.key)}
    log = KafkaLog(config(kafka, protocol, **options), f"secure-{uuid4().hex[:8]}", "db")
    try:
        writer = await log.writer()
        await writer.append(Batch([("todos", b"{}", b"{}")], Position("p", 1), 1))
        assert [chunk.end for chunk in await (await log.reader(0)).read()] == [1]
    finally:
        await log.close()


async def test_a_wrong_password(kafka: Kafka) -> None:
    for mechanism in ("PLAIN", "SCRAM-SHA-512"):
        said = await refusal(
            config(kafka, "SASL_PLAINTEXT", sasl_mechanism=mechanism, password=Secret("wrong"))
        )
        assert "refuses the user" in said
        assert "modules.realtime.kafka.username, password" in said


async def test_a_certificate_that_is_not_trusted(kafka: Kafka, tmp_path: Path) -> None:
    stranger = Authority(tmp_path).ca
    said = await refusal(config(kafka, "SASL_SSL", ca_file=str(stranger)))
    assert "certificate is not trusted" in said
    assert "modules.realtime.kafka.caFile" in said


async def test_a_client_without_certificate(kafka: Kafka) -> None:
    assert "modules.realtime.kafka.securityProtocol" in await refusal(config(kafka, "SSL"))


async def test_the_wrong_protocol(kafka: Kafka) -> None:
    plain = replace(config(kafka, "PLAINTEXT"), brokers=(kafka.bootstrap("SASL_PLAINTEXT"),))
    assert "securityProtocol" in await refusal(plain)
    tls = replace(config(kafka, "SASL_SSL"), brokers=(kafka.bootstrap("PLAINTEXT"),))
    assert "securityProtocol" in await refusal(tls)


async def test_no_broker(kafka: Kafka) -> None:
    said = await refusal(KafkaConfig(("127.0.0.1:1",)))
    assert "Kafka at 127.0.0.1:1 cannot be reached" in said


async def test_files_that_are_not_there(kafka: Kafka) -> None:
    with pytest.raises(ConfigError, match=r"modules\.realtime\.kafka\.caFile: cannot be used: No such file"):
        await KafkaLog(config(kafka, "SASL_SSL", ca_file="/nowhere.pem"), "p", "db").state()


def allow(kafka: Kafka, kind: ResourceType, name: str, *operations: AclOperation) -> None:
    """As an administrator: bob may do this with what has this prefix."""
    bindings = [
        AclBinding(
            kind,
            name,
            ResourcePatternType.PREFIXED,
            "User:bob",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for operation in operations
    ]
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap()})
    for future in admin.create_acls(bindings).values():
        future.result()


async def test_a_user_without_rights_is_told_which(throwaway_kafka: Callable[..., Kafka]) -> None:
    """And with the ones that kafka.md names all goes."""
    kafka = throwaway_kafka(
        1,
        {
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        },
    )
    bob = config(kafka, "SASL_PLAINTEXT", username="bob", password=Secret(USERS["bob"]))
    log = KafkaLog(bob, "secure", "db", {"todos": Collection("todos")}, keep_seconds=0.001)

    async def says(pattern: str) -> None:
        """In the end: rights that were given, and what was made, become known by and by."""
        while True:
            with pytest.raises(LogError) as caught:
                await log.writer()
            if re.search(pattern, str(caught.value)):
                return
            await asyncio.sleep(0.1)

    await says(r"group secure\.db\.tailer: .* ACL Read")
    allow(kafka, ResourceType.GROUP, "secure.db", AclOperation.READ)
    await says(r"topic secure\.db-position: .* ACLs Read, Write and Describe")
    allow(kafka, ResourceType.TOPIC, "secure.db", AclOperation.DESCRIBE)
    await says(
        r"kafka-topics\.sh .* --create --topic secure\.db-position --partitions 1 --replication-factor 1 "
        r"--config cleanup\.policy=delete --config retention\.ms=-1 --config retention\.bytes=-1"
    )
    allow(kafka, ResourceType.TOPIC, "secure.db", AclOperation.CREATE)
    await says(r"transactional id secure\.db: .* ACLs Write and Describe")
    allow(kafka, ResourceType.TRANSACTIONAL_ID, "secure.db", AclOperation.WRITE, AclOperation.DESCRIBE)
    allow(kafka, ResourceType.TOPIC, "secure.db", AclOperation.READ, AclOperation.WRITE)
    allow(kafka, ResourceType.TOPIC, "secure.db-position", AclOperation.DELETE)
    writer = None
    while writer is None:
        with contextlib.suppress(LogError):
            writer = await log.writer()
    for order in range(1, 4):
        await writer.append(Batch([("todos", b"{}", b"{}")], Position("p", order), 1))
    while (state := await log.state()) is None or state.oldest < 2:
        await writer.append(Batch([], Position("p", 4), 1))
    await log.close()
