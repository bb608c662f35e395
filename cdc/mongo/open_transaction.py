"""The open transaction of a change stream. (pure)"""

from __future__ import annotations

from typing import TypeAlias

from cdc.mongo.run import Key, Run
from cdc.transaction import Collection, Transaction

Orders: TypeAlias = dict[str, int]


class OpenTransaction(Transaction):
    """key: of the transaction; None: none is open, as far as can be told."""

    __slots__ = ("_collections", "key")

    def __init__(self) -> None:
        self.key: Key | None = None
        self._collections: dict[str, Collection] = {}
        super().__init__()

    def open(self, key: Key, ts_ms: int, now_ms: int) -> None:
        """Another one begins."""
        self.key = key
        self.begin(str(key.order), key.order, ts_ms, now_ms)

    def collection(self, name: str) -> Collection:
        """What the collection of this name knows of it."""
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = Collection(name)
        self.enter(found)
        return found

    def orders(self) -> Orders:
        """How many events of each collection there were."""
        return {name: each.order for name, each in self._collections.items() if each.number == self.number}

    def extend(self, run: Run) -> None:
        """Append events that were numbered on from `total` and `orders`."""
        for name, (order, newest, tail) in run.newest.items():
            collection = self.collection(name)
            collection.order, collection.tail = order, tail
            collection.newest = len(self.records) + newest
        self.records += run.records
        self.total += len(run.records)
        self.size += run.size
