"""The snapshots of one database: what is to be read, whoever asks for it, while whichever stream is open."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from cdc.errors import CursorExpired, EpochChanged, LogError, SourceUnavailable
from cdc.event import Position
from cdc.log import EventLog
from cdc.snapshot.chunk import Passed
from cdc.snapshot.progress import Progress, Reading
from cdc.snapshot.reader import ChunkReader
from cdc.snapshot.stream import SnapshotStream
from cdc.tailer import Stream

LOOK_BACK: Final = 100_000
"""Offsets before the end of the log that are read for changes which a read might not show yet."""


class Snapshots:
    """make_reader: opens nothing yet; live: the collections that are tailed; initial: those to be read from the
    beginning of the log on."""

    def __init__(
        self,
        alias: str,
        make_reader: Callable[[], ChunkReader],
        live: Collection[str],
        initial: Collection[str],
    ) -> None:
        self._alias = alias
        self._make_reader = make_reader
        self._live = live
        self._initial = initial
        self._open: SnapshotStream | None = None

    def around(self, stream: Stream, position: Position | None, log: EventLog) -> SnapshotStream:
        """The stream from `position` on, with what is to be read in it; it is the one that is open from now on."""
        progress = Progress(position, self._live, self._initial)
        self._open = SnapshotStream(
            self._alias, stream, self._make_reader(), position, progress, lambda: _recent(log)
        )
        return self._open

    def closed(self) -> None:
        """No stream is open now."""
        self._open = None

    def begin(self, collection: str) -> Reading:
        """Have a collection read from its first row on. Raises SourceUnavailable while nothing is streamed here."""
        stream = self._stream()
        stream.begin(collection)
        return Reading()

    def reading(self, collection: str) -> Reading | None:
        """How far it is; None if it was never asked for. Raises as `begin`."""
        return self._stream().reading(collection)

    @property
    def current(self) -> tuple[str, int] | None:
        """(the collection that is being read, how many of its rows went out); None if none is."""
        return None if self._open is None else self._open.current

    def _stream(self) -> SnapshotStream:
        if self._open is None:
            raise SourceUnavailable(f"{self._alias} is not streamed here now; see /readyz")
        return self._open


async def _recent(log: EventLog) -> Passed:
    """The changes that the log had last."""
    passed = Passed()
    state = await log.state()
    if state is None or state.newest == state.oldest:
        return passed
    place = max(state.oldest, state.newest - LOOK_BACK)
    try:
        reader = await log.reader(place)
        try:
            while place < state.newest:
                for chunk in await reader.read():
                    passed.add([(collection, key, value) for _, collection, key, value in chunk.entries])
                    passed.add_resets(chunk.resets)
                    place = chunk.end
        finally:
            await reader.close()
    except (CursorExpired, EpochChanged) as error:
        raise LogError("the event log was trimmed or begun anew while it was read") from error
    return passed
