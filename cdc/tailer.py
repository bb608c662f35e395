"""What every source of changes promises: the two protocols between `cdc.pipeline` and a database's own code."""

from __future__ import annotations

from typing import Protocol

from cdc.event import Batch, Position


class Stream(Protocol):
    """One connection to a database's log. It reads ahead on its own, within a bound, and keeps the connection alive
    whether or not anybody takes."""

    async def take(self) -> Batch:
        """Wait until something is pending and return all that is complete, about 4 MiB of it at the most.

        Whole transactions in commit order, each once, none that the position given to `open` covers; a transaction
        too large for one batch comes as parts without position, then a batch with one. When nothing happens but the
        database's log moves, a batch without records moves the position, at most every 100 ms.
        Cancelling a take loses nothing.
        Raises SourceUnavailable when the connection is gone, PositionLost when the database dropped what comes next,
        ProtocolError when it holds something not understood. After a raise only `close` may be called.
        """

    def confirm(self, position: Position) -> None:
        """The log holds everything up to `position`: the database may be told that it need not keep it."""

    async def close(self) -> None:
        """Let go of the connection, within a second; what was not taken is forgotten."""


class Source(Protocol):
    """A database whose changes can be followed."""

    async def open(self, after: Position | None) -> Stream:
        """Check and set up what the database needs, then follow its log from `after` on.

        With None (a new log) it begins now, and the first batch taken holds the position of the beginning.
        Raises SourceUnavailable (SetupError if the database lacks something) to be tried again later; PositionLost
        when what follows `after` is gone, or is the log of another database.
        """

    async def reset(self) -> None:
        """Drop what the database keeps for us, so that `open(None)` begins anew. Raises as `open`."""
