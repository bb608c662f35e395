import asyncio
from contextlib import asynccontextmanager

import psycopg
import pytest

from servers.postgres import connect
from servers.proxy import HOST, Proxy


@asynccontextmanager
async def echo():
    """A server that gives back what it gets; its address."""

    async def serve(reader, writer):
        try:
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        yield server.sockets[0].getsockname()


@asynccontextmanager
async def client(proxy):
    reader, writer = await asyncio.open_connection(*proxy.address)
    try:
        yield reader, writer
    finally:
        writer.close()


async def says(stream, text):
    reader, writer = stream
    writer.write(text)
    assert await reader.readexactly(len(text)) == text


@pytest.fixture
async def proxy():
    async with echo() as address, Proxy(address) as proxy:
        yield proxy


async def test_forwards_both_ways_and_ends_with_either(proxy):
    async with client(proxy) as stream:
        await says(stream, b"x" * 1_000_000)
        assert proxy.connections == 1
        stream[1].write_eof()
        assert await stream[0].read() == b""
    while proxy.connections:
        await asyncio.sleep(0)


async def test_cut_resets_all_and_takes_new_ones(proxy):
    async with client(proxy) as one, client(proxy) as two:
        await says(one, b"a")
        await says(two, b"b")
        await proxy.cut()
        assert proxy.connections == 0
        for reader, _ in (one, two):
            with pytest.raises(ConnectionResetError):
                await reader.read()
    async with client(proxy) as stream:
        await says(stream, b"c")


async def test_refuse_keeps_the_port_for_resume(proxy):
    port = proxy.port
    async with client(proxy) as stream:
        await says(stream, b"a")
        await proxy.refuse()
        with pytest.raises(ConnectionResetError):
            await stream[0].read()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, port)
    await proxy.resume()
    assert proxy.port == port
    async with client(proxy) as stream:
        await says(stream, b"b")


async def test_stall_holds_everything_back_and_loses_nothing(proxy):
    async with client(proxy) as old:
        await says(old, b"a")
        proxy.stall()
        async with client(proxy) as new:
            waiting = [asyncio.create_task(says(stream, b"held")) for stream in (old, new)]
            done, _ = await asyncio.wait(waiting, timeout=0.05)
            assert not done
            await proxy.resume()
            await asyncio.gather(*waiting)


async def test_cut_while_stalled(proxy):
    async with client(proxy) as stream:
        await says(stream, b"a")
        proxy.stall()
        stream[1].write(b"lost")
        await proxy.cut()
        with pytest.raises(ConnectionResetError):
            await stream[0].read()
    await proxy.resume()
    async with client(proxy) as stream:
        await says(stream, b"b")


async def test_a_dead_server_looks_dead():
    async with echo() as address:
        pass
    async with Proxy(address) as proxy, client(proxy) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_a_postgres_session_through_it(postgres_db):
    server = postgres_db.server
    async with Proxy((HOST, server.port)) as proxy:
        url = postgres_db.url.replace(f":{server.port}/", f":{proxy.port}/")
        connection = await connect(url)
        assert await (await connection.execute("SELECT 1")).fetchone() == (1,)
        await proxy.cut()
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("SELECT 1")
        await connection.close()
        async with await connect(url) as connection:
            assert await (await connection.execute("SELECT 2")).fetchone() == (2,)
