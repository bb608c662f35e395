from __future__ import annotations

import asyncio

import pytest

from broadcaster.outbox import Outbox, Tick

LIMIT = 100


class Transport(asyncio.Transport):
    """Takes nothing off its buffer but what `read` says."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0
        self.aborted = False
        self.written: list[bytes | bytearray | memoryview] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(data)
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


def an_outbox(transport: Transport, tick: Tick, *, is_chunked: bool = False) -> Outbox:
    writer = Writer(transport)
    return Outbox(transport, writer, tick=tick, is_chunked=is_chunked, limit=LIMIT, on_evict=lambda: None)  # type: ignore[arg-type]


@pytest.fixture
async def outbox(transport: Transport) -> Outbox:
    return an_outbox(transport, Tick())


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


async def test_what_is_sent_in_one_tick_is_one_chunk(transport: Transport) -> None:
    outbox = an_outbox(transport, Tick(), is_chunked=True)
    outbox.send(b"data: ")
    outbox.send(b"{}\n\n")
    assert not transport.written
    await asyncio.sleep(0)
    assert transport.written == [b"a\r\ndata: {}\n\n\r\n"]


async def test_one_connection_that_fails_does_not_keep_others_from_their_frames(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Broken(Transport):
        def write(self, data: bytes | bytearray | memoryview) -> None:
            raise RuntimeError("this transport is broken")

    tick, transports = Tick(), [Broken(), Transport()]
    outboxes = [an_outbox(transport, tick) for transport in transports]
    for outbox in outboxes:
        outbox.send(b"x")
    await asyncio.sleep(0)
    assert transports[0].aborted
    assert outboxes[0].closed.is_set()
    assert transports[1].written == [b"x"]
    assert "this transport is broken" in caplog.text
