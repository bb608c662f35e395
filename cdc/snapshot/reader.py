"""What reads a database's collections chunk by chunk; each database has its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

Row: TypeAlias = tuple[bytes, bytes, Mapping[str, str] | None]
"""(key, document, types): the very bytes that the stream has for this row."""


@dataclass(frozen=True, slots=True)
class ChunkRead:
    """Rows in the order of their key, as one moment had them.

    after: the last one's key, to go on after (unchanged where there is no row); done: there are no more.
    epoch, order: the position that covers all that the read saw, as `Position` has it.
    shows: whether the read shows what a transaction did, by its `txId`; asked of transactions that the stream had
        before the read began.
    source: the events' `source` block, but for `snapshot`.
    """

    rows: Sequence[Row]
    after: Any
    done: bool
    epoch: str
    order: int
    shows: Callable[[str], bool]
    source: Mapping[str, Any]


class ChunkReader(Protocol):
    """Reads the collections of one database."""

    async def read(self, collection: str, after: Any, max_bytes: int) -> ChunkRead:
        """The rows after this key (None: the first ones), about `max_bytes` of documents, but at least a row.

        Raises SourceUnavailable where that cannot be now, ProtocolError for a value that is not understood.
        """

    async def nudge(self) -> None:
        """Make the database's log move on an idle server, so that the stream reaches what a read saw. Never raises
        because it could not."""

    async def close(self) -> None:
        """Release connections."""
