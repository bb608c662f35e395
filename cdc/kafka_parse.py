"""`modules.realtime.kafka`, parsed. (pure)"""

from __future__ import annotations

import re
from typing import Any, Final

from cdc.config import KafkaConfig
from cdc.config_reader import Reader

KAFKA_KEYS: Final = (
    "brokers",
    "securityProtocol",
    "saslMechanism",
    "username",
    "password",
    "caFile",
    "certFile",
    "keyFile",
    "replication",
    "messageBytes",
    "timeout",
    "takeover",
)
_PROTOCOLS: Final = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_FILES: Final = {"caFile": "ca_file", "certFile": "cert_file", "keyFile": "key_file"}
_BROKER: Final = re.compile(r"([^\s:/@\[\]]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")


def parse_kafka(node: Reader) -> KafkaConfig:
    """A host, `host:port`, a list of them, or a mapping with `brokers` and how to talk to them. Raises ConfigError."""
    if not node.is_mapping:
        return KafkaConfig(_brokers(node))
    given = node.mapping(KAFKA_KEYS)
    if "brokers" not in given:
        node.fail("`brokers` is missing: host:port, or a list of them")
    values: dict[str, Any] = _security(node, given)
    for key, name in _FILES.items():
        if key in given:
            values[name] = given[key].string()
    if "replication" in given:
        values["replication"] = given["replication"].whole()
    if "messageBytes" in given:
        values["message_bytes"] = given["messageBytes"].size()
    for key in ("timeout", "takeover"):
        if key in given:
            values[key] = given[key].duration()
    return KafkaConfig(_brokers(given["brokers"]), **values)


def _security(node: Reader, given: dict[str, Reader]) -> dict[str, Any]:
    """What is not said follows from what is: a user means SASL, and a password does not travel in the open."""
    sasl = "username" in given
    tls = any(key in given for key in _FILES)
    usual = "SASL_SSL" if sasl else "SSL" if tls else "PLAINTEXT"
    protocol = given["securityProtocol"].choice(_PROTOCOLS) if "securityProtocol" in given else usual
    if sasl != ("password" in given) or sasl != protocol.startswith("SASL"):
        node.fail(
            f"securityProtocol {protocol}: username and password belong to SASL_PLAINTEXT and SASL_SSL, both"
        )
    if tls and not protocol.endswith("SSL"):
        node.fail(f"securityProtocol {protocol}: caFile, certFile and keyFile belong to SSL and SASL_SSL")
    if ("certFile" in given) != ("keyFile" in given):
        node.fail("certFile and keyFile belong together")
    if not sasl:
        if "saslMechanism" in given:
            given["saslMechanism"].fail("is of use with username and password only")
        return {"security_protocol": protocol}
    return {
        "security_protocol": protocol,
        "sasl_mechanism": given["saslMechanism"].choice(_MECHANISMS) if "saslMechanism" in given else "PLAIN",
        "username": given["username"].string(),
        "password": given["password"].secret(),
    }


def _brokers(node: Reader) -> tuple[str, ...]:
    nodes = list(node.items()) if node.is_list else [node]
    if not nodes:
        node.fail("must name at least one broker")
    return tuple(map(_broker, nodes))


def _broker(node: Reader) -> str:
    match = _BROKER.fullmatch(node.string())
    if match is None or not 0 < int(match[2] or 9092) < 65_536:
        node.fail("must be host or host:port")
    return f"{match[1]}:{match[2] or 9092}"
