"""Kafka's errors in words that say what to do."""

from __future__ import annotations

import ssl

import pytest
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from cdc.errors import LogError, LogInUse
from cdc.log.kafka.failure import RETRIED, Code, Lost, refused, unreachable

WHERE = "kafka-1:9093"


def caused(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SaslAuthenticationFailed("no"), "refuses the user: check modules.realtime.kafka.username"),
        (UnsupportedSaslMechanismError("no"), "check modules.realtime.kafka.saslMechanism"),
        (ssl.SSLCertVerificationError("no"), "certificate is not trusted"),
        (ssl.SSLError(1, "no"), "no TLS connection"),
        (caused(KafkaConnectionError("closed"), SaslAuthenticationFailed("no")), "refuses the user"),
        (IncompatibleBrokerVersion("no"), "is too old"),
    ],
)
def test_what_only_a_person_can_mend(error: BaseException, said: str) -> None:
    found = unreachable(WHERE, error, "SASL_SSL")
    assert str(found).startswith(f"Kafka at {WHERE}")
    assert said in str(found)
    assert not isinstance(found, Lost)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError(), "does not answer"),
        (ConnectionRefusedError(111, "Connection refused"), "cannot be reached: Connection refused"),
        (ConnectionResetError(), "closed the connection: it is stopping, or wants another"),
        (KafkaConnectionError("closed"), "securityProtocol than SASL_SSL"),
    ],
)
def test_what_may_pass(error: BaseException, said: str) -> None:
    found = unreachable(WHERE, error, "SASL_SSL")
    assert said in str(found)
    assert isinstance(found, Lost)


def test_codes() -> None:
    assert isinstance(refused("transactional id x", Code.FENCED), LogInUse)
    assert isinstance(refused("transactional id x", Code.INVALID_EPOCH), LogInUse)
    denied = refused("topic x", Code.TOPIC_DENIED, "by policy 7")
    assert type(denied) is LogError
    assert str(denied) == (
        "Kafka: topic x: TopicAuthorizationFailedError: the user needs the ACLs Read, Write and Describe on it "
        "(kafka-acls.sh --topic): by policy 7"
    )
    assert str(refused("topic x", 9999)) == "Kafka: topic x: UnknownError"
    assert Code.NOT_LEADER in RETRIED
    assert Code.FENCED not in RETRIED
