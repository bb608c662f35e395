"""Asks a running tailer for a snapshot, and follows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from cdc.config import Config
from cdc.errors import ConfigError, SourceUnavailable
from cdc.snapshot.permit import Permit

_POLL_SECONDS: Final = 0.5
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)


async def ask_for_snapshot(
    config: Config, tailer: tuple[str, int], database: str, collection: str, echo: Callable[[str], None]
) -> None:
    """Have the tailer read the collection into the log; returns when it is there. The tailer goes on without us.

    Raises ConfigError where it refuses, SourceUnavailable where it cannot be reached or does not stream.
    """
    host, port = tailer
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1/snapshot/{quote(database)}/{quote(collection)}"
    permit, shown = Permit(config), -1
    try:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            async with session.post(url, headers=permit.headers()) as response:
                told = await _told(response)
            while not told["done"]:
                await asyncio.sleep(_POLL_SECONDS)
                async with session.get(url, headers=permit.headers()) as response:
                    told = await _told(response)
                if told["rows"] != shown:
                    shown = told["rows"]
                    echo(f"{shown} rows")
    except (aiohttp.ClientError, TimeoutError) as error:
        raise SourceUnavailable(
            f"the tailer at {host}:{port} does not answer ({error or 'too slow'}); --tailer is its --listen address"
        ) from error
    echo("done")


async def _told(response: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        told: dict[str, Any] = await response.json()
    except (aiohttp.ContentTypeError, ValueError):
        raise ConfigError("what answers there is no tailer of Livetail; see --tailer") from None
    if response.status >= 500:
        raise SourceUnavailable(str(told.get("error")))
    if response.status >= 400:
        raise ConfigError(str(told.get("error")))
    return told
