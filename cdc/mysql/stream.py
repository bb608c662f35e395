"""Follows a binlog: the socket of an open dump, driven by the event loop.

The server sends events as they come and a heartbeat every second when none do; there is nothing to answer.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from cdc.errors import LivetailError, ProtocolError
from cdc.event import Batch, Position
from cdc.mysql.assemble import Assembler
from cdc.mysql.dump import Dump
from cdc.mysql.packets import Packets, ServerError
from cdc.mysql.tables import Catalog, NeedCatalog

TURN_BYTES: Final = 1 << 16  # a few ms of decoding, then the loop gets its turn
CHUNK_BYTES: Final = 1 << 18
BURST_BYTES: Final = 1 << 20  # read at once, at the most
BACKLOG_BYTES: Final = 1 << 15  # so much in one burst and the server surely has more
COALESCE_S: Final = 0.001
MAX_PENDING: Final = 3 << 20  # bytes not taken beyond which reading stops
PROGRESS_S: Final = 0.1
SILENCE_S: Final = 10.0  # ten heartbeats
LISTEN_S: Final = 1.0

Learner: TypeAlias = Callable[[], Awaitable[Catalog]]


class MysqlStream:
    """A `cdc.tailer.Stream` on an open dump, which it closes.

    learn: asks the catalog; explain: makes of the server's error, or of silence, what the pipeline gets; begin: the
    position to give out first, of a new log.
    """

    def __init__(
        self,
        dump: Dump,
        assembler: Assembler,
        learn: Learner,
        explain: Callable[[int, str], LivetailError],
        begin: Position | None,
    ) -> None:
        self._dump = dump
        self._socket = dump.socket
        self._assembler = assembler
        self._learn = learn
        self._explain = explain
        self._packets = Packets()
        self._progress: Batch | None = None if begin is None else Batch([], begin, now_ms())
        self._progress_due = 0.0
        self._progress_timer: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._ended = ""
        self._reader = self._paused = self._closed = self._backlog = False
        self._next_turn: asyncio.Handle | None = None
        self._learning: asyncio.Task[None] | None = None
        self._heard = self._loop.time()
        self._silence_timer = self._loop.call_later(LISTEN_S, self._on_silence_timer)
        self._next_turn = self._loop.call_soon(self._read)

    # --- what the pipeline calls

    async def take(self) -> Batch:
        """See `cdc.tailer.Stream`."""
        while True:
            self._changed.clear()
            if isinstance(self._failure, ProtocolError):
                raise self._failure
            batch = self._next_batch()
            if batch is not None:
                if self._paused:
                    self._resume()
                return batch
            if self._failure is not None:
                raise self._failure
            await self._changed.wait()

    def confirm(self, position: Position) -> None:
        """See `cdc.tailer.Stream`; the binlog is purged whoever reads it."""

    async def close(self) -> None:
        """See `cdc.tailer.Stream`."""
        if self._closed:
            return
        self._closed = True
        self._stop_reading()
        self._silence_timer.cancel()
        if self._progress_timer is not None:
            self._progress_timer.cancel()
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.wait([self._learning], timeout=0.5)
        self._dump.close()

    # --- reading

    def _read(self) -> None:
        """Take what has arrived off the socket and decode it."""
        self._next_turn = None
        burst = 0
        try:
            while burst < BURST_BYTES:
                chunk = self._socket.recv(CHUNK_BYTES)
                if not chunk:
                    self._ended = "the server closed the connection"
                    break
                self._packets.add(chunk)
                burst += len(chunk)
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            self._ended = str(error)
        self._backlog = burst >= BACKLOG_BYTES
        self._decode()

    def _decode(self) -> None:
        """Feed the assembler one turn's worth, and arrange for the next."""
        self._next_turn = None
        try:
            more = self._assembler.advance(self._packets, TURN_BYTES)
        except NeedCatalog:
            self._stop_reading()
            self._learning = self._loop.create_task(self._learn_and_go_on())
            return
        except ServerError as error:
            self._fail(self._explain(error.code, error.message))
            return
        except Exception as error:
            self._fail(error)
            return
        self._heard = self._loop.time()
        self._changed.set()
        if self._assembler.pending_bytes > MAX_PENDING and self._assembler.has_records:
            self._paused = True
            self._stop_reading()
        elif more:
            self._set_reader(False)
            self._next_turn = self._loop.call_soon(self._decode)
        elif self._ended:  # what came before the end has been decoded, the server's own words included
            self._fail(self._explain(0, self._ended))
        elif self._backlog:
            self._set_reader(False)
            self._next_turn = self._loop.call_later(COALESCE_S, self._read)
        else:
            self._set_reader(True)

    async def _learn_and_go_on(self) -> None:
        try:
            self._assembler.learn(await self._learn())
        except Exception as error:
            self._fail(error)
            return
        if not self._closed:
            self._decode()

    def _resume(self) -> None:
        """Read again after a pause; what was read already comes first."""
        self._paused = False
        self._heard = self._loop.time()
        if self._next_turn is None and self._failure is None and not self._closed:
            self._next_turn = self._loop.call_soon(self._decode)

    def _set_reader(self, wanted: bool) -> None:
        if wanted and not self._reader:
            self._loop.add_reader(self._socket, self._read)
        elif self._reader and not wanted:
            self._loop.remove_reader(self._socket)
        self._reader = wanted

    def _stop_reading(self) -> None:
        self._set_reader(False)
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None

    def _on_silence_timer(self) -> None:
        silence = self._loop.time() - self._heard
        reading = not self._paused and (self._learning is None or self._learning.done())
        if reading and silence > SILENCE_S:
            self._fail(self._explain(0, f"nothing heard from the server for {silence:.0f} s"))
            return
        self._silence_timer = self._loop.call_later(LISTEN_S, self._on_silence_timer)

    def _fail(self, failure: BaseException) -> None:
        """End the stream: `take` raises this after what is complete was taken."""
        if self._failure is None and not self._closed:
            self._failure = failure
            self._stop_reading()
            self._changed.set()

    # --- what comes out

    def _next_batch(self) -> Batch | None:
        """What may go out now: transactions, or progress if it is due."""
        batch = self._assembler.take()
        if batch is not None and (batch.records or batch.resets or batch.position is None):
            self._progress = None
            return batch
        if batch is not None:
            self._progress = batch
        if self._progress is None:
            return None
        now = self._loop.time()
        if now < self._progress_due:
            if self._progress_timer is None:
                self._progress_timer = self._loop.call_at(self._progress_due, self._on_progress_due)
            return None
        self._progress_due = now + PROGRESS_S
        batch, self._progress = self._progress, None
        return batch

    def _on_progress_due(self) -> None:
        self._progress_timer = None
        self._changed.set()


def now_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000
