"""`livetail demo`: an embedded database, the tailer, the log and the broadcaster in one process, and a page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import quote

import aiohttp

from broadcaster.demo.database import DemoDatabase, Play
from broadcaster.demo.folder import demo_folder
from broadcaster.demo.routes import DemoRoutes
from broadcaster.dev import serve_dev
from broadcaster.serve import base_url
from cdc.config_parse import parse

Kind: TypeAlias = Literal["postgres", "mongo", "mysql", "mariadb"]

_POLL_SECONDS: Final = 0.02
_CONFIG: Final = """\
id: todo-app
modules:
  realtime:
    enabled: true
  crud:
    {alias}:
      conn: ${{DEMO_DATABASE}}
      isPrimary: true
      collections:
        todos:
          isRealtimeEnabled: true
          rules:
            read: {{rule: allow}}
"""


async def run_demo(
    kind: Kind, listen: tuple[str, int], data_dir: Path | None, echo: Callable[[str], None]
) -> None:
    """Run until cancelled. data_dir: where the database and the log stay (None: a temporary folder, removed at the
    end). Raises LivetailError: no programs to run, FolderInUse, ConfigError …"""
    with demo_folder(data_dir) as folder:
        if kind in ("mysql", "mariadb"):
            echo(
                "Looking for its programs; where this machine has none, they are downloaded from Debian, once"
            )
        database = await asyncio.to_thread(demo_database, kind, folder)
        echo(f"Starting {database.product} {database.version} in {database.data_dir}")
        try:
            await _play(database, folder / "log", listen, echo)
        finally:
            await asyncio.shield(asyncio.to_thread(database.stop))
            echo("Stopped.")


async def _play(
    database: DemoDatabase, log_dir: Path, listen: tuple[str, int], echo: Callable[[str], None]
) -> None:
    started = time.perf_counter()
    await asyncio.to_thread(database.start)
    table = database.table()
    try:
        await table.prepare()
        echo(f"{database.product} runs on port {database.port} ({_since(started)} ms)")
        config = parse(
            _CONFIG.format(alias=database.alias), {"DEMO_DATABASE": database.url}, "the demo's configuration"
        )
        base = base_url(listen)
        play, curl = database.play(), curl_command(base, config.id, database.alias)
        routes = DemoRoutes(table, facts(database, play, curl), listen[0])
        listening = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(
                serve_dev(
                    config,
                    listen=listen,
                    log_dir=log_dir,
                    on_ready=listening.set,
                    extend=routes.add_to,
                )
            )
            await listening.wait()
            await _ready(base)
            echo(f"The tailer streams, the broadcaster listens ({_since(started)} ms)\n")
            echo(f"  Open    {base}/")
            echo(f"  Change  {play.command}")
            echo(f"  Watch   {curl}\n")
            echo("Ctrl-C stops it all.")
    finally:
        await table.close()


def demo_database(kind: Kind, folder: Path) -> DemoDatabase:
    """The database to play with, not yet started. What it needs is imported here: no driver is loaded that nobody
    uses. Raises LivetailError where its programs are missing."""
    if kind == "mongo":
        from broadcaster.demo.mongo_todos import MongoDemo

        return MongoDemo(folder)
    if kind == "mysql" or kind == "mariadb":
        from broadcaster.demo.mysql_todos import MysqlDemo

        return MysqlDemo(folder, kind)
    from broadcaster.demo.postgres_todos import PostgresDemo

    return PostgresDemo(folder)


def facts(database: DemoDatabase, play: Play, curl: str) -> dict[str, Any]:
    """What the page is to know and to show. (pure)"""
    return {
        "alias": database.alias,
        "product": database.product,
        "version": database.version,
        "noun": database.noun,
        "key": database.key,
        "change": play.command,
        "inside": play.inside,
        "examples": play.examples,
        "curl": curl,
    }


def curl_command(base: str, project: str, alias: str) -> str:
    """A shell command that follows the open todos. (pure)"""
    where = quote('{"done":false}', safe=":,")  # curl takes braces for a pattern of its own
    return f"curl -N '{base}/v1/api/{project}/realtime/{alias}/todos?where={where}'"


async def _ready(base: str) -> None:
    """Wait until tailer and broadcaster say that they are ready."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{base}/readyz") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(_POLL_SECONDS)


def _since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
