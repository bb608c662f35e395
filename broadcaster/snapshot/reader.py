"""What the hub asks of a database: the result of a query now, and where in the database's log "now" is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from broadcaster.livequery import LiveQuery
from broadcaster.totals import Totals


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A query's result, and how it relates to the database's log.

    rows: key → doc, both JSON as in the change events; of an aggregate key → the row's share.
    epoch, order: as in `Position`; everything that the read saw committed below `order`.
    shows: whether the read saw what a transaction did, by its id as in the events. A log can show a commit before
        other sessions see it, so the overlay must add earlier transactions that the read does not show.
    key: the names of the primary key's fields.
    ranks, bound: where the query has an order, key → rank of the rows, which are then the first ones only, up to the
        rank `bound`; None: there are no others.
    totals: of an aggregate, what the rows come to.
    """

    rows: Mapping[bytes, bytes]
    epoch: str
    order: int
    shows: Callable[[str], bool]
    key: Sequence[str]
    ranks: Mapping[bytes, bytes] = field(default_factory=dict)
    bound: bytes | None = None
    totals: Totals | None = None


class SnapshotReader(Protocol):
    """Reads initial results from one database."""

    async def read(self, query: LiveQuery, max_rows: int, max_bytes: int) -> Snapshot:
        """The query's result now; with a limit, its first rows and some more. Raises RequestError: `too_many_groups`,
        `result_too_large`
        beyond `max_rows` (where rows are shown and there is no limit) or `max_bytes` of docs,
        `database_unavailable` while the database cannot answer or has no such table (worth another try)."""

    async def position(self) -> tuple[str, int]:
        """(epoch, order): everything that is committed now did so below `order`. Raises RequestError
        `database_unavailable`."""

    async def shows(self) -> Callable[[str], bool]:
        """Which transactions a read would see now. Raises RequestError `database_unavailable`."""

    async def nudge(self) -> None:
        """Make the database's log move on, so that a waiting position is reached on an idle server."""

    async def close(self) -> None:
        """Release all connections."""
