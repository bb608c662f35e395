"""What the workload writes and asks for: small pools, so that things meet. (pure)"""

from __future__ import annotations

from random import Random
from typing import Any, Final

KEYS: Final = 24
WORDS: Final = ("", "ash", "Birch", "cédille", "Ω", "o'clock", 'quo"te', "back\\slash", "😀", "zz%s")
PRICES: Final = ("0", "0.1", "12.5000", "-3.25", "99999999999999999999.01")
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


def number(random: Random) -> int:
    """A small integer key."""
    return random.randrange(KEYS)


def word(random: Random) -> str:
    """A text key."""
    return f"{random.choice(WORDS)}{random.randrange(5)}"


def uuid(random: Random) -> str:
    """A UUID key."""
    return f"00000000-0000-4000-8000-0000000000{number(random):02x}"


def account(random: Random) -> dict[str, Any]:
    """A key of two fields, of which one may be beyond what a double holds."""
    drawn = number(random)
    return {"region": random.choice(REGIONS), "no": drawn // 2 if drawn % 5 else 2**53 + drawn}


def part(random: Random) -> dict[str, Any]:
    """A key of two small integers."""
    drawn = number(random)
    return {"bucket": drawn % 4, "id": drawn // 4}
