"""Random transactions, random live queries, and what befalls them: all of it from one seed. (pure)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, TypeAlias

from statements import Script, Scripts
from tables import Table
from wheres import aggregate, order, where

from broadcaster.client_stream import LiveQuery

WRITERS: Final = 3
_MUCH: Final = 100_000
"""Bytes: more than are on the way to a client that is behind."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    """A new client opens a stream. coalesces: it asks for fewer frames where it is behind, and may stop reading."""

    client: int
    queries: tuple[LiveQuery, ...]
    coalesces: bool = False


@dataclass(frozen=True, slots=True)
class Leave:
    """A client closes its stream and keeps its cursor."""

    client: int


@dataclass(frozen=True, slots=True)
class Return:
    """It comes back with the cursor."""

    client: int


@dataclass(frozen=True, slots=True)
class Drop:
    """A client's connection breaks; it reconnects by itself."""

    client: int


@dataclass(frozen=True, slots=True)
class Stall:
    """A client that coalesces stops reading, from the connection that it has."""

    client: int


@dataclass(frozen=True, slots=True)
class ReadOn:
    """It reads on, if it had stopped. breaks_after: so many bytes of what waited for it, then its connection breaks."""

    client: int
    breaks_after: int | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL and a new start: of `tailer`, `broadcaster` or `database`."""

    victim: str


@dataclass(frozen=True, slots=True)
class Cut:
    """All network connections break in the midst of what they carry next: those of every `client` to the broadcaster,
    or those of the `tailer` to the database."""

    where: str


Action: TypeAlias = Subscribe | Leave | Return | Drop | Stall | ReadOn | Kill | Cut


@dataclass(frozen=True, slots=True)
class Round:
    """Concurrent writers' transactions, and what happens meanwhile: each action after so many transactions. A quiet
    point follows, for which all read on."""

    scripts: tuple[tuple[Script, ...], ...]
    actions: tuple[tuple[int, Action], ...]


class Workload:
    """All rounds of a seed on a database; equal seeds give equal rounds.

    alias: the database's in the configuration; can: what it can do (`statements`); lines: those that may be cut;
    coalesces: some clients coalesce, and stop reading for a while.
    """

    def __init__(
        self,
        seed: int,
        alias: str,
        tables: Sequence[Table],
        can: frozenset[str],
        lines: Sequence[str] = ("client", "tailer"),
        *,
        coalesces: bool = False,
    ) -> None:
        self._random = Random(seed)
        self._coalesces = coalesces
        self._lines = lines
        self._alias = alias
        self._tables = tables
        self._scripts = Scripts(tables, can)
        self._clients: list[int] = []
        self._away: list[int] = []
        self._next_client = 0

    def round(self, transactions: int, victims: Sequence[str]) -> Round:
        """The next round. transactions: of all writers together; victims: who is killed in it, in this order."""
        random = self._random
        scripts = tuple(
            tuple(self._scripts.script(random) for _ in range(transactions // WRITERS))
            for _ in range(WRITERS)
        )
        places = sorted(random.randrange(transactions) for _ in range(8 + len(victims)))
        kills = dict(zip(random.sample(range(len(places)), len(victims)), victims, strict=True))
        actions = [
            (place, Kill(kills[number]) if number in kills else self._action())
            for number, place in enumerate(places)
        ]
        return Round(scripts, tuple(sorted([*actions, *self._stalls(transactions, actions)], key=_place)))

    def _stalls(self, transactions: int, actions: Sequence[tuple[int, Action]]) -> list[tuple[int, Action]]:
        """When clients that coalesce stop reading, those that are there and those that come meanwhile; some do not read
        on before the round is over."""
        random = self._random
        come = {action.client: place for place, action in actions if isinstance(action, Subscribe)}
        stalls: list[tuple[int, Action]] = []
        for client in self._coalescing:
            start = random.randrange(come.get(client, 0), transactions)
            stalls.append((start, Stall(client)))
            if random.random() < 0.7:
                breaks_after = random.randrange(_MUCH) if random.random() < 0.5 else None
                stalls.append((random.randrange(start, transactions), ReadOn(client, breaks_after)))
        return stalls

    @property
    def _coalescing(self) -> list[int]:
        return [client for client in self._clients if self._coalesces and client % 3 == 0]

    def _action(self) -> Action:
        random = self._random
        here = [client for client in self._clients if client not in self._away]
        choice = random.random()
        if len(self._clients) < 4 or (choice < 0.25 and len(self._clients) < 16):
            self._clients.append(self._next_client)
            self._next_client += 1
            client = self._clients[-1]
            if client in self._coalescing:
                return Subscribe(client, self._live_queries() + self._much(), coalesces=True)
            return Subscribe(client, self._live_queries())
        if choice < 0.5 and self._away:
            return Return(self._away.pop(random.randrange(len(self._away))))
        if choice < 0.7 and len(here) > 2:
            self._away.append(random.choice(here))
            return Leave(self._away[-1])
        if choice < 0.9:
            return Drop(random.choice(here))
        return Cut(random.choice(self._lines))

    def _live_queries(self) -> tuple[LiveQuery, ...]:
        """One to five live queries for one stream."""
        random = self._random
        return tuple(self._live_query(f"q{number}") for number in range(random.randint(1, 5)))

    def _much(self) -> tuple[LiveQuery, ...]:
        """All rows of two tables, those of one in an order too, and what those of the other come to: so that there is
        much to be told."""
        random, alias, everything = self._random, self._alias, dict[str, Any]()
        one, other = random.sample(self._tables, 2)
        sort, limit = order(random, one)
        sums, groups = aggregate(random, other)
        return (
            LiveQuery("all", alias, one.name, everything),
            LiveQuery("others", alias, other.name, everything),
            LiveQuery("ordered", alias, one.name, everything, sort=sort, limit=None if sort else limit),
            LiveQuery("sums", alias, other.name, everything, aggregate=sums, group_by=groups),
        )

    def _live_query(self, name: str) -> LiveQuery:
        """Every third shows the first rows of an order, or all of them; some what the rows come to."""
        random = self._random
        table = random.choice(self._tables)
        condition = where(random, table)
        choice = random.random()
        if choice < 0.2:
            asked, groups = aggregate(random, table)
            return LiveQuery(name, self._alias, table.name, condition, aggregate=asked, group_by=groups)
        if choice < 0.7:
            return LiveQuery(name, self._alias, table.name, condition, random.random() < 0.1)
        sort, limit = order(random, table)
        return LiveQuery(name, self._alias, table.name, condition, sort=sort, limit=limit)


def _place(action: tuple[int, Action]) -> int:
    return action[0]
