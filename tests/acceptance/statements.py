"""Random transactions, in the terms that all databases share. (pure)"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, TypeAlias

from tables import Row, Table
from values import DOCUMENTS, PRICES, TIMES, WORDS

_LARGE: Final = 6_000

SAVEPOINTS: Final = "savepoints"
RENAMES: Final = "changes of the primary key"
TRUNCATES: Final = "TRUNCATE"
SINGLES: Final = "statements that are transactions by themselves"
NAN: Final = "NaN among the decimals"
"""What not every database, or its driver in this test, can do."""


@dataclass(frozen=True, slots=True)
class Some:
    """Which rows: those where `n` is below (`<`), at (`=`) or above (`>`) a number."""

    operator: str
    n: int


Which: TypeAlias = Row | Some
"""The row of that key, or some."""


@dataclass(frozen=True, slots=True)
class Insert:
    """Rows, whole. One that is there already stays as it is, or takes the new `n`."""

    table: Table
    rows: tuple[Row, ...]
    updates: bool = False


@dataclass(frozen=True, slots=True)
class Update:
    """Set fields."""

    table: Table
    which: Which
    values: Row


@dataclass(frozen=True, slots=True)
class Add:
    """Add to a row's `n`; null counts as 0."""

    table: Table
    key: Row
    amount: int


@dataclass(frozen=True, slots=True)
class Rename:
    """Another primary key, if it is free."""

    table: Table
    key: Row
    new: Row


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete rows."""

    table: Table
    which: Which


@dataclass(frozen=True, slots=True)
class Truncate:
    """Empty the table."""

    table: Table


@dataclass(frozen=True, slots=True)
class Savepoint:
    """`SAVEPOINT`, `ROLLBACK TO` or `RELEASE`, and its name."""

    verb: str
    name: str


Statement: TypeAlias = Insert | Update | Add | Rename | Delete | Truncate | Savepoint


@dataclass(frozen=True, slots=True)
class Script:
    """One transaction as it is written; `commits` False rolls it back at the end, `together` False makes each statement
    a transaction by itself."""

    statements: tuple[Statement, ...]
    commits: bool = True
    together: bool = True


class Scripts:
    """Writes random transactions on the tables. can: of the constants above."""

    def __init__(self, tables: Sequence[Table], can: frozenset[str]) -> None:
        self._tables = tables
        self._can = can
        prices = (*PRICES, "NaN") if NAN in can else PRICES
        self._values: dict[str, Callable[[Random], Any]] = {
            "n": _maybe(lambda random: random.randrange(10)),
            "s": _maybe(lambda random: random.choice(WORDS)),
            "price": _maybe(lambda random: random.choice(prices)),
            "flag": _maybe(lambda random: random.random() < 0.5),
            "at": _maybe(lambda random: random.choice(TIMES)),
            "j": _maybe(lambda random: random.choice(DOCUMENTS)),
            "body": _maybe(_body),
        }

    def script(self, random: Random) -> Script:
        """One to six statements, some of them under savepoints; one transaction in ten is rolled back."""
        together = SINGLES not in self._can or random.random() < 0.6
        statements: list[Statement] = []
        for number in range(random.choice((1, 1, 1, 2, 3, 6))):
            made = self._statements(random)
            if together and SAVEPOINTS in self._can and random.random() < 0.15:
                end = random.choice(("ROLLBACK TO", "RELEASE"))
                made = [Savepoint("SAVEPOINT", f"s{number}"), *made, Savepoint(end, f"s{number}")]
            statements += made
        return Script(tuple(statements), not together or random.random() > 0.1, together)

    def _statements(self, random: Random) -> list[Statement]:
        table = random.choice(self._tables)
        choice = random.random()
        if table.name == "accounts" and choice < 0.4:
            return self._transfer(random, table)
        if choice < 0.25:
            return [Insert(table, (self._row(random, table),))]
        if choice < 0.35:
            rows = [self._row(random, table) for _ in range(8)]
            return [Insert(table, tuple({table.find(row): row for row in rows}.values()))]
        if choice < 0.45:
            return [Insert(table, (self._row(random, table),), updates=True)]
        if choice < 0.72:
            which = table.draw(random) if choice < 0.6 else _some(random)
            fields = random.sample(list(self._values), random.randint(1, 3))
            return [Update(table, which, {field: self._values[field](random) for field in fields})]
        if choice < 0.8 and RENAMES in self._can:
            return [Rename(table, table.draw(random), table.draw(random))]
        if choice < 0.985 or TRUNCATES not in self._can:
            return [Delete(table, table.draw(random) if choice < 0.92 else _some(random))]
        return [Truncate(table)]

    def _row(self, random: Random, table: Table) -> Row:
        return {**table.draw(random), **{field: value(random) for field, value in self._values.items()}}

    def _transfer(self, random: Random, accounts: Table) -> list[Statement]:
        amount = random.randrange(1, 5)
        return [
            Add(accounts, accounts.draw(random), amount),
            Add(accounts, accounts.draw(random), -amount),
        ]


def _some(random: Random) -> Some:
    return Some(random.choice("<=>"), random.randrange(10))


def _maybe(make: Callable[[Random], Any]) -> Callable[[Random], Any]:
    return lambda random: None if random.random() < 0.15 else make(random)


def _body(random: Random) -> str:
    """Now and then too large to stay in a Postgres row."""
    size = _LARGE if random.random() < 0.1 else 8
    return random.randbytes(size // 2).hex()
