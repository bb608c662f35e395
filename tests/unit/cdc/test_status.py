"""The report on databases and logs, as a table and as JSON."""

from __future__ import annotations

import json

import pytest

from cdc.event import Position
from cdc.log import LogState
from cdc.status import DatabaseStatus, Fact, Part, as_json, as_table, bytes_text, log_facts, seconds_text

STATE = LogState("e1", oldest=10, newest=42, position=Position("c", 7), ts_ms=990_000, size=2048)


def texts(facts: tuple[Fact, ...]) -> list[tuple[str, str]]:
    return [(fact.label, fact.text) for fact in facts]


def values(facts: tuple[Fact, ...]) -> dict[str, object]:
    return Part(facts).as_json()


def test_a_log_that_was_never_written_is_not_well() -> None:
    facts = log_facts(None, None, 0)
    assert texts(facts) == [("log", "never written: start `livetail dev` or `livetail cdc`")]
    assert values(facts) == {"ok": False, "written": False}


def test_a_log_with_events() -> None:
    facts = log_facts(STATE, "0/7", 1000)
    assert texts(facts) == [
        ("log", "offsets 11 to 42, 2.0 KiB (epoch e1)"),
        ("position", "0/7, as of 10.0 s ago"),
    ]
    assert values(facts) == {
        "ok": True,
        "written": True,
        "oldest": 11,
        "newest": 42,
        "bytes": 2048,
        "epoch": "e1",
        "position": "0/7",
        "positionAgeSeconds": 10.0,
    }


def test_snapshots_are_told_where_there_are_any() -> None:
    readings = {
        "a": {"after": ["7"], "rows": 700, "done": False},
        "b": {"after": None, "rows": 3, "done": True},
    }
    state = LogState("e1", 10, 42, Position("c", 7, {"snapshots": readings}), 990_000, 2048)
    *_, told = log_facts(state, "0/7", 1000)
    assert (told.label, told.text) == ("snapshots", "a: 700 rows so far\nb: 3 rows, all of them")
    assert told.values == {"snapshots": {"a": {"rows": 700, "done": False}, "b": {"rows": 3, "done": True}}}


def test_a_log_without_events() -> None:
    facts = log_facts(LogState("e1", 42, 42, None, 0, 0), None, 1000)
    assert texts(facts) == [("log", "no events, 0 B (epoch e1)"), ("position", "none yet")]
    known = values(facts)
    assert (known["oldest"], known["newest"], known["position"]) == (43, 42, None)


def test_the_age_is_left_out_where_no_time_is_known_and_is_never_negative() -> None:
    unknown = LogState("e1", 42, 42, Position("c", 7), 0, 0)
    assert texts(log_facts(unknown, "0/7", 1000))[1] == ("position", "0/7")
    assert values(log_facts(unknown, "0/7", 1000))["positionAgeSeconds"] is None
    assert values(log_facts(STATE, "0/7", 1))["positionAgeSeconds"] == 0


def test_what_could_be_learned_is_told_beside_what_could_not() -> None:
    log = Part((Fact("log", "here", {"written": True}), Fact("topics", "a: 1\nb: 2", {"topics": []})))
    down = DatabaseStatus("mongo", "mongo", log, Part(error="cannot be reached"))
    slot = Part((Fact("slot", "gone", {"slot": None}, ok=False),))
    broken = DatabaseStatus("pg", "postgres", Part(), slot)
    well = DatabaseStatus("my", "mysql", log, Part())
    assert (down.ok, broken.ok, well.ok) == (False, False, True)
    assert as_table([down, broken]) == [
        ("mongo:", True),
        ("  log       here", True),
        ("  topics    a: 1", True),
        ("            b: 2", True),
        ("  database  cannot be reached", False),
        ("pg:", True),
        ("  slot      gone", False),
    ]
    assert json.loads(json.dumps(as_json("p", [down, well]))) == {
        "project": "p",
        "ok": False,
        "databases": {
            "mongo": {
                "type": "mongo",
                "ok": False,
                "log": {"ok": True, "written": True, "topics": []},
                "source": {"ok": False, "error": "cannot be reached"},
            },
            "my": {
                "type": "mysql",
                "ok": True,
                "log": {"ok": True, "written": True, "topics": []},
                "source": {"ok": True},
            },
        },
    }
    assert as_json("p", [well])["ok"]


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3 << 29, "1.5 GiB"), (1 << 50, "1024.0 TiB")],
)
def test_bytes(count: int, text: str) -> None:
    assert bytes_text(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (119.94, "119.9 s"), (120, "2.0 min"), (7200, "2.0 h"), (172_800, "2.0 days")],
)
def test_seconds(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text
