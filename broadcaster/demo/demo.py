"""`livetail demo`: an embedded Postgres, the tailer, the log and the broadcaster in one process, and a page."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import quote

from broadcaster.demo import todos
from broadcaster.demo.folder import demo_folder
from broadcaster.demo.postgres import EmbeddedPostgres
from broadcaster.demo.routes import DemoRoutes
from broadcaster.dev import serve_dev
from cdc.config import parse

_ALIAS: Final = "sql-postgres"
_CONFIG: Final = """\
id: todo-app
modules:
  realtime:
    enabled: true
  crud:
    sql-postgres:
      conn: ${DEMO_POSTGRES}
      isPrimary: true
      collections:
        todos:
          isRealtimeEnabled: true
          rules:
            read: {rule: allow}
"""


async def run_demo(listen: tuple[str, int], data_dir: Path | None, echo: Callable[[str], None]) -> None:
    """Run until cancelled. data_dir: where the database and the log stay (None: a temporary folder, removed at the
    end). Raises PostgresNotFound, EmbeddedPostgresError, FolderInUse, ConfigError."""
    with demo_folder(data_dir) as folder:
        server = EmbeddedPostgres(folder / "postgres")
        echo(f"Starting Postgres {server.version} in {server.data_dir}")
        started = time.perf_counter()
        try:
            await asyncio.to_thread(server.start)
            url = server.url_for(todos.DATABASE)
            await todos.prepare(server.url, url)
            echo(f"Postgres runs on port {server.port} ({_since(started)} ms)")
            config = parse(_CONFIG, {"DEMO_POSTGRES": url}, "the demo's configuration")
            base = base_url(listen)
            curl = curl_command(base, config.id)
            psql = server.psql_command_for(todos.DATABASE)
            routes = DemoRoutes(url, {"psql": psql, "curl": curl, "version": server.version}, listen[0])
            listening = asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(
                    serve_dev(
                        config,
                        listen=listen,
                        log_dir=folder / "log",
                        on_ready=listening.set,
                        extend=routes.add_to,
                    )
                )
                await listening.wait()
                await todos.tailed(url)
                echo(f"The tailer streams, the broadcaster listens ({_since(started)} ms)\n")
                echo(f"  Open    {base}/")
                echo(f"  Change  {psql}")
                echo(f"  Watch   {curl}\n")
                echo("Ctrl-C stops it all.")
        finally:
            await asyncio.shield(asyncio.to_thread(server.stop))
            echo("Stopped.")


def base_url(listen: tuple[str, int]) -> str:
    """Where a browser on this machine finds what listens there. (pure)"""
    host, port = listen
    if host in ("127.0.0.1", "0.0.0.0", "::", "::1"):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def curl_command(base: str, project: str) -> str:
    """A shell command that follows the open todos. (pure)"""
    where = quote('{"done":false}', safe=":,")  # curl takes braces for a pattern of its own
    return f"curl -N '{base}/v1/api/{project}/realtime/{_ALIAS}/todos?where={where}'"


def _since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
