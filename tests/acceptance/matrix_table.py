"""The crash matrix as a table in Markdown. (pure)"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

from matrix import CELLS, DATABASES, Cell

_TITLES: Final = {"postgres": "Postgres", "mysql": "MySQL", "mongo": "MongoDB"}
_NEVER: Final = "–"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a cell.

    told: seconds from the fault until the last watcher was told of a transaction committed after it; caught_up: from
    the mending until the last one was told of one committed after that; events: how many the topics held, each as it
    must be; broken: in the place of these, the first line of what went wrong.
    """

    cell: Cell
    told: float = 0.0
    caught_up: float = 0.0
    events: int = 0
    broken: str | None = None

    def __str__(self) -> str:
        if self.broken is not None:
            return f"{self.cell}: {self.broken}"
        return (
            f"{self.cell}: held; something new after {self.told:.1f} s, caught up {self.caught_up:.1f} s after it was "
            f"mended, {self.events} events in the topics"
        )


def to_line(result: Result) -> str:
    """One to keep, as JSON on a line."""
    return json.dumps(asdict(result)) + "\n"


def from_lines(text: str) -> list[Result]:
    """Those that were kept."""
    kept = (json.loads(line) for line in text.splitlines())
    return [Result(**{**fields, "cell": Cell(**fields["cell"])}) for fields in kept]


def table(results: Iterable[Result]) -> str:
    """A row for each fault of a victim, a column for each database: `told / caught_up`, as it went last."""
    last = {result.cell: result for result in results}
    lines = [
        f"| victim | fault | {' | '.join(_TITLES[each] for each in DATABASES)} |",
        f"|---|---|{'---|' * len(DATABASES)}",
    ]
    for victim, fault in dict.fromkeys((cell.victim, cell.fault) for cell in CELLS):
        found = [last.get(Cell(victim, fault, database)) for database in DATABASES]
        lines.append(f"| {victim} | {fault} | {' | '.join(map(_short, found))} |")
    return "\n".join(lines) + "\n"


def _short(result: Result | None) -> str:
    if result is None:
        return _NEVER
    if result.broken is not None:
        return f"**{result.broken}**"
    return f"held, {result.told:.1f} / {result.caught_up:.1f} s"
