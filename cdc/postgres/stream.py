"""Follows a Postgres slot: COPY BOTH on libpq's own calls, driven by the event loop.

Protocol: https://www.postgresql.org/docs/current/protocol-replication.html. psycopg's own waiting is not used while
streaming, since cancelling it sends a cancel request to the server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import psycopg
from psycopg.pq import DiagnosticField, ExecStatus

from cdc.errors import LivetailError, ProtocolError
from cdc.event import Batch, Position, Reset
from cdc.postgres.assemble import Assembler, NeedRelation, RelationInfo
from cdc.postgres.connect import reason
from cdc.postgres.pgoutput import KeepAlive, decode_frame, encode_status

MESSAGES_PER_TURN: Final = 512  # about 1 ms of decoding, then the loop gets its turn
BACKLOG: Final = 16  # so many messages within a millisecond and the server surely has more
COALESCE_S: Final = 0.001  # the walsender sends message by message: an eager reader wakes for each
MAX_PENDING: Final = 4 << 20  # bytes not taken beyond which reading stops
WORTH_TAKING: Final = (
    512 << 10
)  # bytes; an append costs much the same whatever its size, and more is on its way
LONGEST_GATHERING_S: Final = 0.01
PROGRESS_S: Final = 0.1
LONGEST_STATUS_S: Final = 3.0
DEFAULT_TIMEOUT_S: Final = 60.0  # where the server has wal_sender_timeout = 0
_XLOG_DATA: Final = ord("w")

Learner: TypeAlias = Callable[[NeedRelation], Awaitable[RelationInfo]]


@dataclass(frozen=True, slots=True)
class Announcement:
    """A reset that belongs where the stream passes `lsn`; void if `still` says so then."""

    lsn: int
    reset: Reset
    still: Callable[[], bool]


class PostgresStream:
    """A `cdc.tailer.Stream` on a connection that START_REPLICATION has put into COPY BOTH.

    `learn` asks the catalog about a relation; `explain` makes of libpq's error what the pipeline gets;
    `begin`: the position to give out first, of a new log; `server_timeout` is wal_sender_timeout in seconds.
    """

    def __init__(
        self,
        conn: psycopg.AsyncConnection[Any],
        assembler: Assembler,
        learn: Learner,
        explain: Callable[[str, str | None], LivetailError],
        after: Position,
        *,
        begin: bool,
        server_timeout: float,
    ) -> None:
        self._conn = conn
        self._pgconn = conn.pgconn
        self._assembler = assembler
        self._learn = learn
        self._explain = explain
        self._position = after
        self._confirmed = after.order
        self._progress: Batch | None = Batch([], after, now_ms()) if begin else None
        self._progress_due = 0.0
        self._progress_timer: asyncio.TimerHandle | None = None
        self._announcements: list[Announcement] = []
        self._failure: BaseException | None = None
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._socket = conn.pgconn.socket
        self._reader = self._writer = False
        self._paused = self._closed = self._in_part = False
        self._burst = 0
        self._recent, self._recent_since = 0, 0.0
        self._behind = False
        self._given = 0.0
        self._next_turn: asyncio.Handle | None = None
        self._learning: asyncio.Task[None] | None = None
        self._timeout = 2 * (server_timeout or DEFAULT_TIMEOUT_S)
        self._interval = min((server_timeout or DEFAULT_TIMEOUT_S) / 3, LONGEST_STATUS_S)
        self._heard = self._loop.time()
        self._status_timer = self._loop.call_soon(self._on_status_timer)
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
        """See `cdc.tailer.Stream`; the server learns of it with the next status."""
        self._confirmed = max(self._confirmed, position.order)

    async def close(self) -> None:
        """See `cdc.tailer.Stream`. A last status says what was confirmed."""
        if self._closed:
            return
        if self._failure is None:
            self._send_status(request=False)
        self._stop()
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.wait([self._learning], timeout=1)
        await self._conn.close()

    # --- what the source's other tasks call

    def announce(self, announcement: Announcement) -> None:
        """Give the reset out once the stream has passed its place."""
        self._announcements.append(announcement)
        self._changed.set()

    def shape(self, collection: str) -> str | None:
        """The shape of its columns as the stream has it; None if no change of it was seen yet."""
        return self._assembler.shape(collection)

    def fail(self, failure: BaseException) -> None:
        """End the stream: `take` raises this after what is complete was taken."""
        if self._failure is None and not self._closed:
            self._failure = failure
            self._stop_reading()
            self._changed.set()

    # --- reading

    def _read(self) -> None:
        """Begin a burst: take what has arrived off the socket and decode it."""
        self._burst = 0
        self._decode()

    def _decode(self) -> None:
        """Feed the assembler one turn's worth, and arrange for the next."""
        self._next_turn = None
        before = self._burst
        try:
            dry = self._feed()
        except NeedRelation:
            self._stop_reading()
            return
        except psycopg.Error as error:
            self._lost(error)
            return
        except Exception as error:
            self.fail(error)
            return
        if self._burst > before:
            self._heard = self._loop.time()
        self._behind = dry is False or (dry is True and self._is_backlog(self._burst - before))
        if not self._is_gathering():
            self._changed.set()
        if dry is None:
            self._ended()
        elif self._assembler.pending_bytes > MAX_PENDING and self._assembler.has_records:
            self._paused = True
            self._stop_reading()
        elif not dry:
            self._set_reader(False)
            self._next_turn = self._loop.call_soon(self._decode)
        elif self._behind:
            self._set_reader(False)
            self._next_turn = self._loop.call_later(COALESCE_S, self._read)
        else:
            self._set_reader(True)

    def _feed(self) -> bool | None:
        """True if the socket has nothing more, False if the turn is over, None if the server ended the stream.

        libpq reads 16 KiB or so at a time: it is asked again until there is nothing.
        """
        get, assembler = self._pgconn.get_copy_data, self._assembler
        count, size, seen = 0, 1, -1
        while count < MESSAGES_PER_TURN:
            taken, size, data = assembler.copy(get, MESSAGES_PER_TURN - count)
            count += taken
            if size <= 0:
                if size < 0 or count == seen:
                    break
                seen = count
                self._pgconn.consume_input()
                continue
            if data is None:
                break
            count += 1
            if data[0] == _XLOG_DATA:
                try:
                    assembler.feed(data)
                except NeedRelation as need:
                    self._learning = self._loop.create_task(self._learn_and_go_on(need, bytes(data)))
                    raise
            else:
                self._on_keepalive(bytes(data))
        self._burst += count
        return None if size < 0 else size == 0

    def _on_keepalive(self, data: bytes) -> None:
        frame = decode_frame(data)
        if isinstance(frame, KeepAlive):
            self._assembler.progress(frame.wal_end)
            if frame.reply:
                self._send_status(request=False)

    async def _learn_and_go_on(self, need: NeedRelation, message: bytes) -> None:
        """Ask the catalog, then feed the message again that raised the question."""
        try:
            self._assembler.learn(await self._learn(need))
            self._assembler.feed(message)
        except Exception as error:
            self.fail(error)
            return
        self._heard = self._loop.time()
        self._decode()

    def _resume(self) -> None:
        """Read again after a pause; what libpq holds comes first."""
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

    # --- the status, on its own clock whatever the log and the reading do

    def _on_status_timer(self) -> None:
        silence = self._loop.time() - self._heard
        reading = not self._paused and (self._learning is None or self._learning.done())
        if reading and silence > self._timeout:
            self.fail(self._explain(f"nothing heard from the server for {silence:.0f} s", None))
            return
        self._status_timer = self._loop.call_later(self._interval, self._on_status_timer)
        self._send_status(request=silence >= self._interval)

    def _send_status(self, *, request: bool) -> None:
        """Tell the server what is durable; `request` asks for an answer, the sign of life of an idle server."""
        if self._writer or self._failure is not None:
            return  # the last one is still on its way
        confirmed = self._confirmed
        try:
            self._pgconn.put_copy_data(
                encode_status(confirmed, confirmed, confirmed, time.time_ns() // 1000, request)
            )
            self._flush()
        except psycopg.Error as error:
            self._lost(error)

    def _flush(self) -> None:
        unsent = self._pgconn.flush() == 1
        if unsent and not self._writer:
            self._loop.add_writer(self._socket, self._on_writable)
        elif self._writer and not unsent:
            self._loop.remove_writer(self._socket)
        self._writer = unsent

    def _on_writable(self) -> None:
        try:
            self._flush()
        except psycopg.Error as error:
            self._lost(error)

    # --- what comes out

    def _is_backlog(self, messages: int) -> bool:
        """Count these; whether so many came of late that reading had better wait for more."""
        now = self._loop.time()
        if now >= self._recent_since + COALESCE_S:
            self._recent, self._recent_since = 0, now
        self._recent += messages
        return self._recent >= BACKLOG

    def _is_gathering(self) -> bool:
        """Whether what there is had better wait for what comes at once behind it."""
        return (
            self._behind
            and self._failure is None
            and self._assembler.pending_bytes < WORTH_TAKING
            and self._loop.time() < self._given + LONGEST_GATHERING_S
        )

    def _next_batch(self) -> Batch | None:
        """What may go out now: a reset whose place has come, transactions, or progress if it is due."""
        if self._announcements and (batch := self._reset_batch()) is not None:
            return batch
        if self._is_gathering():
            return None
        self._given = self._loop.time()
        batch = self._assembler.take()
        if batch is not None and batch.position is not None:
            self._position = batch.position
        if batch is not None and (batch.records or batch.resets or batch.position is None):
            self._progress = None
            self._in_part = batch.position is None
            return batch
        if batch is not None:
            batch.ts_ms = now_ms()
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

    def _reset_batch(self) -> Batch | None:
        """All resets whose place the stream has passed; never inside a transaction that was given out in part."""
        if self._in_part:
            return None
        passed = [each for each in self._announcements if each.lsn <= self._position.order]
        self._announcements = [each for each in self._announcements if each not in passed]
        resets = tuple(each.reset for each in passed if each.still())
        return Batch([], self._position, now_ms(), resets) if resets else None

    # --- how it ends

    def _lost(self, error: psycopg.Error) -> None:
        self.fail(self._explain(reason(error), error.sqlstate))

    def _ended(self) -> None:
        """The server ended COPY: by an error, or because it shuts down."""
        result = None if self._pgconn.is_busy() else self._pgconn.get_result()
        if result is None or result.status != ExecStatus.FATAL_ERROR:
            self.fail(self._explain("the server ended the stream", None))
            return
        message = result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b"unknown error"
        state = result.error_field(DiagnosticField.SQLSTATE)
        self.fail(self._explain(message.decode(errors="replace"), state.decode() if state else None))

    def _stop(self) -> None:
        self._closed = True
        self._stop_reading()
        self._status_timer.cancel()
        if self._progress_timer is not None:
            self._progress_timer.cancel()
        if self._writer:
            self._loop.remove_writer(self._socket)
            self._writer = False


def now_ms() -> int:
    """Unix time."""
    return time.time_ns() // 1_000_000
