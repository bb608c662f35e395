"""A source that does as told, step by step: batches, failures, pauses. What was confirmed can be looked at."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from cdc.event import Batch, Position

EPOCH = "scripted"


@dataclass(slots=True)
class Fail:
    """`take` raises this."""

    error: BaseException


@dataclass(slots=True)
class Refuse:
    """The next `open` raises this."""

    error: BaseException


@dataclass(slots=True)
class Pause:
    """`take` waits until `go` is set; `reached` tells that it got here."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    reached: asyncio.Event = field(default_factory=asyncio.Event)


Step: TypeAlias = Batch | Fail | Refuse | Pause


def position(order: int) -> Position:
    """A position of a scripted source."""
    return Position(EPOCH, order)


def batch(order: int | None, *names: str, ts_ms: int = 1_000) -> Batch:
    """A batch that ends at `order`, with one insert into collection `todos` per name."""
    envelope = b'{"before":null,"after":{"id":"%s"},"source":{"ts_ms":1},"op":"c","ts_ms":2}'
    records = [("todos", b'{"id":"%s"}' % name.encode(), envelope % name.encode()) for name in names]
    return Batch(list(records), None if order is None else position(order), ts_ms)


class ScriptedSource:
    """Plays `steps`, then waits for ever. As a real source it skips, after a new `open`, what `after` covers, and plays
    again what lies beyond it: the batches are the database's log, the other steps happen once."""

    def __init__(self, steps: Iterable[Step]) -> None:
        self._log = list(steps)
        self.opened: list[Position | None] = []
        self.confirmed: list[Position] = []
        self.resets = 0
        self.open_streams = 0
        self.idle = asyncio.Event()
        self._spent: set[int] = set()

    async def open(self, after: Position | None) -> ScriptedStream:
        self.opened.append(after)
        for index, step in enumerate(self._log):
            if isinstance(step, Refuse) and index not in self._spent:
                self._spent.add(index)
                raise step.error
        self.open_streams += 1
        return ScriptedStream(self, self._after(after))

    async def reset(self) -> None:
        self.resets += 1

    def spend(self, index: int) -> bool:
        """Whether a step that happens once is still to happen; from now on it is not."""
        fresh = index not in self._spent
        self._spent.add(index)
        return fresh

    def _after(self, after: Position | None) -> deque[tuple[int, Step]]:
        """The steps that follow `after`. Parts belong to the next batch with a position."""
        steps = list(enumerate(self._log))
        if after is None:
            return deque(steps)
        covered = [
            index
            for index, step in steps
            if isinstance(step, Batch) and step.position is not None and step.position.order <= after.order
        ]
        last = covered[-1] if covered else -1
        return deque((index, step) for index, step in steps if index > last or not isinstance(step, Batch))


class ScriptedStream:
    """One reading of the script."""

    def __init__(self, source: ScriptedSource, steps: deque[tuple[int, Step]]) -> None:
        self._source = source
        self._steps = steps

    async def take(self) -> Batch:
        while self._steps:
            index, step = self._steps.popleft()
            if isinstance(step, Batch):
                return step
            if isinstance(step, Refuse) or not self._source.spend(index):
                continue
            if isinstance(step, Fail):
                raise step.error
            step.reached.set()
            await step.go.wait()
        self._source.idle.set()
        return await asyncio.get_running_loop().create_future()

    def confirm(self, position: Position) -> None:
        self._source.confirmed.append(position)

    async def close(self) -> None:
        self._source.open_streams -= 1
