"""The event log of one source (one database of one project), and how to open it.

One tailer writes it, any number of readers read it. `cdc.log.embedded` keeps it in SQLite.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cdc.event import Batch, Chunk, Position


@dataclass(frozen=True, slots=True)
class LogState:
    """What a log holds now: offsets `oldest` < offset <= `newest` can be read (`oldest` is the offset to read after
    to get everything kept); `position` and `ts_ms` are those of the last complete batch; `size` is in bytes."""

    epoch: str
    oldest: int
    newest: int
    position: Position | None
    ts_ms: int
    size: int


class LogWriter(Protocol):
    """The one writer of a log."""

    @property
    def position(self) -> Position | None:
        """Where to resume the database's log: the position of the last durable batch; None in a new log."""

    async def append(self, batch: Batch) -> None:
        """Make the batch durable, all or nothing, together with its position; wake the readers.

        A batch without position is staged and becomes durable and visible with the next one that has a position.
        A batch without records and resets moves the position only, and takes no offset.
        Raises LogError when it could not; then nothing of it (nor of what was staged before it) is in the log, the
        staged part is forgotten, and the caller starts over from `position`.
        """

    async def start_over(self, position: Position | None) -> None:
        """Begin a new epoch at `position`: readers get EpochChanged, their old cursors are worth nothing."""

    async def close(self) -> None:
        """Release the log; what is staged is forgotten."""


class LogReader(Protocol):
    """Reads one log from a place on. Not to be used by two tasks at once."""

    @property
    def epoch(self) -> str:
        """The log's epoch when this reader was opened, or when it was first written after that; empty until then."""

    async def read(self) -> list[Chunk]:
        """Wait until there is something new and return it, in order, about 1 MiB at the most (but at least a chunk).

        New is: entries of the wanted collections, a reset, or a position beyond the last one returned (a chunk
        without entries). The first call returns at once if the log has a position already.
        Raises CursorExpired when what follows was trimmed, EpochChanged when the log was started anew, LogError when
        it cannot be read now.
        """

    async def close(self) -> None:
        """Release the reader."""


class EventLog(Protocol):
    """One source's log."""

    async def writer(self) -> LogWriter:
        """Become the log's writer, creating the log if need be. Raises LogInUse while another process or task is it."""

    async def reader(
        self, after: int | None = None, collections: Set[str] | None = None, *, follows: bool = False
    ) -> LogReader:
        """Read from the offset after `after` (None: from the end as it is now), only `collections` if given. follows:
        it goes on for long, so what it reads may be kept in memory for others.

        Works before the log was ever written: the reader waits. Raises CursorExpired when `after` lies before what is
        kept or beyond the end.
        """

    async def state(self) -> LogState | None:
        """What the log holds; None if it was never written."""

    async def close(self) -> None:
        """Release what readers and writers shared."""


def open_log(
    directory: Path | str, alias: str, *, keep_seconds: float | None = None, keep_bytes: int | None = None
) -> EventLog:
    """The embedded log of the source `alias` in `directory`, made when it is first written. Kept: what was appended in
    the last `keep_seconds`, and of this the newest `keep_bytes`; None: no bound."""
    from cdc.log.embedded import EmbeddedLog

    return EmbeddedLog(directory, alias, keep_seconds=keep_seconds, keep_bytes=keep_bytes)
