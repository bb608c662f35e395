"""What becomes of a connection whose stream is no longer aiohttp's, on asyncio's own loop and on the one in use."""

import asyncio
import json
import socket
import struct
from contextlib import asynccontextmanager

import pytest
import uvloop

from broadcaster import streams
from support.serving import BASE, serving

GET = f"GET {BASE}/pg/todos HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request):
    return request.param


def port(server):
    return int(server.url.rpartition(":")[2])


@asynccontextmanager
async def client(server, head=GET, body=b""):
    """What it reads and writes with, and what it got up to `ready`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port(server))
    writer.write(head.encode() + b"\r\n" + body)
    try:
        async with asyncio.timeout(5):
            begun = await reader.readuntil(b"event: ready")
            begun += await reader.readuntil(b"}\n\n")
        yield reader, writer, begun
    finally:
        writer.close()


async def until(server, connections):
    async with asyncio.timeout(5):
        while server.registry.get_sample_value("broadcaster_connections") != connections:
            await asyncio.sleep(0.001)


def test_aiohttp_knows_nothing_of_an_open_stream(run):
    async def play():
        async with serving() as server, client(server) as (reader, _, begun):
            assert b"\r\nConnection: close\r\n" in begun
            await until(server, 1)
            async with asyncio.timeout(5):
                while server.runner.server.connections:
                    await asyncio.sleep(0.001)
            tasks = {task.get_name() for task in asyncio.all_tasks()} - {asyncio.current_task().get_name()}
            assert not [name for name in tasks if name.startswith("Task-") and "start" in name]
            await server.world.commit(("c", None, {"id": 1}))
            async with asyncio.timeout(5):
                assert b'"find":{"id":1}' in await reader.readuntil(b"]}\n\n")

    run(play())


@pytest.mark.parametrize("how", ["close", "half", "reset"])
def test_a_client_that_leaves_is_noticed(run, how):
    async def play():
        async with serving() as server, client(server) as (_, writer, _):
            await until(server, 1)
            if how == "half":
                writer.write_eof()
            elif how == "reset":
                linger = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                writer.transport.abort()
            else:
                writer.close()
            await until(server, 0)
            assert not server.world.feed.queries
            server.app._admission.check()
            assert server.app._admission._connections == 0

    run(play())


def test_what_a_client_sends_later_is_read_away(run):
    async def play():
        async with serving() as server, client(server) as (reader, writer, _):
            for _ in range(50):
                writer.write(f"{GET}\r\n".encode() * 1_000)
                await writer.drain()
            await server.world.commit(("c", None, {"id": 1}))
            async with asyncio.timeout(5):
                assert b'"find":{"id":1}' in await reader.readuntil(b"]}\n\n")
            writer.close()
            await until(server, 0)

    run(play())


def test_a_body_that_nobody_reads_hides_no_end(run):
    """aiohttp stops reading where much of a body waits."""

    async def play():
        async with serving() as server:
            head = f"{GET}Content-Length: 10000000\r\n"
            async with client(server, head, b"x" * 300_000) as (_, writer, _):
                await until(server, 1)
                writer.close()
                await until(server, 0)

    run(play())


def test_a_posted_stream(run):
    async def play():
        body = json.dumps({"subscriptions": [{"id": "a", "db": "pg", "col": "todos"}]}).encode()
        head = f"POST {BASE} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        async with serving() as server, client(server, head, body) as (reader, _, _):
            await server.world.commit(("c", None, {"id": 1}))
            async with asyncio.timeout(5):
                assert b'"id":"a"' in await reader.readuntil(b"]}\n\n")

    run(play())


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_shutdown_ends_streams_and_their_connections(run, version):
    async def play():
        async with serving() as server:
            head = GET.replace("HTTP/1.1", f"HTTP/{version}")
            async with client(server, head) as (reader, _, _):
                await server.runner.cleanup()
                async with asyncio.timeout(5):
                    rest = await reader.read()
                assert rest.endswith(b"\r\n0\r\n\r\n") == (version == "1.1")
            assert server.registry.get_sample_value("broadcaster_connections") == 0

    run(play())


def test_shutdown_does_not_wait_for_a_reader_that_does_not_read(run, monkeypatch):
    monkeypatch.setattr(streams, "_CLOSE_SECONDS", 0.05)

    async def play():
        async with serving() as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", port(server), limit=1_000)
            writer.write(f"{GET}\r\n".encode())
            await until(server, 1)
            [connection] = server.app._streams.connections
            number = 0
            async with asyncio.timeout(10):
                while not connection.outbox.unsent:
                    number += 1
                    await server.world.commit(("c", None, {"id": number, "text": "x" * 30_000}))
                    await asyncio.sleep(0.001)
                await server.runner.cleanup()
            assert server.registry.get_sample_value("broadcaster_connections") == 0
            assert (
                server.registry.get_sample_value("broadcaster_evictions_total", {"reason": "slow_reader"})
                is None
            )
            writer.close()
            assert reader is not None

    run(play())
