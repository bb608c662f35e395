"""An assembler fed by hand: messages in, decoded batches out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from cdc.event import Batch, Position
from cdc.postgres.assemble import Assembler, NeedRelation, RelationInfo
from cdc.postgres.messages import Value
from support import pgwire

T1, T2, OTHER = 16_385, 33_410, 40_000
COLUMNS = [("id", 23), ("name", 25), ("doc", 3802)]
NOW_MS = 1_790_000_000_999


def text(*values: object) -> list[Value]:
    """A row's values: str as they are, numbers printed, None and UNCHANGED themselves."""
    return [str(value).encode() if isinstance(value, str | int) else value for value in values]  # type: ignore[misc]


@dataclass(frozen=True)
class Event:
    collection: str
    key: Any
    value: dict[str, Any]

    @property
    def what(self) -> tuple[str, Any, Any, Any]:
        return self.value["op"], self.key, self.value["before"], self.value["after"]

    @property
    def numbers(self) -> tuple[int, int, bool]:
        block = self.value["transaction"]
        return block["total_order"], block["data_collection_order"], block.get("last", False)


def events(batch: Batch | None) -> list[Event]:
    assert batch is not None
    decode = msgspec.json.decode
    return [Event(name, decode(key), decode(value or b"null")) for name, key, value in batch.records]


class Server:
    """Sends what a walsender would, with LSNs that grow by 100 a message, and answers for the catalog."""

    def __init__(
        self, *, position: Position | None = None, max_part_bytes: int = 1 << 20, partitioned: bool = False
    ) -> None:
        self.assembler = Assembler(
            project="todo-app",
            alias="sql-postgres",
            database="app",
            version="0.1.0",
            position=position or Position("73", 0),
            collections={("public", "t1"): "t1", ("public", "t2"): "t2"},
            now_ms=lambda: NOW_MS,
            max_part_bytes=max_part_bytes,
        )
        self.lsn = 1_000
        self.asked: list[NeedRelation] = []
        self.catalog: Mapping[int, RelationInfo] = {
            T1: RelationInfo("t1", ("id",), partitioned),
            T2: RelationInfo("t2", ("id",)),
        }
        self._commit_lsn = 0

    def send(self, *messages: bytes) -> None:
        for message in messages:
            self.lsn += 100
            frame = pgwire.frame(message, self.lsn)
            try:
                self.assembler.feed(frame)
            except NeedRelation as need:
                self.asked.append(need)
                self.assembler.learn(self.catalog[need.relid])
                self.assembler.feed(memoryview(frame))

    def begin(self, *messages: bytes, xid: int = 771) -> None:
        self._commit_lsn = self.lsn + 100_000
        self.send(pgwire.begin(self._commit_lsn, xid), *messages)

    def commit(self) -> int:
        """The transaction's end LSN."""
        end = self._commit_lsn + 48
        self.send(pgwire.commit(self._commit_lsn, end))
        self.lsn = end
        return end

    def transaction(self, *messages: bytes, xid: int = 771) -> int:
        self.begin(*messages, xid=xid)
        return self.commit()

    def introduce(self) -> None:
        """Announce t1 and t2."""
        self.transaction(relation(T1, "t1"), relation(T2, "t2"))
        self.assembler.take()


def relation(relid: int, table: str, columns: list[tuple[str, int]] = COLUMNS) -> bytes:
    return pgwire.relation(relid, "public", table, columns)
