"""What a Postgres snapshot shows. (pure)"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

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
