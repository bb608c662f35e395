"""Events that were read in one go, from the server's message to finished records. (pure)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from cdc.event import Record

if TYPE_CHECKING:
    from cdc.mongo.open_transaction import OpenTransaction
    from cdc.mongo.reply import Reply


class Key(NamedTuple):
    """What the events of one transaction share: its cluster time (see `cdc.mongo.decode.order_of`), and the session's
    id and the transaction's number therein."""

    order: int
    session: bytes
    number: int


class Newest(NamedTuple):
    """Of one collection, in a transaction: how many events there were; which record of the run is the newest of them,
    and how many of its bytes come behind its numbers, where it would be told to be the last."""

    order: int
    record: int
    tail: int


@dataclass(frozen=True, slots=True)
class Run:
    """What was read, one record an event. size: bytes of the records' values; token, order, ts_ms: of the last event,
    as in `cdc.mongo.decode.Change`; transaction: what all are part of, None: all are single or of whole transactions,
    and complete; newest: in a transaction, by collection."""

    records: list[Record]
    size: int
    token: str
    order: int
    ts_ms: int
    transaction: Key | None = None
    newest: Mapping[str, Newest] = field(default_factory=dict)


class EventReader(Protocol):
    """Reads what is usual of a stream's events in one go."""

    def read(
        self, reply: Reply, first: int, end: int, budget: int, now_ms: int, transaction: OpenTransaction
    ) -> Run | None:
        """Read from event `first` on up to `end`, as far as they are usual, are single or of whole transactions or all
        of one that may go on, and about `budget` bytes with what is open of it. transaction: the open one, which is not
        touched. None: the general way must see the first of them."""
