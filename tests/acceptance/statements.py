"""Random transactions, as SQL. (pure)"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from tables import TABLES, Table
from values import DOCUMENTS, KEYS, PRICES, REGIONS, TIMES, WORDS, random_key

_TOAST: Final = 6_000


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement with %s parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """One transaction as it is written; `commits` False rolls it back at the end."""

    statements: tuple[Statement, ...]
    commits: bool


def transaction(random: Random) -> Script:
    """One to six statements, some of them under savepoints; one in ten is rolled back."""
    statements: list[Statement] = []
    for number in range(random.choice((1, 1, 1, 2, 3, 6))):
        made = _statements(random)
        if random.random() < 0.15:
            end = random.choice(("ROLLBACK TO", "RELEASE"))
            made = [Statement(f"SAVEPOINT s{number}"), *made, Statement(f"{end} s{number}")]
        statements += made
    return Script(tuple(statements), random.random() > 0.1)


def _statements(random: Random) -> list[Statement]:
    table = random.choice(TABLES)
    choice = random.random()
    if table.name == "accounts" and choice < 0.4:
        return _transfer(random)
    if choice < 0.25:
        return [_insert(random, table, [random_key(random, table)], "DO NOTHING")]
    if choice < 0.35:
        keys = {json.dumps(key): key for key in (random_key(random, table) for _ in range(8))}
        return [_insert(random, table, list(keys.values()), "DO NOTHING")]
    if choice < 0.45:
        return [
            _insert(
                random,
                table,
                [random_key(random, table)],
                f"({', '.join(table.key)}) DO UPDATE SET n = excluded.n",
            )
        ]
    if choice < 0.6:
        return [_update(random, table, *_one(random, table))]
    if choice < 0.72:
        return [_update(random, table, *_several(random))]
    if choice < 0.8:
        return [_rename(random, table)]
    if choice < 0.92:
        return [_delete(table, *_one(random, table))]
    if choice < 0.985:
        return [_delete(table, *_several(random))]
    return [Statement(f"TRUNCATE {table.name}")]


def _insert(random: Random, table: Table, keys: list[dict[str, Any]], conflict: str) -> Statement:
    columns = [*table.key, *_VALUES]
    rows = [[*key.values(), *(value(random) for value in _VALUES.values())] for key in keys]
    row = f"({', '.join(['%s'] * len(columns))})"
    return Statement(
        f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES {', '.join([row] * len(rows))} "
        f"ON CONFLICT {conflict}",
        tuple(value for values in rows for value in values),
    )


def _update(random: Random, table: Table, condition: str, parameters: tuple[Any, ...]) -> Statement:
    columns = random.sample(list(_VALUES), random.randint(1, 3))
    sets = ", ".join(f"{column} = %s" for column in columns)
    values = tuple(_VALUES[column](random) for column in columns)
    return Statement(f"UPDATE {table.name} SET {sets} WHERE {condition}", (*values, *parameters))


def _rename(random: Random, table: Table) -> Statement:
    """Another primary key, if it is free; in `parts` often another partition."""
    condition, parameters = _one(random, table)
    new = tuple(random_key(random, table).values())
    sets = ", ".join(f"{column} = %s" for column in table.key)
    free = " AND ".join(f"o.{column} = %s" for column in table.key)
    return Statement(
        f"UPDATE {table.name} SET {sets} WHERE {condition} "
        f"AND NOT EXISTS (SELECT FROM {table.name} o WHERE {free})",
        (*new, *parameters, *new),
    )


def _delete(table: Table, condition: str, parameters: tuple[Any, ...]) -> Statement:
    return Statement(f"DELETE FROM {table.name} WHERE {condition}", parameters)


def _transfer(random: Random) -> list[Statement]:
    amount = random.randrange(1, 5)
    return [
        Statement(
            "UPDATE accounts SET n = coalesce(n, 0) + %s WHERE no = %s AND region = %s",
            (change, random.randrange(KEYS // 2), random.choice(REGIONS)),
        )
        for change in (amount, -amount)
    ]


def _one(random: Random, table: Table) -> tuple[str, tuple[Any, ...]]:
    key = random_key(random, table)
    return " AND ".join(f"{column} = %s" for column in key), tuple(key.values())


def _several(random: Random) -> tuple[str, tuple[Any, ...]]:
    return random.choice(("n < %s", "n = %s", "n > %s")), (random.randrange(10),)


def _maybe(make: Callable[[Random], Any]) -> Callable[[Random], Any]:
    return lambda random: None if random.random() < 0.15 else make(random)


def _body(random: Random) -> str:
    """Now and then too large to stay in the row."""
    size = _TOAST if random.random() < 0.1 else 8
    return random.randbytes(size // 2).hex()


_VALUES: Final[dict[str, Callable[[Random], Any]]] = {
    "n": _maybe(lambda random: random.randrange(10)),
    "s": _maybe(lambda random: random.choice(WORDS)),
    "price": _maybe(lambda random: random.choice(PRICES)),
    "flag": _maybe(lambda random: random.random() < 0.5),
    "at": _maybe(lambda random: random.choice(TIMES)),
    "j": _maybe(lambda random: json.dumps(random.choice(DOCUMENTS))),
    "body": _maybe(_body),
}
