"""What Livetail and its peers did in the same runs: medians as a table, JSON and a picture."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.bars import Bar, Group, draw

OURS = "Livetail"
RUNS = int(os.environ.get("LIVETAIL_BENCH_RUNS", "5"))
FOLDER = Path(os.environ.get("LIVETAIL_BENCH_FOLDER", Path(__file__).parents[2] / ".bench"))


@dataclass(frozen=True, slots=True)
class Measure:
    """A column: `title` with its unit; digits after the point; whether more is better."""

    name: str
    title: str
    digits: int = 0
    more_is_better: bool = False

    def text(self, value: float) -> str:
        """As in the table."""
        return f"{value:,.{self.digits}f}"

    def times_better(self, ours: float, theirs: float) -> float:
        """How many times better we are; below one, the peer is ahead."""
        return ours / theirs if self.more_is_better else theirs / ours


class Comparison:
    """Use as a context manager: at its end, whatever ends it, what was measured is written.

    name: of the files; title: of the picture; measures: the first is the one that is drawn.
    """

    def __init__(self, name: str, title: str, measures: Sequence[Measure]) -> None:
        self._name = name
        self._title = title
        self._measures = tuple(measures)
        self._runs: dict[str, dict[str, list[Mapping[str, float]]]] = {}
        self._notes: list[str] = []

    def add(self, case: str, who: str, values: Mapping[str, float]) -> None:
        """One run; also printed, so that somebody who waits sees something."""
        self._runs.setdefault(case, {}).setdefault(who, []).append(values)
        told = ", ".join(f"{each.title} {each.text(values[each.name])}" for each in self._measures)
        print(f"{case} · {who}: {told}", flush=True)
        self._save()

    def note(self, text: str) -> None:
        """Say below the table, for instance why a peer is missing."""
        if text not in self._notes:
            self._notes.append(text)
            print(text, flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runs:
            self._save()
            print(f"\n{self.table()}\n{FOLDER / self._name}.md, .json, .svg", flush=True)

    def _save(self) -> None:
        """Put `<name>.md`, `.json` and `.svg` into the folder `.bench`, with all that was measured so far."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / f"{self._name}.md").write_text(self.table())
        (FOLDER / f"{self._name}.json").write_text(json.dumps(self._facts(), indent=1) + "\n")
        (FOLDER / f"{self._name}.svg").write_text(self._picture())

    def table(self) -> str:
        """Markdown. Beside a peer's figure stands how many times better ours is in it."""
        rows = [
            ["", "", *(each.title for each in self._measures)],
            ["---", "---", *("---:" for _ in self._measures)],
        ]
        for case in self._runs:
            medians = self._medians(case)
            for at, (who, values) in enumerate(medians.items()):
                cells = [self._cell(each, values, medians.get(OURS)) for each in self._measures]
                rows.append(["" if at else case, who, *cells])
        return "\n".join([*(f"| {' | '.join(row)} |" for row in rows), "", *self._notes]).rstrip() + "\n"

    def _cell(self, measure: Measure, values: Mapping[str, float], ours: Mapping[str, float] | None) -> str:
        text = measure.text(values[measure.name])
        if ours is None or ours is values or not values[measure.name] or not ours[measure.name]:
            return text
        return f"{text} ({measure.times_better(ours[measure.name], values[measure.name]):.1f}×)"

    def _medians(self, case: str) -> dict[str, dict[str, float]]:
        return {
            who: {each.name: statistics.median(run[each.name] for run in runs) for each in self._measures}
            for who, runs in self._runs[case].items()
        }

    def _facts(self) -> dict[str, object]:
        return {
            "title": self._title,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
            "runs": self._runs,
            "medians": {case: self._medians(case) for case in self._runs},
            "notes": self._notes,
        }

    def _picture(self) -> str:
        [drawn, *_] = self._measures
        groups = [
            Group(
                case,
                [
                    Bar(who, values[drawn.name], drawn.text(values[drawn.name]), who == OURS)
                    for who, values in self._medians(case).items()
                ],
            )
            for case in self._runs
        ]
        return draw(f"{self._title}: {drawn.title}", groups)
