from __future__ import annotations

import asyncio

import pytest

from broadcaster.outbox import Outbox

LIMIT = 100


class Transport(asyncio.Transport):
    """Takes nothing off its buffer but what `read` says."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.waiting += len(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


class Writer:
    """A response's flow control: `drain` waits until the transport is empty."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def drain(self) -> None:
        while self._transport.waiting:
            if self._transport.aborted:
                raise ConnectionError("Connection lost")  # what aiohttp says of a peer's RST
            await asyncio.sleep(0)


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
async def outbox(transport: Transport) -> Outbox:
    return Outbox(transport, Writer(transport), is_chunked=False, limit=LIMIT, on_evict=lambda: None)  # type: ignore[arg-type]


async def test_a_reader_with_too_much_waiting_is_evicted(outbox: Outbox, transport: Transport) -> None:
    outbox.send(b"x" * LIMIT)
    outbox.flush()
    assert not transport.aborted
    outbox.send(b"x")
    outbox.flush()
    assert transport.aborted
    assert outbox.closed.is_set()


async def test_what_was_asked_for_may_be_larger_than_the_limit(outbox: Outbox, transport: Transport) -> None:
    outbox.send(b"x" * 10 * LIMIT, asked=True)
    outbox.flush()
    outbox.send(b"x" * LIMIT)
    outbox.flush()
    assert not transport.aborted
    outbox.send(b"x")
    outbox.flush()
    assert transport.aborted


async def test_the_allowance_ends_when_the_reader_has_caught_up(outbox: Outbox, transport: Transport) -> None:
    outbox.send(b"x" * 10 * LIMIT, asked=True)
    draining = asyncio.create_task(outbox.drain())
    await asyncio.sleep(0)
    transport.waiting = 0
    await draining
    outbox.send(b"x" * (LIMIT + 1))
    outbox.flush()
    assert transport.aborted


async def test_nor_does_it_outlast_a_reader_who_reads_along(outbox: Outbox, transport: Transport) -> None:
    outbox.send(b"x" * 10 * LIMIT, asked=True)
    outbox.flush()
    transport.waiting = 0
    outbox.send(b"x")
    outbox.flush()
    outbox.send(b"x" * LIMIT)
    outbox.flush()
    assert transport.aborted


async def test_a_reader_that_goes_while_it_is_waited_for(outbox: Outbox, transport: Transport) -> None:
    outbox.send(b"x", asked=True)
    draining = asyncio.create_task(outbox.drain())
    await asyncio.sleep(0)
    transport.abort()
    with pytest.raises(ConnectionResetError):
        await draining
