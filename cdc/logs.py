"""The event logs of a configuration's databases."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdc.config import Config
from cdc.errors import ConfigError
from cdc.log import EventLog, open_log
from cdc.status import Fact

if TYPE_CHECKING:
    from cdc.log.kafka.log import KafkaLog


class Logs:
    """Each database's log, opened when it is first asked for: embedded in `folder`, or on Kafka where that is None.

    Raises ConfigError where Kafka is wanted and not configured.
    """

    def __init__(self, config: Config, folder: Path | None) -> None:
        if folder is None and config.realtime.kafka is None:
            raise ConfigError(
                "modules.realtime.kafka is missing: --prod (or PROD=true) puts the event log on Kafka; name its brokers"
            )
        self._config = config
        self._folder = folder
        self._opened: dict[str, EventLog] = {}

    def __call__(self, alias: str) -> EventLog:
        """The log of this database."""
        if alias not in self._opened:
            self._opened[alias] = self._open(alias)
        return self._opened[alias]

    def _open(self, alias: str) -> EventLog:
        realtime = self._config.realtime
        age, size = realtime.retention.age, realtime.retention.size
        if self._folder is not None:
            return open_log(self._folder, alias, keep_seconds=age, keep_bytes=size)
        from cdc.log.kafka.log import KafkaLog

        assert realtime.kafka is not None
        live = self._config.realtime_collections(alias)
        collections = self._config.databases[alias].collections
        return KafkaLog(
            realtime.kafka,
            self._config.id,
            alias,
            {name: collections[name] for name in live},
            retention=realtime.retention,
            keep_seconds=age,
            keep_bytes=size,
        )

    async def topic_facts(self, alias: str) -> tuple[Fact, ...]:
        """What is to be told of the log's topics on Kafka; nothing of an embedded log. Raises LogError."""
        if self._folder is not None:
            return ()
        from cdc.log.kafka.inventory import topics_fact

        return (topics_fact(await self._on_kafka(alias).topics()),)

    async def tailer_facts(self, alias: str) -> tuple[Fact, ...]:
        """Who tails into the log on Kafka; nothing of an embedded log. Raises LogError."""
        if self._folder is not None:
            return ()
        from cdc.log.kafka.inventory import tailers_fact

        return (tailers_fact(await self._on_kafka(alias).tailers()),)

    def _on_kafka(self, alias: str) -> KafkaLog:
        from cdc.log.kafka.log import KafkaLog

        log = self(alias)
        assert isinstance(log, KafkaLog)
        return log

    async def around(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work; then close the logs, so that on Kafka a standby takes over at once."""
        try:
            await work
        finally:
            await asyncio.gather(*(log.close() for log in self._opened.values()))
