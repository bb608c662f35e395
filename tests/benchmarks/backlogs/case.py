"""A backlog to drain, and who can make it and have it drained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from support.draining import Drained

Shape = Literal["narrow", "JSON", "wide"]
WIDE = 40
"""Columns of a wide row, beside the key."""


@dataclass(frozen=True, slots=True)
class Case:
    """`rows` changes of a kind, in transactions of `per` rows. Updates carry the whole row before and after."""

    shape: Shape
    op: Literal["insert", "update"]
    per: int
    rows: int

    @property
    def title(self) -> str:
        """In a table."""
        rows = "row" if self.per == 1 else "rows"
        return f"{self.shape} rows, {self.op}s, {self.per:,} {rows} a transaction"


class Backlog(Protocol):
    """A server that runs."""

    @property
    def title(self) -> str:
        """The database and its version."""

    @property
    def peer(self) -> str:
        """Who else drains it."""

    def fill(self, case: Case) -> None:
        """Make this backlog in the database's log, in place of the one before."""

    def drain(self) -> Drained:
        """By Livetail's tailer; the first third is warm-up."""

    def drain_by_peer(self) -> Drained:
        """The same by the peer. Raises PeerMissing."""
