"""Runs a source's pipeline into a log beside a test, and hands out what arrived, decoded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from cdc.event import Position, Reset
from cdc.health import SourceHealth
from cdc.log import EventLog
from cdc.metrics import DatabaseMetrics, Metrics
from cdc.pipeline import Pipeline
from cdc.snapshot.snapshots import Snapshots
from cdc.tailer import Source
from support.memory_log import MemoryLog

PATIENCE_S = 60


@dataclass(frozen=True)
class Event:
    """One change event, decoded. `value` is the envelope."""

    offset: int
    collection: str
    key: Any
    value: dict[str, Any]

    @property
    def op(self) -> str:
        return str(self.value["op"])

    @property
    def before(self) -> Any:
        return self.value["before"]

    @property
    def after(self) -> Any:
        return self.value["after"]

    @property
    def transaction(self) -> dict[str, Any]:
        return dict(self.value["transaction"])

    @property
    def change(self) -> tuple[str, Any, Any]:
        """(op, before, after)"""
        return self.op, self.before, self.after


@dataclass
class Tail:
    """What has been read of a log so far. key_field: the name of the key's field, which is called `id` in here."""

    log: EventLog
    health: SourceHealth = field(default_factory=SourceHealth)
    metrics: Metrics = field(default_factory=lambda: Metrics(CollectorRegistry()))
    events: list[Event] = field(default_factory=list)
    resets: list[Reset] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    key_field: str = "id"
    _end: int | None = None

    @asynccontextmanager
    async def running(
        self, make: Callable[[DatabaseMetrics], Source], snapshots: Snapshots | None = None, **options: Any
    ) -> AsyncIterator[asyncio.Task[None]]:
        """A pipeline of a fresh source into the log, cancelled at the end; await it to see it fail. options: the
        pipeline's."""
        metrics = self.metrics.database("db")
        pipeline = Pipeline(
            "db", make(metrics), self.log, self.health, metrics, snapshots=snapshots, **options
        )
        task = asyncio.create_task(pipeline.run())
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def until(self, enough: Callable[[Tail], bool]) -> None:
        """Read on until `enough`; fails after a minute, saying how far it came."""
        if self._end is None:
            state = await self.log.state()
            self._end = state.oldest if state else 0
        reader = await self.log.reader(self._end)
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not enough(self):
                    await self._read(reader.read)
        except TimeoutError:
            raise AssertionError(
                f"still waiting after {len(self.events)} events, {self.resets}, health {self.health}; last: "
                f"{self.events[-3:]}"
            ) from None
        finally:
            await reader.close()

    async def count(self, number: int) -> list[Event]:
        """Wait for so many events in all and return them."""
        await self.until(lambda tail: len(tail.events) >= number)
        return self.events

    async def key(self, collection: str, key: Any) -> list[Event]:
        """Wait for an event of this key and return all that came before it."""
        await self.until(lambda tail: any(e.collection == collection and e.key == key for e in tail.events))
        found = next(i for i, e in enumerate(self.events) if e.collection == collection and e.key == key)
        return self.events[:found]

    async def _read(self, read: Callable[[], Awaitable[Any]]) -> None:
        for chunk in await read():
            self._end = chunk.end
            self.resets += chunk.resets
            if chunk.position is not None:
                self.positions.append(chunk.position)
            for offset, collection, key, value in chunk.entries:
                assert value is not None
                event = json.loads(value)
                for image in ("before", "after"):
                    event[image] = self._as_id(event[image])
                self.events.append(Event(offset, collection, self._as_id(json.loads(key)), event))

    def _as_id(self, row: dict[str, Any] | None) -> dict[str, Any] | None:
        """The row with its key's field called `id`."""
        if row is None or self.key_field not in row:
            return row
        return {"id" if name == self.key_field else name: value for name, value in row.items()}


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so; for what nobody announces. Fails after a minute."""
    async with asyncio.timeout(PATIENCE_S):
        while not await check():
            await asyncio.sleep(0.02)


def new_tail(key_field: str = "id") -> Tail:
    """A tail into a fresh log in memory."""
    return Tail(MemoryLog(), key_field=key_field)
