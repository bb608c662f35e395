"""XA transactions that are prepared: the binlog has their rows before it is known what becomes of them. (pure)"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cdc.mysql.binlog import Xid

MAX_HELD_BYTES: Final = 64 << 20
"""Of events, over all that are pending. Of one that is larger only the collections are kept."""

Place: TypeAlias = tuple[str, int]
"""(file, offset)"""

_EVENT_BYTES: Final = 200  # what holding an event takes beside its body


@dataclass(slots=True)
class Held:
    """One XA transaction's rows. start: where its events begin in the binlog; created: when that file was begun (Unix
    s); events: (type, body) of table maps and rows; touched: the collections they are of; lost: there were too many
    rows to hold, or part of them were taken back."""

    start: Place
    created: int
    events: list[tuple[int, bytes]] = field(default_factory=list)
    size: int = 0
    touched: set[str] = field(default_factory=set)
    lost: bool = False

    def doubt(self) -> None:
        """Let the rows go: of them only the collections are known."""
        self.lost, self.events, self.size = True, [], 0


class Pending:
    """The prepared ones, oldest first."""

    def __init__(self, max_bytes: int = MAX_HELD_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._held: dict[Xid, Held] = {}

    def hold(self, held: Held, kind: int, body: bytes, collections: frozenset[str]) -> None:
        """Add an event of the open transaction; what is too large is let go, and with it what was held before."""
        held.touched |= collections
        if held.lost:
            return
        held.size += len(body) + _EVENT_BYTES
        held.events.append((kind, body))
        if self._bytes + held.size > self._max_bytes:
            held.doubt()

    def prepare(self, xid: Xid, held: Held) -> None:
        """The open transaction is prepared."""
        self._held[xid] = held
        self._bytes += held.size

    def resolve(self, xid: Xid | None) -> Held | None:
        """It is committed or rolled back; None if it was prepared before anything that was read."""
        held = self._held.pop(xid, None) if xid is not None else None
        self._bytes -= 0 if held is None else held.size
        return held

    @property
    def oldest(self) -> Held | None:
        """The oldest, from whose start on the binlog must be read again."""
        return next(iter(self._held.values()), None)
