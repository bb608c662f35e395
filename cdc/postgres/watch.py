"""Looks after a database while it is streamed: what changes there without a row event, and how far the slot lags."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import psycopg

from cdc.event import Reset
from cdc.metrics import DatabaseMetrics
from cdc.postgres import catalog, setup
from cdc.postgres import facts as ask
from cdc.postgres.connect import unavailable
from cdc.postgres.facts import Connection, Name, Slot, TableFacts
from cdc.postgres.memory import shape_of
from cdc.postgres.stream import Announcement, PostgresStream
from cdc.postgres.target import Target
from cdc.requirement import explain

_log = logging.getLogger(__name__)
_FAILED_LOOKS: Final = 3
Leaves: TypeAlias = dict[int, tuple[int, bool]]
"""By OID: the number of the partition's file, and whether it holds anything."""


class Watch:
    """Compares the catalog with what is known, every few seconds.

    New partitions get their replica identity and lost tables their place in the publication (where we may). A table
    that was dropped, made anew, or whose columns changed gets a reset, at the place in the stream where that is past.
    """

    def __init__(
        self,
        target: Target,
        session: Connection,
        stream: PostgresStream,
        metrics: DatabaseMetrics,
        tables: Sequence[TableFacts],
    ) -> None:
        """tables: as they were when the stream began."""
        self._target = target
        self._session = session
        self._stream = stream
        self._metrics = metrics
        self._relids = {(table.schema, table.name): table.relid for table in tables}
        self._leaves = {(table.schema, table.name): _leaves(table) for table in tables}
        self._untold = {name for name, relid in self._relids.items() if relid is None}
        self._shapes: dict[str, str] = {}
        self._said: dict[str, str] = {}

    async def run(self, every: float, joined: frozenset[Name]) -> None:
        """Look now and every `every` seconds. `joined`: tables that set-up has just put into the publication of a
        stream that was there before. A failure ends the stream; but a table may be dropped while it is looked at,
        which the next look will see as what it is."""
        failed = 0
        try:
            while True:
                try:
                    await self._look(joined)
                    joined, failed = frozenset(), 0
                except psycopg.Error as error:
                    failed += 1
                    if self._session.closed or failed == _FAILED_LOOKS:
                        raise
                    _log.debug("%s: a look at the catalog failed: %s", self._target.alias, error)
                await asyncio.sleep(every)
        except psycopg.Error as error:
            self._stream.fail(unavailable(self._target.conn, error))
        except Exception as error:
            self._stream.fail(error)

    async def _look(self, joined: frozenset[Name]) -> None:
        outcome = await setup.mend(self._session, self._target)
        self._say("setup", explain(outcome.unmet) if outcome.unmet else "")
        joined |= outcome.joined
        found: list[tuple[Reset, Callable[[], bool]]] = []
        for table in outcome.facts.tables:
            name = (table.schema, table.name)
            collection = self._target.tables[name]
            reason = self._what_happened(name, table.relid, joined)
            if self._partitions_changed(name, _leaves(table)):
                reason = reason or "partitions_changed"
            if reason:
                found.append((Reset(collection, reason), _always))
            changed = await self._new_shape(collection, table.relid)
            if changed and not reason:
                found.append((Reset(collection, "columns_changed"), self._unless_known(collection, changed)))
        if found:
            end = await ask.end_of_log(self._session)
            for reset, still in found:
                self._stream.announce(Announcement(end, reset, still))
        if outcome.facts.slot is not None:
            self._look_at_slot(outcome.facts.slot)

    def _what_happened(self, name: Name, relid: int | None, joined: frozenset[Name]) -> str:
        known, self._relids[name] = self._relids[name], relid
        if relid is None:
            dropped_before = (
                name in self._untold and self._stream.shape(self._target.tables[name]) is not None
            )
            self._untold.discard(name)
            return "table_dropped" if known is not None or dropped_before else ""
        if relid != known:
            return "table_recreated"
        return "table_republished" if name in joined else ""

    def _partitions_changed(self, name: Name, now: Leaves) -> bool:
        """Whether rows may have come or gone with a partition as a whole: attached, detached, dropped, truncated or
        rewritten, none of which pgoutput tells of where the root is published."""
        known, self._leaves[name] = self._leaves[name], now
        return any(oid not in now or now[oid][0] != file for oid, (file, _) in known.items()) or any(
            filled for oid, (_, filled) in now.items() if oid not in known
        )

    async def _new_shape(self, collection: str, relid: int | None) -> str:
        """The shape of the table's columns if it is another than at the last look, or than the stream knows."""
        table = relid and await catalog.table_by_id(self._session, relid, self._target.publication)
        if not table:
            return ""
        shape = shape_of([(column.name, column.oid, column.typmod) for column in table.columns])
        known = self._shapes.get(collection) or self._stream.shape(collection)
        self._shapes[collection] = shape
        return shape if known is not None and known != shape else ""

    def _unless_known(self, collection: str, shape: str) -> Callable[[], bool]:
        return lambda: self._stream.shape(collection) != shape

    def _look_at_slot(self, slot: Slot) -> None:
        self._metrics.source_lag.set(slot.lag)
        self._say(
            "slot",
            ""
            if slot.wal_status in ("reserved", "")
            else f"slot {self._target.slot} keeps {slot.lag} bytes of the database's log (wal_status "
            f"{slot.wal_status}); "
            + (
                "the server keeps more than max_wal_size for it"
                if slot.wal_status == "extended"
                else "the server may drop it at the next checkpoint (max_slot_wal_keep_size)"
            ),
        )

    def _say(self, subject: str, message: str) -> None:
        """Warn once about a state, not at every look."""
        known = self._said.get(subject, "")
        self._said[subject] = subject and message
        if message and not known:
            _log.warning("%s: %s", self._target.alias, message)
        elif known and not message:
            _log.info("%s: %s is fine again", self._target.alias, subject)


def _leaves(table: TableFacts) -> Leaves:
    return {oid: (file, filled) for oid, file, filled in table.leaves}


def _always() -> bool:
    return True
