"""What the workload writes and asks for: small pools, so that things meet. (pure)"""

from __future__ import annotations

from random import Random
from typing import Any, Final

from tables import Table

KEYS: Final = 24
WORDS: Final = ("", "ash", "Birch", "cédille", "Ω", "o'clock", 'quo"te', "back\\slash", "😀", "zz%s")
PRICES: Final = ("0", "0.1", "12.5000", "-3.25", "99999999999999999999.01", "NaN")
TIMES: Final = (
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.000001Z",
    "2026-06-30T23:59:59.5Z",
    "1999-12-31T12:00:00Z",
)
DOCUMENTS: Final = (
    {"a": 1},
    {"a": 2, "b": {"c": "x"}},
    {"a": None, "tags": ["x", "y"]},
    {"tags": []},
    [1, "x", {"a": 1}],
    "x",
    7,
)
REGIONS: Final = ("eu", "us")


def random_key(random: Random, table: Table) -> dict[str, Any]:
    """A primary key, in the order of the table's own."""
    number = random.randrange(KEYS)
    match table.name:
        case "words":
            return {"word": f"{random.choice(WORDS)}{number % 5}"}
        case "notes":
            return {"id": f"00000000-0000-4000-8000-0000000000{number:02x}"}
        case "accounts":
            return {"region": random.choice(REGIONS), "no": number // 2 if number % 5 else 2**53 + number}
        case "parts":
            return {"bucket": number % 4, "id": number // 4}
    return {"id": number}
