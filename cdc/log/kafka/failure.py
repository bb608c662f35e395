"""What Kafka's errors mean to the person who runs Livetail. (pure)"""

from __future__ import annotations

import ssl
from enum import IntEnum
from typing import Final

from aiokafka.errors import (
    IncompatibleBrokerVersion,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
    for_code,
)

from cdc.errors import LogError, LogInUse


class Code(IntEnum):
    """The error codes of Kafka's protocol that we tell apart."""

    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    UNKNOWN_TOPIC = 3
    LEADER_NOT_AVAILABLE = 5
    NOT_LEADER = 6
    TIMED_OUT = 7
    REPLICA_NOT_AVAILABLE = 9
    TOO_LARGE = 10
    NETWORK = 13
    LOADING = 14
    NO_COORDINATOR = 15
    NOT_COORDINATOR = 16
    INVALID_TOPIC = 17
    LIST_TOO_LARGE = 18
    TOO_FEW_REPLICAS = 19
    TOO_FEW_REPLICAS_AFTER_APPEND = 20
    ILLEGAL_GENERATION = 22
    UNKNOWN_MEMBER = 25
    INVALID_SESSION = 26
    REBALANCING = 27
    TOPIC_DENIED = 29
    GROUP_DENIED = 30
    CLUSTER_DENIED = 31
    TOPIC_EXISTS = 36
    INVALID_REPLICATION = 38
    NOT_CONTROLLER = 41
    POLICY = 44
    INVALID_EPOCH = 47
    INVALID_TXN_STATE = 48
    INVALID_TXN_TIMEOUT = 50
    CONCURRENT_TXNS = 51
    TXN_DENIED = 53
    NOT_ATTEMPTED = 55
    STORAGE = 56
    FENCED_LEADER_EPOCH = 74
    UNKNOWN_LEADER_EPOCH = 75
    OFFSET_NOT_AVAILABLE = 78
    MEMBER_ID_REQUIRED = 79
    FENCED = 90


RETRIED: Final = frozenset({
    Code.UNKNOWN_TOPIC, Code.LEADER_NOT_AVAILABLE, Code.NOT_LEADER, Code.TIMED_OUT, Code.REPLICA_NOT_AVAILABLE,
    Code.NETWORK, Code.LOADING, Code.NO_COORDINATOR, Code.NOT_COORDINATOR, Code.TOO_FEW_REPLICAS,
    Code.TOO_FEW_REPLICAS_AFTER_APPEND, Code.NOT_CONTROLLER, Code.CONCURRENT_TXNS, Code.STORAGE,
    Code.FENCED_LEADER_EPOCH, Code.UNKNOWN_LEADER_EPOCH, Code.OFFSET_NOT_AVAILABLE,
})  # fmt: skip
"""Those that pass: the cluster is choosing leaders, or busy with the last transaction."""

_ADVICE: Final[dict[int, str]] = {
    Code.UNKNOWN_TOPIC: "it is not there; it was deleted, or this user may not describe it",
    Code.LEADER_NOT_AVAILABLE: "it has no leader now: brokers are down",
    Code.INVALID_TOPIC: "Kafka does not take the name: another topic may differ from it in . and _ only",
    Code.TOO_FEW_REPLICAS: "fewer replicas are in sync than min.insync.replicas asks for: brokers are down",
    Code.TOO_FEW_REPLICAS_AFTER_APPEND: "replicas fell out of sync: brokers are down",
    Code.TOPIC_DENIED: "the user needs the ACLs Read, Write and Describe on it (kafka-acls.sh --topic)",
    Code.GROUP_DENIED: "the user needs the ACL Read on it (kafka-acls.sh --group)",
    Code.CLUSTER_DENIED: "the user needs an ACL on the cluster (kafka-acls.sh --cluster)",
    Code.INVALID_REPLICATION: "there are not so many brokers: see modules.realtime.kafka.replication",
    Code.INVALID_SESSION: "the broker's group.min.session.timeout.ms is more than modules.realtime.kafka.takeover",
    Code.POLICY: "a policy of the cluster forbids it",
    Code.INVALID_TXN_STATE: "Kafka aborted the transaction; it may have taken longer than the transaction timeout",
    Code.INVALID_TXN_TIMEOUT: "the broker's transaction.max.timeout.ms must be 15 minutes (its default) or more",
    Code.TXN_DENIED: "the user needs the ACLs Write and Describe on it (kafka-acls.sh --transactional-id)",
    Code.STORAGE: "the broker cannot write to its disk",
}


class Lost(LogError):
    """The connection to a broker broke, or could not be made for now."""


def refused(what: str, code: int, detail: str | None = None) -> LogError:
    """The error for a request that the broker answered with this code. what: the subject, such as `topic x`."""
    if code in (Code.INVALID_EPOCH, Code.FENCED):
        return LogInUse(f"Kafka: {what}: another tailer has taken over; this one stands by")
    advice = _ADVICE.get(code)
    why = ": ".join(part for part in (advice, detail) if part)
    return LogError(f"Kafka: {what}: {for_code(code).__name__}{f': {why}' if why else ''}")


def unreachable(address: str, error: BaseException, security: str) -> LogError:
    """The error for a connection that could not be made or broke. security: the `securityProtocol`."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SaslAuthenticationFailed):
            return LogError(
                f"Kafka at {address} refuses the user: check modules.realtime.kafka.username, password, saslMechanism"
            )
        if isinstance(cause, UnsupportedSaslMechanismError):
            return LogError(
                f"Kafka at {address} does not take this SASL mechanism: check modules.realtime.kafka.saslMechanism"
            )
        if isinstance(cause, ssl.SSLCertVerificationError):
            return LogError(
                f"Kafka at {address}: its certificate is not trusted ({cause}): "
                "check modules.realtime.kafka.caFile and the host name"
            )
        if isinstance(cause, ssl.SSLError):
            return LogError(
                f"Kafka at {address}: no TLS connection ({cause}): check modules.realtime.kafka."
                "securityProtocol, certFile and keyFile"
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, IncompatibleBrokerVersion):
        return LogError(f"Kafka at {address} is too old for this: {error}")
    if isinstance(error, TimeoutError):
        return Lost(f"Kafka at {address} does not answer: is it up, and reachable from here?")
    if isinstance(error, OSError) and not isinstance(error, ConnectionResetError | ConnectionAbortedError):
        return Lost(f"Kafka at {address} cannot be reached: {error.strerror or error}")
    return Lost(
        f"Kafka at {address} closed the connection: it is stopping, or wants another "
        f"modules.realtime.kafka.securityProtocol than {security}"
    )
