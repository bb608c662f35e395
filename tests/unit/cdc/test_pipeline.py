"""The pipeline on a scripted source and an in-memory log: once each, in order, whatever fails in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from cdc.errors import LogError, LogInUse, PositionLost, ProtocolError, SetupError, SourceUnavailable
from cdc.event import Batch, Position, Reset
from cdc.health import SourceHealth, State
from cdc.log import EventLog
from cdc.metrics import Metrics
from cdc.pipeline import FIRST_DELAY, LONGEST_DELAY, STABLE, STANDBY_DELAY, Pipeline
from support.clock import ManualClock
from support.memory_log import MemoryLog
from support.scripted_source import Fail, Pause, Refuse, ScriptedSource, batch, position


@dataclass
class Rig:
    """A pipeline with everything around it in the test's hand."""

    source: ScriptedSource
    log: EventLog = field(default_factory=MemoryLog)
    health: SourceHealth = field(default_factory=SourceHealth)
    clock: ManualClock = field(default_factory=lambda: ManualClock(1000.0))
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    slept: list[float] = field(default_factory=list)
    before_sleep: Callable[[], None] = lambda: None
    reset_position: bool = False
    begins_anew: bool = False

    def pipeline(self) -> Pipeline:
        return Pipeline(
            "db",
            self.source,
            self.log,
            self.health,
            Metrics(self.registry).database("db"),
            reset_position=self.reset_position,
            begins_anew=self.begins_anew,
            clock=self.clock.now,
            sleep=self._sleep,
            jitter=lambda: 1.0,
        )

    async def _sleep(self, seconds: float) -> None:
        self.before_sleep()
        self.slept.append(seconds)
        self.clock.advance(seconds)
        await asyncio.sleep(0)

    def value(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, {"db": "db", **labels})

    async def run_until_idle(self) -> None:
        async with self.running():
            await self.source.idle.wait()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.pipeline().run())
        try:
            yield task
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    async def keys(self) -> list[bytes]:
        """The keys of everything in the log."""
        state = await self.log.state()
        if state is None or state.newest == state.oldest:
            return []
        reader = await self.log.reader(state.oldest)
        keys: list[bytes] = []
        end = state.oldest
        while end < state.newest:
            for chunk in await reader.read():
                keys += [key for _, _, key, _ in chunk.entries]
                end = chunk.end
        await reader.close()
        return keys


def key(name: str) -> bytes:
    return b'{"id":"%s"}' % name.encode()


class FailingLog:
    """A log whose appends fail as told, by ordinal; the rest is the log's own."""

    def __init__(self, errors: dict[int, Exception], refuse: int = 0) -> None:
        self._log = MemoryLog()
        self._errors = errors
        self._refuse = refuse
        self.appends = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._log, name)

    async def writer(self) -> FailingWriter:
        if self._refuse:
            self._refuse -= 1
            raise LogInUse("another tailer (pid 7) writes this log")
        return FailingWriter(self, await self._log.writer())

    def error(self) -> Exception | None:
        self.appends += 1
        return self._errors.get(self.appends)


class FailingWriter:
    def __init__(self, log: FailingLog, writer: object) -> None:
        self._log = log
        self._writer = writer

    def __getattr__(self, name: str) -> object:
        return getattr(self._writer, name)

    async def append(self, batch: Batch) -> None:
        error = self._log.error()
        if error:
            raise error
        await self._writer.append(batch)  # type: ignore[attr-defined]


async def test_appends_in_order_and_confirms_what_is_durable() -> None:
    rig = Rig(ScriptedSource([batch(1, "a"), batch(2, "b", "c"), batch(3)]))
    await rig.run_until_idle()
    assert await rig.keys() == [key("a"), key("b"), key("c")]
    assert rig.source.confirmed == [position(1), position(2), position(3)]
    assert rig.source.opened == [None]
    assert rig.source.open_streams == 0


async def test_a_part_is_not_confirmed_before_its_end() -> None:
    rig = Rig(ScriptedSource([batch(None, "a"), batch(None, "b"), batch(5, "c")]))
    await rig.run_until_idle()
    assert rig.source.confirmed == [position(5)]
    assert await rig.keys() == [key("a"), key("b"), key("c")]


