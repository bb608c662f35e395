"""Debezium's transformation of change events, as Kafka Connect's users have it: its jars from Maven Central."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from broadcaster.demo.cache import made_once
from servers.kafka_jars import fetch

VERSION: Final = "3.6.3.Final"
_POM: Final = Path(__file__).with_name("debezium-pom.xml")


def debezium_jars() -> Path:
    """The folder; the first call ever downloads it (25 MB). Blocks. Raises KafkaNotFound."""
    return made_once(f"debezium-{VERSION}", lambda folder: fetch(_POM, folder))
