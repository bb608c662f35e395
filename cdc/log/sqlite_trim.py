"""Deleting from the embedded log's old end, in small steps between appends."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from cdc.log.sqlite_file import Header

PAUSE_SECONDS = 5.0
"""Between two looks at whether something can go; while something can, a step follows every append."""

_STEP_BYTES = 4 * 1024 * 1024
_STEP_ROWS = 1000


@dataclass(frozen=True, slots=True)
class Retention:
    """What to keep: transactions appended in the last `seconds`, and of these the newest `bytes` of payload.
    None: no bound."""

    seconds: float | None = None
    bytes: int | None = None


class Trim:
    """Two things, in this order, so that no reader ever sees half a transaction: `oldest` moves to the end of one,
    then the rows that it left behind are deleted."""

    def __init__(self, retention: Retention) -> None:
        self._retention = retention
        self._looked: float | None = None

    def is_due(self, now: float) -> bool:
        """now: Unix seconds, as in `step`."""
        return self._looked is None or abs(now - self._looked) >= PAUSE_SECONDS

    def step(self, db: sqlite3.Connection, header: Header, now: float) -> Header:
        """The header after a step, within the caller's transaction. Raises sqlite3.Error."""
        oldest, size, found_all = self._cut(db, header, now)
        if oldest > header.oldest:
            db.execute("UPDATE log SET oldest = ?, size = ?", (oldest, size))
        deleted_all = _delete(db, oldest)
        if found_all and deleted_all:
            self._looked = now
        return replace(header, oldest=oldest, size=size)

    def _cut(self, db: sqlite3.Connection, header: Header, now: float) -> tuple[int, int, bool]:
        """(oldest, size) with what can go gone, and whether that is all that can go."""
        keep_bytes, seconds = self._retention.bytes, self._retention.seconds
        oldest, kept, left = header.oldest, header.size, header.size
        if keep_bytes is None and seconds is None:
            return oldest, kept, True
        rows = db.execute(
            "SELECT last, size, stored_at, position IS NULL FROM batches WHERE last > ? ORDER BY last",
            (oldest,),
        )
        for seen, (last, size, stored_at, goes_on) in enumerate(rows):
            too_big = keep_bytes is not None and left > keep_bytes
            too_old = seconds is not None and stored_at < now - seconds
            if not (too_big or too_old):
                return oldest, kept, True
            if seen >= _STEP_ROWS and oldest > header.oldest:
                return oldest, kept, False
            left -= size
            if not goes_on:
                oldest, kept = last, left
        return oldest, kept, True


def _delete(db: sqlite3.Connection, oldest: int) -> bool:
    """Delete some of the rows up to `oldest`; whether these were all."""
    until, size = None, 0
    rows = db.execute(
        "SELECT last, size FROM batches WHERE last <= ? ORDER BY last LIMIT ?", (oldest, _STEP_ROWS)
    ).fetchall()
    for until, row_size in rows:  # noqa: B007
        size += row_size
        if size >= _STEP_BYTES:
            break
    if until is None:
        return True
    db.execute("DELETE FROM batches WHERE last <= ?", (until,))
    db.execute(
        "DELETE FROM states WHERE id < "
        "(SELECT state FROM batches WHERE last > ? AND state IS NOT NULL ORDER BY last LIMIT 1)",
        (until,),
    )
    return until == rows[-1][0] and len(rows) < _STEP_ROWS