async def test_nothing_is_confirmed_while_the_append_hangs() -> None:
    hang = asyncio.Event()

    class Slow(FailingLog):
        def error(self) -> Exception | None:
            return None

    class SlowWriter(FailingWriter):
        async def append(self, batch: Batch) -> None:
            hang.set()
            await asyncio.get_running_loop().create_future()

    log = Slow({})
    inner = log.writer

    async def writer() -> SlowWriter:
        return SlowWriter(log, await inner())

    log.writer = writer  # type: ignore[method-assign,assignment]
    rig = Rig(ScriptedSource([batch(1, "a")]), log=log)  # type: ignore[arg-type]
    async with rig.running():
        await hang.wait()
        rig.clock.advance(7)
        assert rig.source.confirmed == []
        assert rig.health.lag_at(rig.clock.now()) == 7


async def test_after_a_lost_source_it_resumes_behind_what_is_durable() -> None:
    steps = [batch(1, "a"), Fail(SourceUnavailable("gone")), batch(2, "b")]
    rig = Rig(ScriptedSource(steps))
    await rig.run_until_idle()
    assert await rig.keys() == [key("a"), key("b")]
    assert rig.source.opened == [None, position(1)]


async def test_a_failure_inside_a_large_transaction_starts_it_over() -> None:
    steps = [batch(1, "a"), batch(None, "b"), Fail(SourceUnavailable("gone")), batch(2, "c")]
    rig = Rig(ScriptedSource(steps))
    await rig.run_until_idle()
    assert await rig.keys() == [key("a"), key("b"), key("c")]
    assert rig.source.opened == [None, position(1)]


async def test_a_failed_append_is_tried_again_from_the_logs_position() -> None:
    log = FailingLog({2: LogError("disk full: free some space under /data")})
    rig = Rig(ScriptedSource([batch(1, "a"), batch(2, "b")]), log=log)  # type: ignore[arg-type]
    await rig.run_until_idle()
    assert await rig.keys() == [key("a"), key("b")]
    assert rig.source.opened == [None, position(1)]
    assert rig.source.confirmed == [position(1), position(2)]
    assert rig.value("cdc_retries_total", reason="log") == 1


async def test_a_log_in_use_is_waited_for() -> None:
    log = FailingLog({}, refuse=3)
    rig = Rig(ScriptedSource([batch(1, "a")]), log=log)  # type: ignore[arg-type]
    await rig.run_until_idle()
    assert await rig.keys() == [key("a")]
    assert rig.slept == [STANDBY_DELAY] * 3
    assert rig.value("cdc_retries_total", reason="log_in_use") == 3


async def test_delays_grow_to_their_bound() -> None:
    rig = Rig(ScriptedSource([Refuse(SourceUnavailable("down")) for _ in range(10)]))
    await rig.run_until_idle()
    assert rig.slept == [min(LONGEST_DELAY, FIRST_DELAY * 2**n) for n in range(10)]


async def test_delays_start_over_after_a_stable_time() -> None:
    pause = Pause()
    steps = [*(Refuse(SourceUnavailable("down")) for _ in range(5)), batch(1, "a"), pause]
    rig = Rig(ScriptedSource([*steps, Fail(SourceUnavailable("gone"))]))
    async with rig.running():
        await pause.reached.wait()
        rig.clock.advance(STABLE + 1)
        pause.go.set()
        await rig.source.idle.wait()
    assert rig.slept[-1] == FIRST_DELAY


async def test_a_source_that_fails_at_once_again_is_not_stable() -> None:
    rig = Rig(ScriptedSource([Fail(SourceUnavailable("gone")) for _ in range(4)]))
    await rig.run_until_idle()
    assert rig.slept == [FIRST_DELAY * 2**n for n in range(4)]


async def test_says_so_once_per_state(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    down, password = SourceUnavailable("Postgres at h:1/d: refused"), SourceUnavailable("wrong password")
    rig = Rig(ScriptedSource([*(Refuse(down) for _ in range(5)), *(Refuse(password) for _ in range(5))]))
    await rig.run_until_idle()
    assert [record.message for record in caplog.records] == [
        "db: connecting",
        "db: Postgres at h:1/d: refused; trying again",
        "db: wrong password; trying again",
        "db: streaming",
    ]


async def test_unmet_requirements_are_tried_again() -> None:
    rig = Rig(ScriptedSource([Refuse(SetupError("wal_level is replica")), batch(1, "a")]))
    seen: list[tuple[State, str]] = []
    rig.before_sleep = lambda: seen.append((rig.health.state, rig.health.reason))
    await rig.run_until_idle()
    assert seen == [(State.RETRYING, "wal_level is replica")]
    assert rig.value("cdc_retries_total", reason="setup") == 1
    assert await rig.keys() == [key("a")]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(PositionLost("slot gone"), "position_lost"), (ProtocolError("unknown message 'Z'"), "error")],
)
async def test_what_an_operator_must_decide_stops_it(error: Exception, reason: str) -> None:
    rig = Rig(ScriptedSource([batch(1, "a"), Fail(error), batch(2, "b")]))
    with pytest.raises(type(error)):
        await rig.pipeline().run()
    assert rig.health.state is State.FAILED
    assert rig.value("cdc_stopped", reason=reason) == 1
    assert rig.health.reason == str(error)
    assert await rig.keys() == [key("a")], "the position is kept"
    assert rig.source.open_streams == 0
    assert rig.value("cdc_connected") == 0


