"""The documented proxies before Server-Sent Events, really run: what happens passes through them as it happens."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from acceptance.processes import free_port
from broadcaster.client import Client
from broadcaster.demo.debian import NotFromDebian
from servers.postgres import Database
from servers.proxies import caddy, nginx
from support.documentation import ROOT, one
from support.live import PATIENCE_S, served

PAGE = "docker/README.md"
COMPOSE = ROOT / "docker" / "nginx" / "livetail.conf"


def found(program: Callable[[], Path]) -> Path:
    try:
        return program()
    except NotFromDebian as error:
        pytest.skip(str(error))


def nginx_conf(servers: str, folder: Path) -> Path:
    """A whole configuration, which writes into the folder only."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    text = f"daemon off;\npid {folder}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{temporary}{servers}}}\n"
    file = folder / "nginx.conf"
    file.write_text(text)
    return file


def nginx_command(url: str, port: int, folder: Path) -> list[str | Path]:
    told = one(PAGE, "nginx http").text.replace("listen 80;", f"listen 127.0.0.1:{port};")
    return [found(nginx), "-e", "stderr", "-p", folder, "-c", nginx_conf(behind(told, url), folder)]


def caddy_command(url: str, port: int, folder: Path) -> list[str | Path]:
    told = one(PAGE, "caddyfile").text.replace("live.example.com", f"http://127.0.0.1:{port}")
    file = folder / "Caddyfile"
    file.write_text(f"{{\n\tadmin off\n\tgrace_period 100ms\n}}\n{behind(told, url)}")
    return [found(caddy), "run", "--config", file]


def behind(told: str, url: str) -> str:
    """With both broadcasters at one address."""
    address = url.removeprefix("http://")
    assert "10.0.0.7:4122" in told
    return told.replace("10.0.0.7:4122", address).replace("10.0.0.8:4122", address)


@asynccontextmanager
async def running(command: list[str | Path], port: int, folder: Path) -> AsyncIterator[None]:
    """Until the end of the block; from its beginning on it takes connections."""
    with (folder / "errors").open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env={**os.environ, "HOME": str(folder)},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=errors,
        )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not listens(port):
                assert process.returncode is None, (folder / "errors").read_text()
                await asyncio.sleep(0.02)
        yield
    finally:
        process.terminate()
        await process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("proxy", [nginx_command, caddy_command])
async def test_events_pass_at_once(
    proxy: Callable[[str, int, Path], list[str | Path]], postgres_db: Database, tmp_path: Path
) -> None:
    """A proxy that held them back would hold back the first change until there are more."""
    postgres_db.execute("CREATE TABLE todos (id int PRIMARY KEY, title text)")
    port = free_port()
    async with (
        asyncio.timeout(PATIENCE_S),
        served("sql-postgres", postgres_db.url, tmp_path / "log", "todos") as url,
        running(proxy(url, port, tmp_path), port, tmp_path),
        Client("todo-app", f"http://127.0.0.1:{port}") as client,
    ):
        changes = client.live_query("sql-postgres", "todos", {})
        assert (await anext(changes)).docs == []
        postgres_db.execute("INSERT INTO todos VALUES (1, 'Water the plants')")
        assert (await anext(changes)).type == "insert"


def test_the_configuration_of_compose(tmp_path: Path) -> None:
    told = COMPOSE.read_text().replace("listen 80;", f"listen 127.0.0.1:{free_port()};")
    command = [found(nginx), "-t", "-e", "stderr", "-p", tmp_path, "-c", nginx_conf(told, tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
