"""How a tailer's way through a backlog is told."""

from __future__ import annotations

from cdc.catching_up import CatchingUp, duration
from cdc.health import SourceHealth, State


def test_how_far_how_fast_and_how_long() -> None:
    catching_up, health = CatchingUp(), SourceHealth(State.STREAMING)
    other = SourceHealth(State.STREAMING, lag=0.5)
    sources = {"pg": health, "other": other}
    health.lag, health.events = 300.0, 1_000
    assert catching_up.look(sources, 1_000.0) == {"pg": "5 min behind"}
    health.lag, health.events = 250.0, 51_000
    assert catching_up.look(sources, 1_001.0) == {"pg": "4 min 10 s behind, 50,000 events/s, 5 s to go"}
    health.lag, health.events = 260.0, 51_000
    assert catching_up.look(sources, 1_020.0) == {"pg": "4 min 20 s behind"}
    health.lag = 1.0
    assert catching_up.look(sources, 1_021.0) == {"pg": ""}
    assert catching_up.look(sources, 1_022.0) == {}


def test_one_that_falls_further_behind_has_no_end() -> None:
    catching_up, health = CatchingUp(), SourceHealth(State.STREAMING, lag=10.0)
    catching_up.look({"pg": health}, 1.0)
    health.lag, health.events = 12.0, 300
    assert catching_up.look({"pg": health}, 4.0) == {"pg": "12 s behind, 100 events/s"}


def test_one_that_lost_its_database_begins_anew() -> None:
    catching_up, health = CatchingUp(), SourceHealth(State.STREAMING, lag=60.0)
    assert catching_up.look({"pg": health}, 1.0) == {"pg": "1 min behind"}
    health.state = State.RETRYING
    assert catching_up.look({"pg": health}, 2.0) == {}
    health.state = State.STREAMING
    assert catching_up.look({"pg": health}, 3.0) == {"pg": "1 min behind"}


def test_durations() -> None:
    told = [duration(seconds) for seconds in (0.4, 59.4, 60, 3_599, 3_600, 5_400, 86_400, 200_000)]
    assert told == ["0 s", "59 s", "1 min", "59 min 59 s", "1 h", "1 h 30 min", "1 d", "2 d 7 h"]
