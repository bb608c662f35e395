"""How far tailers are with what happened while they were away. (pure: the time is an argument)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cdc.health import SourceHealth, State

BEHIND_S: Final = 5.0
"""What is less behind is not told."""
_EARLIER_S: Final = 10.0  # the pace is that of the last so many seconds
_SAMPLES: Final = 16


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    lag: float
    events: int


class CatchingUp:
    """Remembers, per source, how things stood at the last looks."""

    def __init__(self) -> None:
        self._samples: dict[str, list[_Sample]] = {}

    def look(self, sources: Mapping[str, SourceHealth], now: float) -> dict[str, str]:
        """By alias, of those that are behind: how far, at which pace, and how long it will take. An empty text is
        told once, of one that was behind and has caught up. now: Unix s."""
        told: dict[str, str] = {}
        for alias, health in sources.items():
            samples = self._samples.setdefault(alias, [])
            if health.state is not State.STREAMING:
                samples.clear()
                continue
            lag = health.lag_at(now)
            if lag < BEHIND_S:
                if samples:
                    told[alias] = ""
                samples.clear()
                continue
            samples.append(_Sample(now, lag, health.events))
            del samples[:-_SAMPLES]
            told[alias] = _told(samples)
        return told


def _told(samples: list[_Sample]) -> str:
    last = samples[-1]
    first = next(each for each in samples if each.at >= last.at - _EARLIER_S)
    text = f"{duration(last.lag)} behind"
    seconds = last.at - first.at
    if seconds <= 0:
        return text
    text += f", {(last.events - first.events) / seconds:,.0f} events/s"
    pace = (first.lag - last.lag) / seconds
    return f"{text}, {duration(last.lag / pace)} to go" if pace > 0 else text


def duration(seconds: float) -> str:
    """In the two largest units."""
    whole = round(seconds)
    for size, unit, smaller in ((86_400, "d", "h"), (3_600, "h", "min"), (60, "min", "s")):
        if whole >= size:
            rest = whole % size * {"h": 24, "min": 60, "s": 60}[smaller] // size
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"
