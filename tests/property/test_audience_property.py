"""Whoever is told together with others is told what he would be told alone: exactly what happened, in order."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from support.hub_world import Client, World
from support.story import Story
from support.wire import WiredOutbox

MENU: tuple[dict[str, Any], ...] = (
    {"q": {}},
    {"q": {"n": {"$gt": 5}}},
    {"q": {}, "r": {"n": {"$gt": 5}}},
    {"q": {}, "again": {}},
)


class _Listener:
    """A client, from where it came on."""

    def __init__(self, story: Story, dice: random.Random) -> None:
        self.wheres = dice.choice(MENU)
        self.place = story.places[-1]
        self.outbox = WiredOutbox(story.world.tick, limit=dice.choice((1 << 20, 4_000)))
        self.client: Client = story.resume(
            self.place, self.wheres, outbox=self.outbox, coalesces=dice.random() < 0.3
        )


async def _play(seed: int) -> int:
    """Returns how many connections were told together in the end."""
    dice = random.Random(seed)
    async with World() as world:
        story = Story(world, dice)
        await story.transaction()
        await world.feed.reach(world.feed.epoch, story.places[-1])
        listeners = [_Listener(story, dice) for _ in range(dice.randrange(2, 12))]
        gone: list[_Listener] = []
        for _ in range(dice.randrange(1, 40)):
            one = dice.choice(listeners)
            match dice.randrange(8):
                case 0:
                    one.client.connection.progress()
                case 1:
                    one.outbox.wire.stalled = True
                case 2:
                    one.outbox.wire.stalled = False
                    one.outbox.wire.read()
                case 3 if len(listeners) > 2:
                    listeners.remove(one)
                    gone.append(one)
                    one.client.close()
                case 4:
                    await world.feed.reach(world.feed.epoch, story.places[-1])
                    listeners.append(_Listener(story, dice))
                case _:
                    await story.transaction()
            for _ in range(dice.choice((0, 0, 1, 20))):
                await asyncio.sleep(0)
        for listener in [listener for listener in listeners if listener.outbox.evicted]:
            listeners.remove(listener)
            gone.append(listener)
            listener.client.close()
        for listener in listeners:
            listener.outbox.wire.stalled = False
            listener.outbox.wire.read()
        last = story.places[-1]

        def at_rest() -> bool:
            return world.feed.place >= last and all(
                subscription.phase.name == "LIVE" and subscription.deferred is None
                for listener in listeners
                for subscription in listener.client.connection.subscriptions.values()
            )

        async with asyncio.timeout(20):
            while not at_rest():
                await asyncio.sleep(0.001)
        await asyncio.sleep(0)
        for listener in listeners:
            story.check(listener.client, listener.place, listener.wheres, ended=True)
        for listener in gone:
            story.check(listener.client, listener.place, listener.wheres, ended=False)
        queries = world.feed.queries
        together = sum(query.subscribers - len(query.subscriptions) for query in queries)
        assert sum(query.subscribers for query in queries) == sum(len(one.wheres) for one in listeners)
        for listener in listeners:
            listener.client.close()
        assert not world.feed.queries
        return together


@given(st.integers(min_value=0))
@settings(max_examples=60)
def test_everybody_gets_exactly_what_happened(seed: int) -> None:
    asyncio.run(_play(seed))


def test_most_are_told_together() -> None:
    """So that the property above is about what it says."""
    assert sum(asyncio.run(_play(seed)) > 0 for seed in range(10)) > 5
