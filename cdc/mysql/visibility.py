"""What a read of MySQL or MariaDB shows of what is in the binlog. (pure)

Both commit to the binlog first and to the engine then, so that the stream can be ahead of every reader: by little, or
by as long as a semi-synchronous replica is waited for. A transaction is named, as in its events, by its GTID on MySQL
(`uuid:5`, `uuid:tag:5`), and where there is none by the place of its first event (`binlog.000012:4711`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cdc.mysql.gtid import GtidSet
from cdc.mysql.position import order_of

RIPE_SECONDS: Final = 1.0


def visibility(before: int, executed: GtidSet | None = None) -> Callable[[str], bool]:
    """Whether a read shows a transaction: one that began below the place `before`, or is in the executed set. Only a
    binlog's file has a dot in its name."""

    def shows(transaction: str) -> bool:
        source, _, number = transaction.rpartition(":")
        if "." not in source:
            return executed is not None and transaction in executed
        return order_of(source, int(number)) < before

    return shows


class Ends:
    """Ends of the binlog as they were seen, for where nothing tells what of it is committed (MySQL without GTIDs;
    MariaDB's XA): what was in it for `RIPE_SECONDS` is taken to be."""

    def __init__(self) -> None:
        self._seen: tuple[tuple[str, float, int], ...] = ()

    def add(self, epoch: str, now: float, order: int) -> None:
        """At `now`, in seconds of any clock, the log of this server ended at `order`."""
        waiting = [seen for seen in self._seen if seen[0] == epoch and now - seen[1] < RIPE_SECONDS]
        ripe = [seen for seen in self._seen if seen[0] == epoch and now - seen[1] >= RIPE_SECONDS]
        self._seen = (*ripe[-1:], *waiting, (epoch, now, order))

    def ripe(self, epoch: str, now: float) -> int:
        """The newest end that was seen long enough ago; 0 if none was."""
        return max(
            (order for server, at, order in self._seen if server == epoch and now - at >= RIPE_SECONDS),
            default=0,
        )