async def test_cancelled_it_lets_go_of_source_and_log() -> None:
    rig = Rig(ScriptedSource([batch(1, "a"), Pause()]))
    pause = Pause()
    rig.source = ScriptedSource([batch(1, "a"), pause])
    async with rig.running():
        await pause.reached.wait()
    assert rig.source.open_streams == 0
    writer = await rig.log.writer()
    assert writer.position == position(1)
    await writer.close()


async def test_reset_position_begins_anew_once() -> None:
    rig = Rig(ScriptedSource([batch(1, "a")]))
    await rig.run_until_idle()
    before = await rig.log.state()
    again = Rig(
        ScriptedSource([batch(7, "x"), Fail(SourceUnavailable("gone")), batch(8, "y")]),
        log=rig.log,
        reset_position=True,
    )
    await again.run_until_idle()
    after = await again.log.state()
    assert before is not None
    assert after is not None
    assert before.epoch != after.epoch
    assert again.source.resets == 1
    assert again.source.opened == [None, position(7)]
    assert await again.keys() == [key("x"), key("y")]


async def test_a_lost_position_is_given_up_where_that_is_wanted() -> None:
    lost = Fail(PositionLost("slot gone"))
    rig = Rig(ScriptedSource([batch(1, "a"), lost, batch(2, "b")]), begins_anew=True)
    await rig.run_until_idle()
    assert rig.source.resets == 1
    assert rig.source.opened == [None, None]
    assert rig.value("cdc_retries_total", reason="position_lost") == 1


async def test_but_not_again_and_again() -> None:
    """Three times in an hour; after that an operator must choose. What is longer ago does not count."""
    again = [Fail(PositionLost(f"gone {number}")) for number in range(7)]
    rig = Rig(ScriptedSource([batch(1, "a"), *again]), begins_anew=True)
    times = iter((0, 0, 3600, 0, 0, 0))
    rig.before_sleep = lambda: rig.clock.advance(next(times))
    with pytest.raises(PositionLost, match="gone 6"):
        await rig.pipeline().run()
    assert rig.health.state is State.FAILED
    assert rig.source.resets == 6


async def test_counts_events_resets_and_lag() -> None:
    first = batch(1, "a", "b", ts_ms=999_500)
    first.records.append(
        (
            "todos",
            key("a"),
            b'{"before":{"op":1},"after":null,"source":{"a":1},"op":"d","types":{"x":"date","op":"uuid"}}',
        )
    )
    first.resets = (Reset("todos", "columns_changed"),)
    rig = Rig(ScriptedSource([first]))
    pause = Pause()
    rig.source = ScriptedSource([first, pause])
    async with rig.running():
        await pause.reached.wait()
        assert rig.value("cdc_connected") == 1
        assert rig.health.ready(rig.clock.now(), ready_lag=10)
    assert rig.value("cdc_events_total", collection="todos", op="c") == 2
    assert rig.value("cdc_events_total", collection="todos", op="d") == 1
    assert rig.value("cdc_resets_total", collection="todos") == 1
    assert rig.value("cdc_lag_seconds") == 0.5
    assert rig.value("cdc_position_timestamp_seconds") == 999.5
    assert rig.value("cdc_batch_events_sum") == 3


async def test_the_position_kept_is_the_sources_own() -> None:
    where = Position("cluster-1", 9, {"relations": {"todos": {"shape": "abc", "key": ["id"]}}})
    rig = Rig(ScriptedSource([Batch([], where, 1)]))
    await rig.run_until_idle()
    assert rig.source.confirmed == [where]
    writer = await rig.log.writer()
    assert writer.position == where
    await writer.close()
