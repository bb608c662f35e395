"""What is told of a Postgres: how far behind the tailer is, and how its slot stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cdc.event import Position
from cdc.postgres.facts import Slot
from cdc.postgres.status import facts_of, place
from cdc.postgres.target import Target
from cdc.status import Part
from support.postgres_facts import SERVER

TARGET = Target("p", "db", "postgresql://u:hunter2@h:1/d", True, "pub", "the_slot", {("public", "t"): "t"})
SLOT = Slot(
    plugin="pgoutput",
    database="d",
    active_pid=7,
    confirmed=500,
    lag=2048,
    wal_status="reserved",
    safe=None,
    invalid=None,
)
AFTER = Position("1", 600)


def told(
    slot: Slot | None = SLOT, after: Position | None = AFTER, server=SERVER
) -> tuple[dict[str, str], Part]:
    facts = facts_of(TARGET, server, "1", slot, after)
    assert "hunter2" not in str(facts)
    return {fact.label: fact.text for fact in facts}, Part(tuple(facts))


def test_all_is_well() -> None:
    texts, part = told()
    assert texts == {
        "database": "Postgres at h:1/d as user u",
        "behind": "400 B of WAL",
        "slot": "the_slot: read by process 7; 2.0 KiB of WAL kept for it (reserved)",
    }
    assert part.as_json() == {
        "ok": True,
        "where": "Postgres at h:1/d as user u",
        "version": 180004,
        "behindBytes": 400,
        "slot": {
            "name": "the_slot",
            "active": True,
            "confirmedLsn": "0/1F4",
            "retainedBytes": 2048,
            "walStatus": "reserved",
            "safeBytes": None,
            "invalid": None,
        },
    }


@pytest.mark.parametrize(
    ("slot", "words"),
    [
        (replace(SLOT, active_pid=None), "no tailer reads it"),
        (replace(SLOT, wal_status="unreserved", safe=-5), "(unreserved), lost after 0 B more"),
        (replace(SLOT, wal_status="lost", invalid="wal_removed"), "read by process 7; wal_removed"),
        (None, "the_slot does not exist; the tailer makes it"),
    ],
)
def test_a_slot_that_needs_somebody(slot: Slot | None, words: str) -> None:
    texts, part = told(slot, None)
    assert words in texts["slot"]
    assert not part.ok


def test_a_bounded_slot_tells_how_much_may_still_come() -> None:
    texts, part = told(replace(SLOT, wal_status="extended", safe=1 << 30))
    assert texts["slot"].endswith("kept for it (extended), lost after 1.0 GiB more")
    assert part.ok


def test_a_lost_position_is_told() -> None:
    for slot, after in ((None, AFTER), (SLOT, Position("2", 600)), (SLOT, Position("1", 499))):
        texts, part = told(slot, after)
        assert "--reset-position" in texts["lost"]
        assert not part.ok
        assert ("behind" in texts) == (after.epoch == "1")


def test_nothing_is_behind_a_standby_or_the_end() -> None:
    assert "behind" not in told(server=replace(SERVER, standby=True, insert_lsn=0), after=None)[0]
    assert told(after=Position("1", 1000))[0]["behind"] == "0 B of WAL"


def test_place() -> None:
    assert place(Position("1", (5 << 32) + 255)) == "5/FF"
