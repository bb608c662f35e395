"""One relation as the connection described it, and what its row messages mean. (pure)"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cdc.errors import ProtocolError
from cdc.postgres.messages import UNCHANGED, Delete, Insert, RelationColumn, Row, Update, Value
from cdc.postgres.values import PgType, RowShape
from cdc.transaction import Collection, Transaction
from cdc.wire_text import Marked, json_name, string

NULL: Final = "null"


@dataclass(frozen=True, slots=True)
class Change:
    """One event in wire text: key, both rows (`null` where unknown or none), and what `types` is of them."""

    op: str
    key: str
    before: str
    after: str
    types: Mapping[str, str] | None


TRUNCATED: Final = Change("t", NULL, NULL, NULL, None)


class KnownRelation:
    """A wanted relation. `source`, `tail_c`, `tail_u` and `tail_d` are the constant text between an event's rows and
    its LSN, and from there to its number; they hold for the transaction's `part`.

    place: the constant beginning of the `source` block, without braces.
    partitioned: its rows may come from partitions whose replica identity is not FULL.
    """

    def __init__(
        self,
        collection: Collection,
        columns: Sequence[RelationColumn],
        key: Sequence[str],
        types: Mapping[int, PgType],
        place: str,
        partitioned: bool,
    ) -> None:
        self.collection = collection
        self.shape = RowShape(columns, key, types)
        self.partitioned = partitioned
        self.part = 0
        self.source = self.tail_c = self.tail_u = self.tail_d = ""
        self.place = place
        self._usual_types = types_text(self.shape.types[0])
        self._numbering = ("", "")

    def enter(self, transaction: Transaction) -> None:
        """Take part in the transaction, or go on with it after a part was taken."""
        transaction.enter(self.collection)
        self.part = transaction.part
        self.source = (
            f',"source":{{{self.place},"ts_ms":{transaction.commit_ms},"txId":"{transaction.id}"'
            f',"commit_lsn":{transaction.commit_lsn},"lsn":'
        )
        self._numbering = (
            f'"ts_ms":{transaction.now_ms}',
            f'"transaction":{{"id":"{transaction.id}","total_order":',
        )
        when, number = self._numbering
        usual = f"{when}{self._usual_types},{number}"
        self.tail_c = f'}},"op":"c",{usual}'
        self.tail_u = f'}},"op":"u",{usual}'
        self.tail_d = f'}},"op":"d",{usual}'

    def tail(self, op: str, types: Mapping[str, str] | None) -> str:
        """The text from an event's LSN to its number in the transaction."""
        when, number = self._numbering
        return f'}},"op":"{op}",{when}{types_text(types)},{number}'

    def add(self, transaction: Transaction, lsn: int, change: Change) -> None:
        """Append the change to the transaction."""
        if self.part != transaction.part:
            self.enter(transaction)
        event = (
            f'{{"before":{change.before},"after":{change.after}{self.source}{lsn}'
            f"{self.tail(change.op, change.types)}{transaction.total + 1}"
            f',"data_collection_order":{self.collection.order + 1}}}}}'
        )
        transaction.add(self.collection, _bytes(change.key), _bytes(event))

    def changes(self, message: Insert | Update | Delete) -> list[Change]:
        """What a row message means: one change, or two where an update moved the row to another key.

        Raises ProtocolError for a row that does not fit the relation.
        """
        if isinstance(message, Insert):
            return [self._change("c", message.new, None, message.new)]
        old = self._whole(message)
        if isinstance(message, Delete):
            return [self._change("d", message.old, old, None)]
        new = message.new
        if message.old is not None:
            filled = (self._filled(i, after, message.old, old) for i, after in enumerate(new))
            new = tuple(filled)
            if self._key(message.old) != self._key(new):
                return [
                    self._change("d", message.old, old, None),
                    self._change("c", new, None, new),
                ]
        return [self._change("u", new, old, new)]

    def _whole(self, message: Update | Delete) -> Row | None:
        """The old row if the message has the whole of it. A partition without FULL identity sends its old rows as
        the root's, with NULL in all but the key."""
        old = message.old
        if old is None or message.key_only:
            return None
        others = [value for i, value in enumerate(old) if i not in self.shape.key]
        return None if self.partitioned and others and all(value is None for value in others) else old

    def _filled(self, i: int, after: Value, sent: Row, whole: Row | None) -> Value:
        """A new value, taken from the old row where it is unchanged and the old one is known."""
        if after is not UNCHANGED or i >= len(sent) or sent[i] is None:
            return after
        return sent[i] if whole is not None or i in self.shape.key else after

    def _change(self, op: str, keyed: Row, before: Row | None, after: Row | None) -> Change:
        """keyed: the row that has the key."""
        old, new = self._encode(before), self._encode(after)
        kinds = self.shape.types[self._marks(old) | self._marks(new)] or {}
        types = {name: kind for name, kind in kinds.items() if name in old or name in new}
        return Change(
            op,
            _object(self._key_fields(keyed)),
            NULL if before is None else _object(old.items()),
            NULL if after is None else _object(new.items()),
            types or None,
        )

    def _key(self, row: Row) -> list[Value]:
        return [row[i] if i < len(row) else None for i in self.shape.key]

    def _key_fields(self, row: Row) -> list[tuple[str, str]]:
        for i, value in zip(self.shape.key, self._key(row), strict=True):
            if not isinstance(value, bytes):
                raise ProtocolError(
                    f"{self.collection.name}: a change came without {self.shape.names[i]}, which is part of the "
                    "primary key; the table needs REPLICA IDENTITY FULL"
                )
        fields = self._encode(row)
        return [(self.shape.names[i], fields[self.shape.names[i]]) for i in self.shape.key]

    def _encode(self, row: Row | None) -> dict[str, str]:
        """Column to JSON; unchanged values are left out."""
        if row is None:
            return {}
        if len(row) != len(self.shape.names):
            raise ProtocolError(
                f"{self.collection.name}: a row of {len(row)} values for {len(self.shape.names)} columns"
            )
        fields: dict[str, str] = {}
        for name, encoder, value in zip(self.shape.names, self.shape.encoders, row, strict=True):
            if value is None:
                fields[name] = NULL
            elif isinstance(value, bytes):
                try:
                    value.decode()
                    fields[name] = encoder.encode(str(value, "latin-1"))
                except (LookupError, ValueError) as error:
                    raise ProtocolError(
                        f"{self.collection.name}: a value of {name} does not have the form of its type: {error}"
                    ) from error
        return fields

    def _marks(self, fields: Mapping[str, str]) -> int:
        return sum(1 << i for i, name in enumerate(self.shape.names) if type(fields.get(name)) is Marked)


def _object(fields: Iterable[tuple[str, str]]) -> str:
    return f"{{{','.join(f'{json_name(name)}:{value}' for name, value in fields)}}}"


def types_text(types: Mapping[str, str] | None) -> str:
    """The `types` field behind another one; nothing where it is empty."""
    return (
        "" if types is None else f',"types":{_object((name, string(kind)) for name, kind in types.items())}'
    )


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
