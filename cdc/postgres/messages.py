"""The pgoutput messages, field by field as on the wire. (pure)

PostgreSQL documentation, "Logical Replication Message Formats", protocol version 1. Times are microseconds since
2000-01-01 UTC, LSNs plain integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias


class Unchanged(Enum):
    """The type of `UNCHANGED`: an out-of-line (TOAST) value that an update left alone and the server did not send."""

    UNCHANGED = "UNCHANGED"


UNCHANGED: Final = Unchanged.UNCHANGED

Value: TypeAlias = bytes | Unchanged | None
Row: TypeAlias = tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Begin:
    """'B'. commit_lsn: where the transaction's commit record starts."""

    commit_lsn: int
    commit_time_us: int
    xid: int


@dataclass(frozen=True, slots=True)
class Commit:
    """'C'. end_lsn: the first byte after the commit record."""

    flags: int
    commit_lsn: int
    end_lsn: int
    commit_time_us: int


@dataclass(frozen=True, slots=True)
class Origin:
    """'O'. The transaction was first committed at `commit_lsn` of the server that calls itself `name`."""

    commit_lsn: int
    name: str


@dataclass(frozen=True, slots=True)
class RelationColumn:
    """A column of 'R'. flags: bit 0 = part of the replica identity (all of them under FULL); oid and typmod are those
    of its type."""

    flags: int
    name: str
    oid: int
    typmod: int


@dataclass(frozen=True, slots=True)
class Relation:
    """'R'. schema: "pg_catalog" where the wire has an empty string. identity: d, n, f or i as in pg_class."""

    relid: int
    schema: str
    table: str
    identity: str
    columns: tuple[RelationColumn, ...]


@dataclass(frozen=True, slots=True)
class TypeName:
    """'Y'. The name of a type that is not built in."""

    oid: int
    schema: str
    name: str


@dataclass(frozen=True, slots=True)
class Insert:
    """'I'."""

    relid: int
    new: Row


@dataclass(frozen=True, slots=True)
class Update:
    """'U'. old: the whole old row under FULL; otherwise, when the key changed, a row with only the key's columns
    (`key_only`); otherwise None."""

    relid: int
    old: Row | None
    key_only: bool
    new: Row


@dataclass(frozen=True, slots=True)
class Delete:
    """'D'. old: as in `Update`, never None."""

    relid: int
    old: Row
    key_only: bool


@dataclass(frozen=True, slots=True)
class Truncate:
    """'T'. flags: 1 = CASCADE, 2 = RESTART IDENTITY."""

    flags: int
    relids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LogicalMessage:
    """'M', pg_logical_emit_message. Outside Begin and Commit unless transactional."""

    transactional: bool
    lsn: int
    prefix: str
    content: bytes


Message: TypeAlias = (
    Begin | Commit | Origin | Relation | TypeName | Insert | Update | Delete | Truncate | LogicalMessage
)
