"""What takes long is told, to a terminal or to the log."""

from __future__ import annotations

import asyncio
import io
import logging

import pytest

from cdc import progress
from cdc.health import Health, SourceHealth, State
from cdc.log_output import Terminal
from cdc.snapshot.snapshots import Snapshots


class Reading(Snapshots):
    """One that is reading, so far."""

    def __init__(self) -> None:
        self.at: tuple[str, int] | None = ("todos", 120_000)

    @property
    def current(self) -> tuple[str, int] | None:
        return self.at


async def tell(health: Health, snapshots: Reading, looks: int) -> None:
    """Look so often; before the last look all is done."""
    left = looks

    async def next_look(_: float) -> None:
        nonlocal left
        if not left:
            raise asyncio.CancelledError
        left -= 1
        if not left:
            health.sources["pg"].lag, snapshots.at = 0.0, None

    with pytest.raises(asyncio.CancelledError):
        await progress.tell_progress(health, {"pg": snapshots}, next_look)


@pytest.fixture
def health() -> Health:
    return Health(30.0, {"pg": SourceHealth(State.STREAMING, lag=90.0)})


async def test_in_the_log_now_and_then(caplog: pytest.LogCaptureFixture, health: Health) -> None:
    caplog.set_level(logging.INFO)
    await tell(health, Reading(), looks=4)
    assert [record.getMessage() for record in caplog.records] == [
        "pg: 1 min 30 s behind",
        "pg todos: 120,000 rows read so far",
        "pg: has caught up",
    ]


async def test_on_a_terminal_in_a_line_that_changes(monkeypatch: pytest.MonkeyPatch, health: Health) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(progress, "terminal", lambda: Terminal(stream))
    await tell(health, Reading(), looks=2)
    assert stream.getvalue() == "\r\x1b[2Kpg: 1 min 30 s behind; pg todos: 120,000 rows read so far\r\x1b[2K"
