"""One timer for all: who is told when, on asyncio's own loop and on the one that is used."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop

from broadcaster.heartbeats import Heartbeats

RUNS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
NEVER = float("inf")


class World:
    def __init__(self, seconds: float) -> None:
        self.beats: Counter[str] = Counter()
        self.expired: list[str] = []
        self.heartbeats = Heartbeats(seconds, self._beat, self._expire)  # type: ignore[arg-type]

    def add(self, name: str, expires: float = NEVER) -> Any:
        return self.heartbeats.add(name, expires)  # type: ignore[arg-type]

    def _beat(self, name: str) -> None:
        self.beats[name] += 1

    def _expire(self, name: str) -> None:
        self.expired.append(name)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.001)


def played(run: Any, seconds: float, play: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        await play(World(seconds))

    run(main())


@RUNS
def test_each_has_its_turn_again_and_again(run: Any) -> None:
    async def play(world: World) -> None:
        for number in range(50):
            world.add(str(number))
        await world.until(lambda: len(world.beats) == 50 and min(world.beats.values()) > 2)
        assert not world.expired

    played(run, 0.05, play)


@RUNS
def test_a_token_ends_once_before_the_next_heartbeat(run: Any) -> None:
    async def play(world: World) -> None:
        world.add("late", time.time() + 0.05)
        world.add("gone", time.time() - 10)
        world.add("other")
        await world.until(lambda: len(world.expired) == 2)
        assert world.expired == ["gone", "late"]
        assert not world.beats
        assert len(world.heartbeats._queue) == 1

    played(run, 1000.0, play)


@RUNS
def test_heartbeats_go_on_until_a_token_ends(run: Any) -> None:
    async def play(world: World) -> None:
        world.add("a", time.time() + 0.2)
        await world.until(lambda: bool(world.expired))
        assert world.beats["a"] > 1

    played(run, 0.03, play)


@RUNS
def test_who_was_removed_has_no_turn(run: Any) -> None:
    async def play(world: World) -> None:
        removed = world.add("removed")
        stays = world.add("stays")
        world.heartbeats.remove(removed)
        await world.until(lambda: world.beats["stays"] > 2)
        world.heartbeats.remove(stays)
        world.heartbeats.remove(stays)
        assert list(world.beats) == ["stays"]
        assert world.heartbeats._timer is None

    played(run, 0.02, play)


@RUNS
def test_what_was_removed_is_not_kept_for_long(run: Any) -> None:
    async def play(world: World) -> None:
        for number in range(1_000):
            mine = world.add(str(number))
            if number >= 10:
                world.heartbeats.remove(mine)
            assert len(world.heartbeats._queue) <= 21

    played(run, 1000.0, play)
