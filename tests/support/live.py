"""`livetail dev` within a test, and a client of it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from broadcaster.client import Client, Subscription
from broadcaster.dev import serve_dev
from cdc.config_parse import parse

PATIENCE_S = 30


@asynccontextmanager
async def served(
    alias: str, conn: str, folder: Path, *collections: str, manage: bool = True
) -> AsyncIterator[str]:
    """It serves these collections of one database to anybody; ready. The URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    live = {"isRealtimeEnabled": True, "rules": {"read": {"rule": "allow"}}}
    crud = {alias: {"conn": conn, "manage": manage, "collections": dict.fromkeys(collections, live)}}
    config = parse(json.dumps({"id": "todo-app", "modules": {"crud": crud}}), {})
    ready = asyncio.Event()
    serving = asyncio.create_task(
        serve_dev(config, listen=("127.0.0.1", port), log_dir=folder, on_ready=ready.set)
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            await ready.wait()
        yield f"http://127.0.0.1:{port}"
    finally:
        serving.cancel()
        await asyncio.wait([serving])


@asynccontextmanager
async def dev(
    alias: str, conn: str, folder: Path, *collections: str, manage: bool = True
) -> AsyncIterator[Client]:
    """The same, with a client."""
    async with (
        served(alias, conn, folder, *collections, manage=manage) as url,
        Client("todo-app", url, max_delay=0.1) as client,
    ):
        yield client


async def until(subscription: Subscription, enough: Callable[[list[dict[str, Any]]], bool]) -> list[str]:
    """Read on until the result is so; the types of the changes on the way."""
    seen: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        async for change in subscription:
            seen.append(change.type)
            if enough(change.docs):
                return seen
    raise AssertionError("the live query ended")
