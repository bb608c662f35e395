"""Asks every database and every log of a configuration how it stands, all at once, none for longer than it takes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from cdc.config import Config
from cdc.connector import connector_of
from cdc.errors import ConfigError, LivetailError
from cdc.log import LogState
from cdc.logs import Logs
from cdc.runner import tailed
from cdc.status import DatabaseStatus, Fact, Part, log_facts

_PATIENCE_S: Final = 15.0


async def survey(config: Config, logs: Logs, clock: Callable[[], float] = time.time) -> list[DatabaseStatus]:
    """How the databases stand that have a live collection. What cannot be asked is told as a `Part`'s error. clock:
    Unix seconds. Raises ConfigError where a connection string cannot be used."""
    return list(await asyncio.gather(*(_database(config, logs, alias, clock) for alias in tailed(config))))


async def _database(config: Config, logs: Logs, alias: str, clock: Callable[[], float]) -> DatabaseStatus:
    state: LogState | None = None

    async def ask_log() -> Iterable[Fact]:
        nonlocal state
        state = await logs(alias).state()
        after = None if state is None else state.position
        place = None if after is None else connector_of(config, alias).place(after)
        return log_facts(state, place, clock())

    log = await _part(ask_log())
    after = None if state is None else state.position
    topics, tailers, source = await asyncio.gather(
        _part(logs.topic_facts(alias)),
        _part(logs.tailer_facts(alias)),
        _part(connector_of(config, alias).status(after)),
    )
    return DatabaseStatus(
        alias,
        config.databases[alias].type,
        Part(log.facts + topics.facts + tailers.facts, log.error or topics.error or tailers.error),
        source,
    )


async def _part(asked: Coroutine[Any, Any, Iterable[Fact]]) -> Part:
    try:
        async with asyncio.timeout(_PATIENCE_S):
            return Part(tuple(await asked))
    except TimeoutError:
        return Part(error=f"does not answer within {_PATIENCE_S:.0f} s")
    except ConfigError:
        raise
    except LivetailError as error:
        return Part(error=str(error))
