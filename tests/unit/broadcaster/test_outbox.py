from __future__ import annotations

import asyncio

import pytest

from broadcaster import outbox as module
from broadcaster.outbox import Tick
from broadcaster.sse import LAST_CHUNK
from support.wire import WiredOutbox

LIMIT = 100


@pytest.fixture
async def outbox() -> WiredOutbox:
    """Of a reader who reads nothing."""
    made = WiredOutbox(Tick(), limit=LIMIT)
    made.wire.stalled = True
    return made


def read(outbox: WiredOutbox) -> None:
    outbox.wire.stalled = False
    outbox.wire.read()
    outbox.wire.stalled = True


async def test_a_reader_with_too_much_waiting_is_evicted(outbox: WiredOutbox) -> None:
    outbox.send(b"x" * LIMIT)
    outbox.flush()
    assert not outbox.is_closed
    outbox.send(b"x")
    outbox.flush()
    assert outbox.wire.closing
    assert outbox.is_closed
    assert (outbox.evicted, outbox.lost) == (1, 0)
    await asyncio.sleep(0)
    assert (outbox.evicted, outbox.lost) == (1, 1)


async def test_what_was_asked_for_may_be_larger_than_the_limit(outbox: WiredOutbox) -> None:
    outbox.send(b"x" * 10 * LIMIT, asked=True)
    outbox.flush()
    outbox.send(b"x" * LIMIT)
    outbox.flush()
    assert not outbox.evicted
    outbox.send(b"x")
    outbox.flush()
    assert outbox.evicted


async def test_the_allowance_ends_when_the_reader_has_caught_up(outbox: WiredOutbox) -> None:
    outbox.send(b"x" * 10 * LIMIT, asked=True)
    draining = asyncio.create_task(outbox.drain())
    await asyncio.sleep(0)
    assert not draining.done()
    read(outbox)
    await draining
    outbox.send(b"x" * (LIMIT + 1))
    outbox.flush()
    assert outbox.evicted


async def test_nor_does_it_outlast_a_reader_who_reads_along(outbox: WiredOutbox) -> None:
    outbox.send(b"x" * 10 * LIMIT, asked=True)
    outbox.flush()
    read(outbox)
    outbox.send(b"x")
    outbox.flush()
    outbox.send(b"x" * LIMIT)
    outbox.flush()
    assert outbox.evicted


async def test_a_reader_that_goes_while_several_wait_for_it(outbox: WiredOutbox) -> None:
    outbox.send(b"x", asked=True)
    draining = [asyncio.create_task(outbox.drain()) for _ in range(3)]
    await asyncio.sleep(0)
    draining[0].cancel()
    await asyncio.sleep(0)
    assert [task.done() for task in draining] == [True, False, False]
    outbox.wire.abort()
    for task in draining[1:]:
        with pytest.raises(ConnectionResetError):
            await task
    with pytest.raises(ConnectionResetError):
        await outbox.drain()
    assert outbox.lost == 1


async def test_what_is_sent_in_one_tick_is_one_chunk() -> None:
    outbox = WiredOutbox(Tick(), is_chunked=True)
    outbox.send(b"data: ")
    outbox.send(b"{}\n\n")
    assert not outbox.wire.writes
    await asyncio.sleep(0)
    assert outbox.wire.writes == [b"a\r\ndata: {}\n\n\r\n"]


async def test_a_stream_ends_with_what_was_sent() -> None:
    outbox = WiredOutbox(Tick(), is_chunked=True)
    outbox.send(b"data: {}\n\n")
    outbox.close()
    outbox.send(b"more")
    outbox.close()
    await asyncio.sleep(0)
    assert outbox.sent == b"a\r\ndata: {}\n\n\r\n" + LAST_CHUNK
    assert outbox.lost == 1


async def test_a_slow_reader_may_take_the_end_of_a_stream(outbox: WiredOutbox) -> None:
    outbox.send(b"the last")
    outbox.close()
    await asyncio.sleep(0)
    assert outbox.lost == 0
    read(outbox)
    await asyncio.sleep(0)
    assert (outbox.sent, outbox.lost) == (b"the last", 1)


async def test_but_not_for_ever(outbox: WiredOutbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LINGER_SECONDS", 0.0)
    outbox.send(b"the last")
    outbox.close()
    async with asyncio.timeout(5):
        while not outbox.lost:
            await asyncio.sleep(0)
    assert outbox.sent == b""


async def test_who_has_gone_is_not_written_to() -> None:
    outbox = WiredOutbox(Tick())
    outbox.wire.closing = True
    outbox.send(b"x")
    await asyncio.sleep(0)
    assert outbox.is_closed
    assert not outbox.wire.writes


async def test_one_connection_that_fails_does_not_keep_others_from_their_frames(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("this transport is broken")

    tick = Tick()
    outboxes = [WiredOutbox(tick), WiredOutbox(tick)]
    monkeypatch.setattr(outboxes[0].wire, "write", broken)
    for outbox in outboxes:
        outbox.send(b"x")
    await asyncio.sleep(0)
    assert outboxes[0].wire.closing
    assert outboxes[0].is_closed
    assert outboxes[1].sent == b"x"
    assert "this transport is broken" in caplog.text
