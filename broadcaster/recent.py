"""The newest transactions of a feed that a snapshot might not show yet. (pure)

A log can show a commit before other sessions see it (Postgres between WAL flush and visibility, for as long as a
synchronous standby is awaited). So a snapshot that is read later may lack a transaction that the feed is already past.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

PRUNE_AT = 50_000
"""Transactions after which those that are visible meanwhile should be forgotten (some 6 MiB)."""

MOST = 200_000
"""Transactions that are kept where the database cannot be asked what is visible. Half of them are forgotten then, the
oldest: taken for visible, since so many have followed."""


class Recent:
    """Transactions by id, with the offsets of their first and last entry, oldest first."""

    def __init__(self) -> None:
        self._transactions: list[tuple[str, int, int]] = []

    def __len__(self) -> int:
        return len(self._transactions)

    def add(self, tx: str, first: int, last: int) -> None:
        self._transactions.append((tx, first, last))
        if len(self._transactions) > MOST:
            self._transactions = self._transactions[-MOST // 2 :]

    def until(self, place: int) -> Past:
        """Those up to offset `place`, for a snapshot that is read from now on. What is forgotten meanwhile, since a
        later snapshot shows it, stays in there."""
        return Past(self._transactions, place)

    def prune(self, shows: Callable[[str], bool]) -> None:
        """Forget those that a snapshot shows, and so will every later one."""
        self._transactions = [entry for entry in self._transactions if not shows(entry[0])]


@dataclass(frozen=True, slots=True)
class Past:
    """The transactions that a snapshot should show, up to an offset."""

    _transactions: Sequence[tuple[str, int, int]]
    _until: int

    def unseen(self, shows: Callable[[str], bool]) -> list[tuple[int, int]]:
        """The offsets (first, last) of those that it does not show, oldest first."""
        return [
            (first, last) for tx, first, last in self._transactions if last <= self._until and not shows(tx)
        ]
