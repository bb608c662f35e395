"""How each source of a tailer stands, and whether the tailer is ready. (pure: the time is an argument)"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """What a source's pipeline is doing."""

    STARTING = "starting"
    CONNECTING = "connecting"
    STREAMING = "streaming"
    RETRYING = "retrying"
    FAILED = "failed"


@dataclass(slots=True)
class SourceHealth:
    """One source. `lag` is that of the last batch (s, commit to log), `events` are all so far; `appending_since` is set
    while a batch is on its way into the log (Unix s), since then the lag grows with the time."""

    state: State = State.STARTING
    reason: str = ""
    lag: float = 0.0
    events: int = 0
    appending_since: float | None = None

    def enter(self, state: State, reason: str = "") -> bool:
        """Go to a state; True if that is news. Connecting while retrying is none: the reason stands till it is over."""
        if state is State.CONNECTING and self.state is State.RETRYING:
            return False
        news = (state, reason) != (self.state, self.reason)
        self.state, self.reason = state, reason
        self.appending_since = None
        return news

    def lag_at(self, now: float) -> float:
        """Seconds that the log is behind the database at `now` (Unix s)."""
        return self.lag if self.appending_since is None else self.lag + max(0.0, now - self.appending_since)

    def ready(self, now: float, ready_lag: float) -> bool:
        """Whether it streams and is not too far behind."""
        return self.state is State.STREAMING and self.lag_at(now) < ready_lag


@dataclass(slots=True)
class Health:
    """All sources of one tailer by alias; `ready_lag` in seconds."""

    ready_lag: float
    sources: dict[str, SourceHealth] = field(default_factory=dict)

    def source(self, alias: str) -> SourceHealth:
        """The health of this source, made on first use."""
        return self.sources.setdefault(alias, SourceHealth())

    def ready(self, now: float) -> bool:
        """Whether every source is."""
        return all(source.ready(now, self.ready_lag) for source in self.sources.values())

    def report(self, now: float) -> dict[str, Any]:
        """What `/readyz` says."""
        return {
            "ready": self.ready(now),
            "databases": {
                alias: {
                    "state": source.state.value,
                    "ready": source.ready(now, self.ready_lag),
                    "lagSeconds": round(source.lag_at(now), 3),
                    **({"reason": source.reason} if source.reason else {}),
                }
                for alias, source in self.sources.items()
            },
        }
