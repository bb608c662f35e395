"""SQL conditions that select at least what a predicate keeps, and how they combine. (pure)"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class PushedDown:
    """A condition, and the texts of its placeholders where the driver has any. It may be NULL, which selects nothing.
    exact: it is true just where the predicate is."""

    sql: str
    params: tuple[str, ...]
    exact: bool


NEVER: Final = PushedDown("FALSE", (), True)
ALWAYS: Final = PushedDown("TRUE", (), True)
ANYTHING: Final = PushedDown("TRUE", (), False)


def negated(part: PushedDown) -> PushedDown:
    """What does not hold; of an inexact condition nothing can be said."""
    if not part.exact:
        return ANYTHING
    if part.sql == "TRUE":
        return NEVER
    return ALWAYS if part.sql == "FALSE" else PushedDown(f"({part.sql}) IS NOT TRUE", part.params, True)


def all_of(parts: Sequence[PushedDown]) -> PushedDown:
    """The conjunction; of nothing it is true."""
    if any(part.sql == "FALSE" for part in parts):
        return NEVER
    exact = all(part.exact for part in parts)
    kept = [part for part in parts if part.sql != "TRUE"]
    return _joined(" AND ", kept, exact) if kept else PushedDown("TRUE", (), exact)


def any_of(parts: Sequence[PushedDown]) -> PushedDown:
    """The disjunction; of nothing it is false."""
    true = [part for part in parts if part.sql == "TRUE"]
    if true:
        return PushedDown("TRUE", (), any(part.exact for part in true))
    kept = [part for part in parts if part.sql != "FALSE"]
    return _joined(" OR ", kept, all(part.exact for part in kept)) if kept else NEVER


def _joined(operator: str, parts: Sequence[PushedDown], exact: bool) -> PushedDown:
    if len(parts) == 1:
        return PushedDown(parts[0].sql, parts[0].params, exact)
    params = tuple(param for part in parts for param in part.params)
    return PushedDown(operator.join(f"({part.sql})" for part in parts), params, exact)
