"""Where to begin in a server's binlog, given what the log has already. Everything here blocks, and raises
pymysql.MySQLError."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cdc.errors import PositionLost
from cdc.event import Position
from cdc.mysql.assemble import Start
from cdc.mysql.connect import Connection
from cdc.mysql.gtid import GtidPosition, GtidSet
from cdc.mysql.place import Identity, end_of_binlog, executed, position_at, sizes
from cdc.mysql.position import order_of
from cdc.mysql.target import Target

_FILE_BEGIN: Final = 4
_LONGEST_OFFSET: Final = (1 << 32) - 1  # what the dump command can say


@dataclass(frozen=True, slots=True)
class Resumption:
    """start: for the assembler; auto: ask the server for what these GTIDs do not have, whatever file that is in."""

    start: Start
    auto: GtidSet | None = None


def find_start(
    connection: Connection, target: Target, identity: Identity, after: Position | None
) -> Resumption:
    """Raises PositionLost when what follows `after` is gone, or is the binlog of another server that does not have all
    that was tailed."""
    if after is None:
        return _now(connection, identity)
    gtids = _parse(identity, str(after.state["gtid"]))
    if after.epoch != identity.epoch:
        return _on_another_server(connection, target, identity, after, gtids)
    _same_log(connection, target, identity, after, gtids)
    place: dict[str, Any] = {**after.state}
    files = sizes(connection)
    pending = after.state.get("xa")
    if pending is not None and pending["file"] in files:
        place = pending
    offset = int(place["pos"]) if int(place["pos"]) <= _LONGEST_OFFSET else _FILE_BEGIN
    return Resumption(Start(after, str(place["file"]), offset, int(place.get("created", 0)), gtids))


def _now(connection: Connection, identity: Identity) -> Resumption:
    end = end_of_binlog(connection, identity)
    state = {"file": end.file, "pos": end.offset, "gtid": str(end.gtids)}
    after = Position(identity.epoch, order_of(end.file, end.offset), state)
    return Resumption(Start(after, end.file, end.offset, 0, end.gtids))


def _same_log(
    connection: Connection,
    target: Target,
    identity: Identity,
    after: Position,
    gtids: GtidSet | GtidPosition,
) -> None:
    """Raise PositionLost if the place that was reached is not in the server's binlog any more."""
    file, offset = str(after.state["file"]), int(after.state["pos"])
    size = sizes(connection).get(file)
    if size is None:
        raise _lost(target, f"the binlog {file} was purged, and with it what follows offset {offset}")
    if size < offset:
        raise _lost(
            target, f"the binlog {file} ends at offset {size}, before the place that was reached, {offset}"
        )
    if isinstance(gtids, GtidPosition):
        try:
            same = position_at(connection, file, offset) == gtids
        except LookupError:
            same = False
    else:
        same = not identity.gtids or gtids.issubset(executed(connection)[0])
    if not same:
        raise _lost(
            target,
            f"the server's transactions are not those that were tailed ({gtids} up to {file}, {offset})",
        )


def _on_another_server(
    connection: Connection,
    target: Target,
    identity: Identity,
    after: Position,
    gtids: GtidSet | GtidPosition,
) -> Resumption:
    """With GTIDs, a server that has all that was tailed and the log of all since is as good as the one before."""
    if not identity.gtids or not isinstance(gtids, GtidSet) or not str(gtids):
        raise _lost(
            target, f"is another server ({identity.epoch}) than the one that was tailed ({after.epoch})"
        )
    done, purged = executed(connection)
    if not gtids.issubset(done):
        raise _lost(
            target,
            f"the server {identity.epoch} lacks transactions that were tailed from {after.epoch}: it has {done}, "
            f"tailed were {gtids}",
        )
    if not purged.issubset(gtids):
        raise _lost(target, f"the server {identity.epoch} has purged transactions that follow: {purged}")
    if gtids.tagged:
        raise _lost(
            target,
            f"is another server ({identity.epoch}) than the one that was tailed ({after.epoch}), and with tagged "
            "GTIDs it cannot be asked for what follows",
        )
    first = min(sizes(connection), key=lambda file: order_of(file, 0))
    state = {"file": first, "pos": _FILE_BEGIN, "gtid": str(gtids)}
    begin = Position(identity.epoch, order_of(first, _FILE_BEGIN), state)
    return Resumption(Start(begin, first, _FILE_BEGIN, 0, gtids), gtids)


def _parse(identity: Identity, text: str) -> GtidSet | GtidPosition:
    try:
        return GtidPosition.parse(text) if identity.mariadb else GtidSet.parse(text)
    except ValueError:  # MySQL's on MariaDB, or the reverse: the epochs differ
        return GtidPosition() if identity.mariadb else GtidSet()


def _lost(target: Target, why: str) -> PositionLost:
    return PositionLost(
        f"{target.alias} ({target.where}): {why}; to begin anew, start the tailer once with --reset-position"
    )
