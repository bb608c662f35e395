"""How a source and its event log stand, told to people as a table and to programs as JSON. (pure)"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cdc.log import LogState
from cdc.snapshot.progress import readings_of


@dataclass(frozen=True, slots=True)
class Fact:
    """label and text (lines of it) are for people, `values` for programs: JSON types, with units in their names.
    ok: nothing here needs to be mended."""

    label: str
    text: str
    values: Mapping[str, Any]
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """What could be learned about one thing; error: why no more than that could."""

    facts: tuple[Fact, ...] = ()
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it could be asked, and all is well."""
        return self.error is None and all(fact.ok for fact in self.facts)

    def as_json(self) -> dict[str, Any]:
        """The values of all facts, and whether all is well."""
        told: dict[str, Any] = {"ok": self.ok}
        for fact in self.facts:
            told |= fact.values
        return told if self.error is None else {**told, "error": self.error}


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """One database of the configuration: its type, its event log and itself."""

    alias: str
    type: str
    log: Part
    source: Part

    @property
    def ok(self) -> bool:
        """Whether nothing needs to be mended."""
        return self.log.ok and self.source.ok


def log_facts(state: LogState | None, place: str | None, now: float) -> tuple[Fact, ...]:
    """About an event log. place: its position as the database writes it; now: Unix seconds."""
    if state is None:
        return (
            Fact(
                "log", "never written: start `livetail dev` or `livetail cdc`", {"written": False}, ok=False
            ),
        )
    kept = {"oldest": state.oldest + 1, "newest": state.newest, "bytes": state.size, "epoch": state.epoch}
    offsets = f"offsets {state.oldest + 1} to {state.newest}" if state.newest > state.oldest else "no events"
    log = Fact("log", f"{offsets}, {bytes_text(state.size)} (epoch {state.epoch})", {"written": True, **kept})
    if state.position is None or place is None:
        return log, Fact("position", "none yet", {"position": None})
    age = max(0.0, now - state.ts_ms / 1000) if state.ts_ms else None
    text = place if age is None else f"{place}, as of {seconds_text(age)} ago"
    position = Fact(
        "position", text, {"position": place, "positionAgeSeconds": None if age is None else round(age, 3)}
    )
    readings = readings_of(state.position)
    if not readings:
        return log, position
    lines = [
        f"{name}: {each.rows} rows{', all of them' if each.done else ' so far'}"
        for name, each in readings.items()
    ]
    values = {name: {"rows": each.rows, "done": each.done} for name, each in readings.items()}
    return log, position, Fact("snapshots", "\n".join(lines), {"snapshots": values})


def as_json(project: str, databases: Sequence[DatabaseStatus]) -> dict[str, Any]:
    """The report for programs."""
    return {
        "project": project,
        "ok": all(database.ok for database in databases),
        "databases": {
            database.alias: {
                "type": database.type,
                "ok": database.ok,
                "log": database.log.as_json(),
                "source": database.source.as_json(),
            }
            for database in databases
        },
    }


def as_table(databases: Sequence[DatabaseStatus]) -> list[tuple[str, bool]]:
    """The report for people: lines, and whether what a line tells is well."""
    lines: list[tuple[str, bool]] = []
    labels = [fact.label for each in databases for part in (each.log, each.source) for fact in part.facts]
    width = max(map(len, [*labels, "database"]))
    for database in databases:
        lines.append((f"{database.alias}:", True))
        for part, name in ((database.log, "log"), (database.source, "database")):
            told = [(fact.label, fact.text, fact.ok) for fact in part.facts]
            told += [(name, part.error, False)] if part.error is not None else []
            for label, text, ok in told:
                first, *more = text.splitlines()
                lines.append((f"  {label:<{width}}  {first}", ok))
                lines += [(f"  {'':<{width}}  {line}", ok) for line in more]
    return lines


def bytes_text(count: int) -> str:
    """`512 B`, `1.5 GiB`."""
    size, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        del units[0]
    return f"{size:.0f} {units[0]}" if units[0] == "B" else f"{size:.1f} {units[0]}"


def seconds_text(seconds: float) -> str:
    """`0.4 s`, `12 min`, `3.5 h`, `12 days`."""
    for unit, length, until in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds / 86_400:.1f} days"
