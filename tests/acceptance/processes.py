"""The two deployables as processes of their own, to be killed and started again, and a network to be cut."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml

ROOT = Path(__file__).parents[2]
READY_SECONDS = 30.0
STOP_SECONDS = 10.0
_NARROW = 2048
_SEGMENT = 200


def free_port() -> int:
    """A loopback port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(
    file: Path,
    url: str,
    collections: Sequence[str],
    realtime: Mapping[str, Any] | None = None,
    alias: str = "sql-postgres",
) -> Path:
    """The seed's configuration for one database, all collections readable."""
    collection = {"isRealtimeEnabled": True, "rules": {"read": {"rule": "allow"}}}
    database = {"conn": url, "isPrimary": True, "collections": dict.fromkeys(collections, collection)}
    config = {
        "id": "todo-app",
        "modules": {"realtime": {"enabled": True, **(realtime or {})}, "crud": {alias: database}},
    }
    file.write_text(yaml.dump(config, Dumper=_PlainDumper))
    return file


class _PlainDumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


class Process:
    """`python -m <module>` on a port that it keeps over its lives. What it says goes to `output`, beside the
    configuration. log_dir: None: the log is on Kafka."""

    def __init__(
        self, module: str, config: Path, log_dir: Path | None, *arguments: str, port: int | None = None
    ) -> None:
        self.port = port or free_port()
        self.output = config.parent / f"{module}-{self.port}.txt"
        self._command = [
            *(sys.executable, "-m", module, "-c", str(config)),
            *("--listen", f"127.0.0.1:{self.port}"),
            *(("--prod",) if log_dir is None else ("--log-dir", str(log_dir))),
            *arguments,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with self.output.open("ab") as output:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=environment, stdout=output, stderr=output
            )

    def ended(self) -> int:
        """Wait for it to end by itself; the exit code."""
        assert self._process is not None
        return self._process.wait(READY_SECONDS)

    def kill(self) -> None:
        """SIGKILL. Raises TimeoutExpired where it does not die, as under a debugger."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def pause(self) -> None:
        """SIGSTOP."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    async def ready(self) -> None:
        """Wait for /readyz; raises with what the process said when it ended or took too long."""
        deadline = time.monotonic() + READY_SECONDS
        report = ""
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < deadline and self.alive:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"{self.url}/readyz") as response:
                        report = await response.text()
                        if response.status == 200:
                            return
                await asyncio.sleep(0.02)
        raise AssertionError(f"{self._command[2]} is not ready: {report}\n{self.told()}")

    async def says(self) -> tuple[bool, str]:
        """Whether it is ready, and the report: /readyz now. Not ready and empty where there is no answer."""
        async with aiohttp.ClientSession() as session:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{self.url}/readyz") as response:
                    return response.status == 200, await response.text()
        return False, ""

    def told(self, lines: int = 40) -> str:
        """The end of its output."""
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])


@asynccontextmanager
async def running(*processes: Process) -> AsyncIterator[None]:
    """All started and ready; stopped at the end, in whichever lives they then are."""
    try:
        for process in processes:
            process.start()
        for process in processes:
            await process.ready()
        yield
    finally:
        for process in processes:
            if process.alive:
                await asyncio.to_thread(process.stop)


class Line:
    """A network between a client and a server, which can be cut: a TCP forwarder. ports: with several servers, each
    connection goes to the next one. narrow: a server soon notices that nothing is carried any more, since little fits
    into the buffers on the way."""

    def __init__(self, host: str, *ports: int, narrow: bool = False) -> None:
        self.port = 0
        self._to = itertools.cycle((host, port) for port in ports)
        self._narrow = narrow
        self._writers: set[asyncio.StreamWriter] = set()
        self._torn: dict[asyncio.StreamWriter, int] = {}  # after so many bytes
        self._stalled: set[asyncio.StreamWriter] = set()
        self._goes = asyncio.Event()

    def cut(self) -> None:
        """Break every connection in the midst of what it carries next; new ones may be made at once."""
        self._torn |= dict.fromkeys(self._writers, 0)

    def stall(self) -> None:
        """Carry nothing more over any connection until `go_on`; those made from now on are not concerned."""
        self._goes.clear()
        self._stalled |= self._writers

    def go_on(self, breaks_after: int | None = None) -> None:
        """Carry what waits, and all that follows; or so many bytes of it, then the connections break."""
        if breaks_after is not None:
            self._torn |= dict.fromkeys(self._stalled, breaks_after)
        self._stalled.clear()
        self._goes.set()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """To the next server."""
        if not self._narrow:
            return await asyncio.open_connection(*next(self._to))
        end = socket.socket()
        try:
            end.setblocking(False)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _NARROW)
            # With loopback's large segments the kernel would keep megabytes on the server's side.
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT)
            await asyncio.get_running_loop().sock_connect(end, next(self._to))
            return await asyncio.open_connection(sock=end, limit=_NARROW)
        except BaseException:
            end.close()
            raise

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, up_writer}
        self._writers |= ends
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, up_writer))
                group.create_task(self._pump(up_reader, writer))
        except* OSError:
            pass
        finally:
            self._writers -= ends
            self._stalled -= ends
            for end in ends:
                self._torn.pop(end, None)
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            if writer in self._stalled:
                await self._goes.wait()
            left = self._torn.get(writer)
            if left is not None and len(data) > left:
                writer.write(data[: left or len(data) // 2])
                writer.close()
                await writer.wait_closed()
                break
            if left is not None:
                self._torn[writer] = left - len(data)
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Line]:
        """Forwarding from `port`."""
        server = await asyncio.start_server(self._forward, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in list(self._writers):
                writer.transport.abort()
