"""Where to start, and what means that changes were lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc.errors import PositionLost
from cdc.event import Position
from cdc.postgres.facts import Slot
from cdc.postgres.slot import lsn, start_at
from cdc.postgres.target import Target
from support.postgres_facts import SERVER

TARGET = Target("p", "db", "postgresql://u:hunter2@h:1/d", True, "pub", "the_slot", {("public", "t"): "t"})
SLOT = Slot(
    plugin="pgoutput",
    database="d",
    active_pid=None,
    confirmed=500,
    lag=0,
    wal_status="reserved",
    safe=None,
    invalid=None,
)


def test_a_new_log_without_slot_needs_one() -> None:
    assert start_at(TARGET, SERVER, "1", None, None) is None


def test_a_new_log_takes_over_a_slot_unless_it_is_invalid() -> None:
    assert start_at(TARGET, SERVER, "1", SLOT, None) == 500
    assert start_at(TARGET, SERVER, "1", replace(SLOT, invalid="wal_removed"), None) is None


@pytest.mark.parametrize("order", [500, 501, 1000])
def test_a_log_goes_on_from_its_own_position(order: int) -> None:
    assert start_at(TARGET, SERVER, "1", SLOT, Position("1", order)) == order


@pytest.mark.parametrize(
    ("slot", "after", "words"),
    [
        (None, Position("1", 600), "the_slot vanished, the event log ends at 0/258"),
        (replace(SLOT, invalid="wal_removed"), Position("1", 600), "is invalid: wal_removed"),
        (SLOT, Position("1", 499), "was moved to 0/1F4, beyond"),
        (SLOT, Position("2", 600), "another cluster"),
        (SLOT, Position("1", 1001), "restored from a backup or failed over"),
    ],
)
def test_lost(slot: Slot | None, after: Position, words: str) -> None:
    with pytest.raises(PositionLost) as caught:
        start_at(TARGET, SERVER, "1", slot, after)
    assert words in str(caught.value)
    assert "--reset-position" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_lsn_as_postgres_writes_it() -> None:
    assert lsn(0x16_B374D848) == "16/B374D848"
    assert lsn(0) == "0/0"
