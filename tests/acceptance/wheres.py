"""Random documents of the query language. (pure)"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from tables import Table
from values import DOCUMENTS, PRICES, TIMES, WORDS


def where(random: Random, table: Table, depth: int = 2) -> dict[str, Any]:
    """A random document of the query language, over the table's columns."""
    if depth == 2 and random.random() < 0.15:
        return {}
    document: dict[str, Any] = {}
    for _ in range(random.choice((1, 1, 2))):
        if depth and random.random() < 0.3:
            operator = random.choice(("$and", "$or", "$or", "$nor", "$not"))
            parts = [where(random, table, depth - 1) for _ in range(random.randint(1, 3))]
            document[operator] = parts[0] if operator == "$not" else parts
        else:
            path, value = _field(random, table)
            document[path] = _condition(random, value)
    return document


def order(random: Random, table: Table) -> tuple[list[str] | None, int | None]:
    """A random `sort` and `limit`, or one of the two."""
    fields = ["n", "s", "price", "flag", "at", "j", "j.a", "j.b.c", "version", "missing", *table.key]
    sort = random.sample(fields, random.choice((0, 1, 1, 1, 2, 3)))
    limit = random.randint(1, 8) if not sort or random.random() < 0.85 else None
    return [random.choice(("", "-")) + field for field in sort] or None, limit


def aggregate(random: Random, table: Table) -> tuple[dict[str, dict[str, Any]], list[str] | None]:
    """A random `aggregate` and `groupBy`."""
    fields = ["n", "n", "price", "price", "s", "flag", "at", "j", "j.a", "version", "missing", *table.key]
    asked: dict[str, dict[str, Any]] = {"rows": {"count": True}} if random.random() < 0.5 else {}
    for number in range(random.randint(0 if asked else 1, 3)):
        function = random.choice(("count", "sum", "sum", "avg", "min", "max"))
        asked[f"a{number}"] = {function: random.choice(fields)}
    groups = random.sample(
        ["n", "s", "flag", "price", "at", "j.a", *table.key], random.choice((0, 0, 1, 1, 2))
    )
    return asked, groups or None


def _field(random: Random, table: Table) -> tuple[str, Callable[[], Any]]:
    """A path, and what gives literals for it."""
    key, draw = _key_field(random, table)
    return random.choice(
        (
            ("n", lambda: random.randrange(10)),
            ("n", lambda: random.randrange(10)),
            ("s", lambda: random.choice(WORDS)),
            ("price", lambda: random.choice((*PRICES, 0.1, 12.5, 0))),
            ("flag", lambda: random.random() < 0.5),
            ("at", lambda: random.choice(TIMES)),
            ("j", lambda: random.choice(DOCUMENTS)),
            ("j.a", lambda: random.randrange(3)),
            ("j.tags", lambda: random.choice("xyz")),
            ("version", lambda: random.randrange(2_000)),
            (key, draw),
        )
    )


def _condition(random: Random, value: Callable[[], Any]) -> Any:
    kind = random.random()
    if kind < 0.25:
        return value() if kind > 0.02 else None
    if kind < 0.35:
        return {random.choice(("$eq", "$ne")): value() if kind > 0.27 else None}
    if kind < 0.45:
        return {"$exists": random.random() < 0.5}
    if kind < 0.6:
        return {random.choice(("$in", "$nin")): [value() for _ in range(random.randint(0, 4))]}
    operand = value()
    if operand is None or isinstance(operand, (dict, list)):
        return {"$ne": operand}
    document = {random.choice(("$gt", "$gte", "$lt", "$lte")): operand}
    return {"$not": document} if kind > 0.92 else document


def _key_field(random: Random, table: Table) -> tuple[str, Callable[[], Any]]:
    """A field of the primary key, or of a document that is the key."""
    name = random.choice(table.key)
    if not isinstance(table.draw(random)[name], dict) or random.random() < 0.5:
        return name, lambda: table.draw(random)[name]
    inner = random.choice(list(table.draw(random)[name]))
    return f"{name}.{inner}", lambda: table.draw(random)[name][inner]
