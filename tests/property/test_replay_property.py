"""Whatever comes together in a replay, every client gets exactly what it missed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from broadcaster.outbox import Tick
from broadcaster.replay import Replays
from cdc.errors import LogError
from cdc.event import Chunk
from support.hub_world import Client, World
from support.story import WHERES, Story


class _Slow:
    """An outbox that stands full now and then, and lets the replay wait for a while."""

    is_chunked = False

    def __init__(self, tick: Tick, dice: random.Random, share: float) -> None:
        self.tick = tick
        self.transport = self
        self.sent = b""
        self.is_closed = False
        self._dice = dice
        self._share = share

    @property
    def unsent(self) -> int:
        return 1 << 20 if self._dice.random() < self._share else 0

    @property
    def is_idle(self) -> bool:
        return not self.unsent and not self.is_closed

    def send(self, payload: bytes, *, asked: bool = False) -> None:
        self.sent += payload

    def write(self, payload: bytes) -> None:
        self.sent += payload

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def is_closing(self) -> bool:
        return self.is_closed

    def check(self) -> None:
        pass

    def flush(self) -> None:
        pass

    async def drain(self) -> None:
        for _ in range(self._dice.randrange(20)):
            await asyncio.sleep(0)

    def close(self) -> None:
        self.is_closed = True


class _Portioned:
    """A reader that gives few chunks at a time, some of them larger, and fails now and then."""

    def __init__(self, reader: Any, dice: random.Random, failing: float) -> None:
        self._reader = reader
        self._dice = dice
        self._failing = failing
        self._left: list[Chunk] = []

    @property
    def epoch(self) -> str:
        return str(self._reader.epoch)

    async def read(self) -> list[Chunk]:
        await asyncio.sleep(0)
        if self._dice.random() < self._failing:
            raise LogError("planted")
        self._left = self._left or await self._reader.read()
        count = self._dice.randrange(1, 4)
        given, self._left = self._left[:count], self._left[count:]
        while len(given) > 1 and self._dice.random() < 0.4:
            one, other, *rest = given
            if one.resets or other.resets:
                break
            given = [replace(other, entries=[*one.entries, *other.entries]), *rest]
        return given

    async def close(self) -> None:
        await self._reader.close()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


def _some(dice: random.Random) -> Iterator[tuple[str, Any]]:
    for index in range(dice.randrange(1, 4)):
        yield f"q{index}", dice.choice(WHERES)


async def _play(seed: int, failing: float, keep_bytes: int | None) -> None:
    dice = random.Random(seed)
    async with World() as world:
        world.hub._replays["pg"] = Replays(world.feed, 1 << 30)
        world.log._keep_bytes = keep_bytes
        plain = world.log.reader

        async def portioned(after: Any, collections: Any, *, follows: bool = False) -> Any:
            reader = await plain(after, collections)
            return reader if follows else _Portioned(reader, dice, failing)

        world.log.reader = portioned  # type: ignore[method-assign]
        story = Story(world, dice)
        for _ in range(dice.randrange(1, 60)):
            await story.transaction()
        await world.feed.reach(world.feed.epoch, story.places[-1])
        clients: list[tuple[Client, int, dict[str, Any]]] = []
        gone: list[tuple[Client, int, dict[str, Any]]] = []
        for _ in range(dice.randrange(2, 25)):
            place, wheres = dice.choice(story.places), dict(_some(dice))
            slow = dice.choice((0.0, 0.0, 0.3, 0.9))
            client = story.resume(place, wheres, outbox=_Slow(world.tick, dice, slow))
            clients.append((client, place, wheres))
            if dice.random() < 0.4:
                await story.transaction()
            for _ in range(dice.choice((0, 0, 1, 5, 40))):
                await asyncio.sleep(0)
                dice.choice(clients)[0].connection.progress()
            if len(clients) > 1 and dice.random() < 0.15:
                gone.append(clients.pop(dice.randrange(len(clients))))
                gone[-1][0].close()
        last = story.places[-1]

        def at_rest() -> bool:
            return world.feed.place >= last and all(
                subscription.phase.name == "LIVE"
                for client, _, _ in clients
                for subscription in client.connection.subscriptions.values()
            )

        await _until(at_rest)
        replays = world.hub._replays["pg"]
        await _until(lambda: replays._pass is None)
        assert not replays._waiting
        exact = [story.check(client, place, wheres, ended=True) for client, place, wheres in clients]
        for client, place, wheres in gone:
            story.check(client, place, wheres, ended=False)
        if not failing and keep_bytes is None and not story.is_broken:
            assert all(exact)
            assert world.reader.reads == 0
        for client, _, _ in clients:
            client.close()


@given(st.integers(min_value=0), st.sampled_from((0.0, 0.0, 0.02)), st.sampled_from((None, None, 4000)))
@settings(max_examples=40)
def test_every_member_gets_exactly_what_it_missed(seed: int, failing: float, keep_bytes: int | None) -> None:
    asyncio.run(_play(seed, failing, keep_bytes))
