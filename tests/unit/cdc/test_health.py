"""Health: what is news, when a source is ready, what /readyz says."""

from __future__ import annotations

from cdc.health import Health, SourceHealth, State


def test_a_new_source_is_starting_and_not_ready() -> None:
    health = Health(ready_lag=10)
    source = health.source("sql-postgres")
    assert health.source("sql-postgres") is source
    assert source.state is State.STARTING
    assert not health.ready(now=0)


def test_streaming_and_near_is_ready() -> None:
    health = Health(ready_lag=10)
    source = health.source("a")
    source.enter(State.STREAMING)
    assert health.ready(now=100)
    source.lag = 10
    assert not health.ready(now=100)


def test_every_source_must_be_ready() -> None:
    health = Health(ready_lag=10)
    health.source("a").enter(State.STREAMING)
    health.source("b").enter(State.RETRYING, "down")
    assert not health.ready(now=0)


def test_lag_grows_while_an_append_hangs() -> None:
    source = SourceHealth(state=State.STREAMING, lag=1, appending_since=100)
    assert source.lag_at(105) == 6
    assert source.lag_at(99) == 1, "a clock set back is no negative lag"


def test_only_a_change_is_news() -> None:
    source = SourceHealth()
    assert source.enter(State.CONNECTING)
    assert source.enter(State.RETRYING, "down")
    assert not source.enter(State.RETRYING, "down")
    assert source.enter(State.RETRYING, "wrong password")
    assert source.enter(State.STREAMING)
    assert not source.enter(State.STREAMING)


def test_connecting_again_keeps_the_reason_until_it_is_over() -> None:
    source = SourceHealth()
    source.enter(State.RETRYING, "down")
    assert not source.enter(State.CONNECTING)
    assert (source.state, source.reason) == (State.RETRYING, "down")


def test_a_failure_ends_the_growing_lag() -> None:
    source = SourceHealth(state=State.STREAMING, appending_since=100)
    source.enter(State.RETRYING, "log full")
    assert source.lag_at(200) == 0


def test_report() -> None:
    health = Health(ready_lag=10)
    health.source("a").enter(State.STREAMING)
    health.source("a").lag = 0.0123
    health.source("b").enter(State.FAILED, "slot vanished")
    assert health.report(now=0) == {
        "ready": False,
        "databases": {
            "a": {"state": "streaming", "ready": True, "lagSeconds": 0.012},
            "b": {"state": "failed", "ready": False, "lagSeconds": 0.0, "reason": "slot vanished"},
        },
    }
