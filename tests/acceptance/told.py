"""What a topic must say, from what the database says that happened, and whether it does. (pure)"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from follower import BrokenPromiseError
from history import History
from tables import Row, Table

_NO_KEY: Final = "null"


@dataclass(frozen=True, slots=True)
class Told:
    """One change, as an event tells it. tx: the transaction's id."""

    tx: str
    op: str
    key: Row | None
    before: Row | None
    after: Row | None


def told_by(key: bytes | None, value: bytes) -> Told:
    """What a record says."""
    event: dict[str, Any] = json.loads(value)
    tx = str(event["transaction"]["id"])
    return Told(tx, event["op"], json.loads(key or _NO_KEY), event["before"], event["after"])


def expected(history: History, start: int, table: Table) -> Iterator[Told]:
    """All that the topic of a table must say of the transactions from `start` on, in this order. A row that changed its
    key went, and came as another."""
    for transaction in history.transactions[start:]:
        for change in transaction.changes:
            if change.table != table.name:
                continue
            old, new = change.old, change.new
            if old is None and new is None:
                yield Told(transaction.tx, "t", None, None, None)
            elif old is not None and new is not None and table.find(old) == table.find(new):
                yield Told(transaction.tx, "u", _key(table, new), old, new)
            else:
                if old is not None:
                    yield Told(transaction.tx, "d", _key(table, old), old, None)
                if new is not None:
                    yield Told(transaction.tx, "c", _key(table, new), None, new)


def _key(table: Table, row: Row) -> Row:
    return {field: row[field] for field in table.key}


def compare(topic: str, wanted: Sequence[Told], told: Sequence[Told]) -> None:
    """Raises BrokenPromiseError unless they are the same, one by one."""
    for place, (want, got) in enumerate(zip(wanted, told, strict=False)):
        if want != got:
            raise BrokenPromiseError(
                f"{topic}: event {place} of {len(told)} ({len(wanted)} expected) is another one\n"
                f"expected {_after(wanted, place)}\ngot      {_after(told, place)}"
            )
    if len(wanted) != len(told):
        place = min(len(wanted), len(told))
        raise BrokenPromiseError(
            f"{topic}: {len(told)} events, {len(wanted)} expected\n"
            f"expected {_after(wanted, place)}\ngot      {_after(told, place)}"
        )


def _after(changes: Sequence[Told], place: int) -> str:
    """The first three from there on."""
    return "\n         ".join(str(change)[:400] for change in changes[place : place + 3]) or "nothing more"
