"""Postgres' snapshots and log positions as numbers. (pure)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_PAGE: Final = 8_192
_SHORT_HEADER: Final = 24
_LONG_HEADER: Final = 40
_WRAP: Final = 1 << 32


def visibility(snapshot: str) -> Callable[[str], bool]:
    """From `pg_current_snapshot()`'s text (`xmin:xmax:xip,…`, 64-bit): whether it shows what a transaction did.

    The transaction is named by its 32-bit xid, as pgoutput's Begin carries it; the epoch is that under which it is
    nearest to the snapshot, which is right for all that happened within two billion transactions.
    """
    low, high, running = snapshot.split(":")
    xmin, xmax = int(low), int(high)
    in_progress = frozenset(int(xid) for xid in running.split(",") if xid)

    def shows(tx: str) -> bool:
        xid = (xmax & ~(_WRAP - 1)) | int(tx)
        if xid - xmax >= _WRAP // 2:
            xid -= _WRAP
        elif xmax - xid > _WRAP // 2:
            xid += _WRAP
        return xid < xmin or (xid < xmax and xid not in in_progress)

    return shows


def parse_lsn(text: str) -> int:
    """`16/B374D848` as an integer."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


def visible_lsn(insert_lsn: str) -> int:
    """The end of the last record before `pg_current_wal_insert_lsn()`.

    At the start of a page the function counts the page's header, which no flush ever reaches while nothing is written
    behind it. (xlog.c: XLogBytePosToRecPtr against XLogBytePosToEndRecPtr)
    """
    lsn = parse_lsn(insert_lsn)
    if lsn % _PAGE in (_SHORT_HEADER, _LONG_HEADER):
        return lsn - lsn % _PAGE
    return lsn
