"""`livetail demo`: an embedded Postgres, the tailer, the log and the broadcaster in one process, and a page."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from broadcaster.demo import todos
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
    end). Raises EmbeddedPostgresError, ConfigError."""
    with _folder(data_dir) as folder:
        started = time.perf_counter()
        server = EmbeddedPostgres(folder / "postgres")
        try:
            await asyncio.to_thread(server.start)
            url = server.url_for(todos.DATABASE)
            await todos.prepare(server.url, url)
            echo(f"Postgres {server.version} runs on port {server.port} ({_since(started)} ms)")
            config = parse(_CONFIG, {"DEMO_POSTGRES": url}, "the demo's configuration")
            base = f"http://{'localhost' if listen[0] in ('127.0.0.1', '0.0.0.0') else listen[0]}:{listen[1]}"
            where = quote('{"done":false}', safe=":,")
            curl = f"curl -N '{base}/v1/api/{config.id}/realtime/{_ALIAS}/todos?where={where}'"
            psql = server.psql_command_for(todos.DATABASE)
            routes = DemoRoutes(url, {"psql": psql, "curl": curl, "version": server.version})

            def on_ready() -> None:
                echo(f"The tailer streams, the broadcaster listens ({_since(started)} ms)")
                echo(f"\n  Open    {base}/")
                echo(f"  Change  {psql}")
                echo(f"  Watch   {curl}\n")
                echo("Ctrl-C stops it all.")

            await serve_dev(
                config, listen=listen, log_dir=folder / "log", on_ready=on_ready, extend=routes.add_to
            )
        finally:
            await asyncio.shield(asyncio.to_thread(server.stop))
            echo("Stopped.")


@contextlib.contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    folder = Path(tempfile.mkdtemp(prefix="livetail-demo-"))
    folder.chmod(0o711)  # as root, Postgres runs as another user, who must pass through
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _since(started: float) -> int:
    return round((time.perf_counter() - started) * 1000)
