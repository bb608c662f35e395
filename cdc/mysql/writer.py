"""Change events as text: what is the same for a transaction is made once. (pure)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cdc.mysql.statement import TableName
from cdc.transaction import Collection, Transaction
from cdc.wire_text import json_name, string

NULL: Final = "null"

_TAILS_KEPT: Final = 100


class Origin:
    """What all events of a transaction have in their `source` block.

    thread: the connection that made the changes, where it is known.
    """

    def __init__(self, *, version: str, connector: str, name: str, epoch: str) -> None:
        self._constant = (
            f'"version":{json_name(version)},"connector":{json_name(connector)},"name":{json_name(name)}'
            f',"snapshot":"false","epoch":{json_name(epoch)}'
        )
        self._transaction = ""
        self.thread: int | None = None

    def begin(self, file: str, server: int, gtid: str | None) -> None:
        """A transaction begins in this file."""
        self.thread = None
        quoted = NULL if gtid is None else f'"{gtid}"'
        self._transaction = f'"server_id":{server},"gtid":{quoted},"file":{json_name(file)}'

    def source(self, table: str, transaction: Transaction) -> str:
        """The block up to the event's place in the file; table: its `db` and `table`."""
        thread = NULL if self.thread is None else self.thread
        return (
            f',"source":{{{self._constant},"ts_ms":{transaction.commit_ms},{table},{self._transaction}'
            f',"thread":{thread},"txId":"{transaction.id}","commit_lsn":{transaction.commit_lsn},"pos":'
        )


class EventWriter:
    """Writes one collection's events to the transaction; name: of its table."""

    def __init__(
        self, origin: Origin, transaction: Transaction, name: TableName, collection: Collection
    ) -> None:
        self.collection = collection
        self._origin = origin
        self._transaction = transaction
        self._table = f'"db":{json_name(name[0])},"table":{json_name(name[1])}'
        self._part = 0
        self._source = ""
        self._tails: dict[tuple[str, int], str] = {}
        self._kinds: dict[int, Mapping[str, str] | None] = {}  # keeps alive what `_tails` knows by its id

    def write(
        self,
        op: str,
        key: str,
        before: str,
        after: str,
        kinds: Mapping[str, str] | None,
        place: int,
        number: int,
    ) -> None:
        """One event: its key and both rows as JSON. kinds: what `types` says; place: where the binlog has it; number:
        of its row there."""
        transaction, collection = self._transaction, self.collection
        if self._part != transaction.part:
            self._enter()
        tail = self._tails.get((op, id(kinds))) or self._tail(op, kinds)
        event = (
            f'{{"before":{before},"after":{after}{self._source}{place},"row":{number}{tail}{transaction.total + 1}'
            f',"data_collection_order":{collection.order + 1}}}}}'
        ).encode("latin-1")
        transaction.add(collection, key.encode("latin-1"), event)

    def _enter(self) -> None:
        """Take part in the transaction, or go on with it after a part was taken."""
        transaction = self._transaction
        transaction.enter(self.collection)
        self._part = transaction.part
        self._source = self._origin.source(self._table, transaction)
        self._tails.clear()
        self._kinds.clear()

    def _tail(self, op: str, kinds: Mapping[str, str] | None) -> str:
        """The text from an event's row number to its number in the transaction."""
        transaction = self._transaction
        tail = (
            f'}},"op":"{op}","ts_ms":{transaction.now_ms}{_types(kinds)}'
            f',"transaction":{{"id":"{transaction.id}","total_order":'
        )
        if len(self._kinds) < _TAILS_KEPT:
            self._kinds[id(kinds)] = kinds
            self._tails[op, id(kinds)] = tail
        return tail


def _types(kinds: Mapping[str, str] | None) -> str:
    """The `types` field behind another one; nothing where it is empty."""
    if not kinds:
        return ""
    fields = ",".join(f"{json_name(name)}:{string(kind)}" for name, kind in kinds.items())
    return f',"types":{{{fields}}}'
