"""The moments that reads of one server see, and the places in its binlog that go with them. Everything here blocks, and
raises pymysql.MySQLError."""

from __future__ import annotations

import time
from collections.abc import Callable

from cdc.mysql.connect import Connection
from cdc.mysql.gtid import GtidSet
from cdc.mysql.place import Identity, end_of_binlog, identify, rows
from cdc.mysql.position import order_of
from cdc.mysql.visibility import RIPE_SECONDS, Ends, visibility


class Views:
    """Remembers the ends of the binlog that were seen. To be used by any thread."""

    def __init__(self) -> None:
        self._ends = Ends()

    def ripen(self, connection: Connection, identity: Identity) -> None:
        """Have seen an end of the binlog that is old enough; waits for it once, where nothing else tells what of the
        binlog a view shows."""
        if not identity.gtids and not self._ends.ripe(identity.epoch, time.monotonic()):
            self.end(connection, identity)
            time.sleep(RIPE_SECONDS)

    def begin(self, connection: Connection, identity: Identity) -> Callable[[str], bool]:
        """Begin a transaction; what its view shows."""
        before = self._ends.ripe(identity.epoch, time.monotonic())
        if not identity.mariadb:
            # What was executed before there is a view is in it.
            shows = _shows_on_mysql(connection, before)
            rows(connection, "START TRANSACTION READ ONLY")
            return shows
        rows(connection, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        status = dict(rows(connection, "SHOW STATUS LIKE 'binlog_snapshot_%'"))
        place = order_of(status["Binlog_snapshot_file"], int(status["Binlog_snapshot_position"]))
        self._ends.add(identity.epoch, time.monotonic(), place)
        [[_, xa]] = rows(connection, "SHOW GLOBAL STATUS WHERE variable_name = 'Com_xa_commit'")
        # The place is exact, but for XA COMMIT, which is in the binlog a moment before it is in the engine, and for
        # TRUNCATE, which is in the engine first: the snapshot's own place is therefore where the binlog ends after it.
        return visibility(place if xa == "0" else min(before, place))

    def end(self, connection: Connection, identity: Identity) -> int:
        """Whatever is committed is in the binlog below this place."""
        end = end_of_binlog(connection, identity)
        order = order_of(end.file, end.offset)
        self._ends.add(identity.epoch, time.monotonic(), order)
        return order

    def position(self, connection: Connection) -> tuple[str, int]:
        """The server's epoch, and its binlog's end."""
        identity = identify(connection)
        place = self.end(connection, identity)
        connection.rollback()
        return identity.epoch, place

    def shows(self, connection: Connection) -> Callable[[str], bool]:
        """What a view that begins now shows."""
        identity = identify(connection)
        shows = self.begin(connection, identity)
        if not identity.mariadb and not identity.gtids:
            self.end(connection, identity)
        connection.rollback()
        return shows


def _shows_on_mysql(connection: Connection, before: int) -> Callable[[str], bool]:
    """The engine commits in the binlog's order and adds to the executed set under one lock; where it is told not to, a
    transaction may be in the set before one that it builds upon."""
    [[text, ordered]] = rows(connection, "SELECT @@global.gtid_executed, @@global.binlog_order_commits")
    executed = GtidSet.parse(text)
    return visibility(before, executed if ordered else executed.beginnings())
