"""Change events as text: what is the same for a transaction is made once. (pure)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from cdc.mysql.statement import TableName
from cdc.transaction import Collection, Transaction
from cdc.wire_text import json_name, string

NULL: Final = "null"

_TYPES_KEPT: Final = 100


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
        self._file = ("", "")
        self.thread: int | None = None

    def begin(self, file: str, server: int, gtid: str | None) -> None:
        """A transaction begins in this file."""
        self.thread = None
        quoted = NULL if gtid is None else f'"{gtid}"'
        if file != self._file[0]:
            self._file = (file, json_name(file))
        self._transaction = f'"server_id":{server},"gtid":{quoted},"file":{self._file[1]}'

    @property
    def constant(self) -> str:
        """What never changes of the block."""
        return self._constant

    def source(self, table: str, transaction: Transaction) -> str:
        """The block up to the event's place in the file; table: its `db` and `table`."""
        thread = NULL if self.thread is None else self.thread
        return (
            f',"source":{{{self._constant},"ts_ms":{transaction.commit_ms},{table},{self._transaction}'
            f',"thread":{thread},"txId":"{transaction.id}","commit_lsn":{transaction.commit_lsn},"pos":'
        )


class Alone(NamedTuple):
    """What never changes of events that are all of their transaction: from the row to the commit's time, and from there
    to the server's id."""

    collection: str
    source: str
    table: str


class Texts(NamedTuple):
    """What does not change in one part of a transaction: from the rows to the place in the file, from the op to the
    time, and from the `types` to the number."""

    source: str
    when: str
    numbering: str


class EventWriter:
    """Writes one collection's events to the transaction; name: of its table."""

    def __init__(
        self, origin: Origin, transaction: Transaction, name: TableName, collection: Collection
    ) -> None:
        self.collection = collection
        self.transaction = transaction
        self._origin = origin
        self._table = f'"db":{json_name(name[0])},"table":{json_name(name[1])}'
        self.alone = Alone(
            collection.name, f',"source":{{{origin.constant},"ts_ms":', f',{self._table},"server_id":'
        )
        self._part = 0
        self._texts = Texts("", "", "")
        # by the id of a mapping, which is kept alive; `None` is one of them
        self._types: dict[int, tuple[Mapping[str, str] | None, str]] = {}

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
        transaction, collection = self.transaction, self.collection
        texts = self._texts if self._part == transaction.part else self.enter()
        total, order = transaction.total + 1, collection.order + 1
        event = (
            f'{{"before":{before},"after":{after}{texts.source}{place},"row":{number}}},"op":"{op}{texts.when}{self.types(kinds)}'
            f'{texts.numbering}{total},"data_collection_order":{order}}}}}'
        )
        transaction.add(collection, key.encode("latin-1"), event.encode("latin-1"))

    def types(self, kinds: Mapping[str, str] | None) -> str:
        """The `types` field behind another one; nothing where it is empty."""
        types = self._types.get(id(kinds)) or self._type_text(kinds)
        return types[1]

    def enter(self) -> Texts:
        """Take part in the transaction, or go on with it after a part was taken."""
        transaction = self.transaction
        transaction.enter(self.collection)
        self._part = transaction.part
        self._texts = Texts(
            self._origin.source(self._table, transaction),
            f'","ts_ms":{transaction.now_ms}',
            f',"transaction":{{"id":"{transaction.id}","total_order":',
        )
        return self._texts

    def _type_text(self, kinds: Mapping[str, str] | None) -> tuple[Mapping[str, str] | None, str]:
        if len(self._types) >= _TYPES_KEPT:
            self._types.clear()
        known = self._types[id(kinds)] = (kinds, _types(kinds))
        return known


def _types(kinds: Mapping[str, str] | None) -> str:
    """The `types` field behind another one; nothing where it is empty."""
    if not kinds:
        return ""
    fields = ",".join(f"{json_name(name)}:{string(kind)}" for name, kind in kinds.items())
    return f',"types":{{{fields}}}'
