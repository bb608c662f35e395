"""Reads the row messages of one connection into the open transaction: compiled, or by generated code. (pure)"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeAlias

from cdc import kernel
from cdc.event import Record
from cdc.postgres.pgoutput import FRAME_HEAD
from cdc.postgres.relation import KnownRelation
from cdc.postgres.rowcode import RowFunction, generate
from cdc.transaction import Transaction

CopyData: TypeAlias = Callable[[int], tuple[int, bytes | memoryview]]
"""As psycopg's `PGconn.get_copy_data`."""


class Held(NamedTuple):
    """A transaction that has begun, and perhaps its first row. commit_lsn, commit_time_us, xid: as its Begin says;
    now_ms: Unix time of the reading."""

    commit_lsn: int
    commit_time_us: int
    xid: int
    now_ms: int
    record: tuple[str, bytes, bytes] | None


class Singles(NamedTuple):
    """Complete transactions. size: bytes of the records' values; order: the position up to which they are complete;
    commit_ms: Unix time of the newest that has a record."""

    records: list[Record]
    size: int
    order: int
    commit_ms: int


class RowReader(Protocol):
    """Reads the usual row messages of the relations that are installed into the open transaction. It may *hold* a
    transaction that begins, until it turns out to be more than one row.

    is_open: whether there is a transaction, not held; to be told. order: transactions that commit before it are
    not to be held; to be told where it moves. is_holding: whether there is one that is held. has_singles: whether
    `release` would give records; size: bytes of these and of what is held.
    """

    is_open: bool
    order: int

    @property
    def is_holding(self) -> bool: ...

    @property
    def has_singles(self) -> bool: ...

    @property
    def size(self) -> int: ...

    def install(self, relid: int, relation: KnownRelation | None) -> None:
        """From now on rows of this id are this relation's; None: they are not wanted."""

    def read(self, message: bytes | memoryview) -> bool:
        """Take in one XLogData frame; False, and nothing was done, if the general way must see it."""

    def copy(self, get: CopyData, most: int) -> tuple[int, int, bytes | memoryview | None]:
        """Take in frames, at most so many, as long as `read` does. get: libpq's PQgetCopyData.

        Returns how many it took; what `get` returned last (1: go on, 0: nothing is there, below: the stream has ended);
        the frame that it left, if it left one.
        """

    def unhold(self) -> Held | None:
        """Give up the transaction that is held, if there is one, for the general way to go on with."""

    def release(self) -> Singles | None:
        """The transactions that were held and are complete, if there are any; the reader forgets them."""


def row_reader(transaction: Transaction, now_ms: Callable[[], int]) -> RowReader:
    """The kernel's, or the one in Python. transaction: the open one; now_ms: Unix time."""
    compiled = kernel.load("pgoutput")
    return PythonRowReader(transaction) if compiled is None else compiled.RowReader(transaction, now_ms)


class PythonRowReader:
    """A `RowReader` by generated code, which holds nothing."""

    is_holding = has_singles = False
    size = 0

    def __init__(self, transaction: Transaction) -> None:
        self.is_open = False
        self.order = 0
        self._transaction = transaction
        # By the message's type and relation id, five characters of wire text.
        self._functions: dict[str, RowFunction] = {}

    def install(self, relid: int, relation: KnownRelation | None) -> None:
        functions = (_skip, _skip, _skip) if relation is None else generate(relation, self._transaction)
        for letter, function in zip("IUD", functions, strict=True):
            self._functions[letter + relid.to_bytes(4).decode("latin-1")] = function

    def read(self, message: bytes | memoryview) -> bool:
        if not self.is_open:
            return False
        text = str(message, "latin-1")
        row = self._functions.get(text[FRAME_HEAD : FRAME_HEAD + 5])
        try:
            return row is not None and row(message, text)
        except (struct.error, LookupError, ValueError):
            return False  # the general way says what is wrong

    def copy(self, get: CopyData, most: int) -> tuple[int, int, bytes | memoryview | None]:
        for count in range(most):
            size, data = get(1)
            if size <= 0:
                return count, size, None
            if not self.read(data):
                return count, size, data
        return most, 1, None

    def unhold(self) -> Held | None:
        return None

    def release(self) -> Singles | None:
        return None


def _skip(data: bytes | memoryview, message: str) -> bool:
    """The row function of a relation that is not wanted."""
    return True
