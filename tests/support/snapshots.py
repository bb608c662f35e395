"""Follows a log that has snapshots of its collections in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from cdc.snapshot.reader import ChunkRead, ChunkReader
from support.tail import Event, Tail, eventually


class Follower:
    """Applies events by key, and fails where one contradicts what it has: a row that was read is never older."""

    def __init__(self) -> None:
        self.rows: dict[Any, Any] = {}
        self.gone: set[Any] = set()
        self.read = 0

    def apply(self, event: Event) -> None:
        if event.op == "t":
            self.gone |= self.rows.keys()
            self.rows.clear()
            return
        key = tuple(event.key.values())
        known = self.rows.pop(key, None)
        if event.op == "r":
            self.read += 1
            assert event.value["transaction"] is None
            assert key not in self.gone, f"{event} came back"
            assert known in (None, event.after), event
        elif known is not None:
            assert event.before == known, event
        if event.op == "d":
            self.gone.add(key)
        else:
            self.gone.discard(key)
            self.rows[key] = event.after


def followed(tail: Tail, collection: str = "items") -> Follower:
    follower = Follower()
    for event in tail.events:
        if event.collection == collection:
            follower.apply(event)
    return follower


def reading(tail: Tail, collection: str = "items") -> dict[str, Any]:
    """What the newest position says of the collection."""
    return dict(tail.positions[-1].state.get("snapshots", {}).get(collection, {})) if tail.positions else {}


def is_read(tail: Tail) -> bool:
    return bool(reading(tail).get("done"))


def assert_read_whole(tail: Tail, documents: list[Any]) -> None:
    """A follower of `items` ends with these, in the order of their keys, and most of them were read, not streamed."""
    follower = followed(tail)
    assert list(map(follower.rows.get, sorted(follower.rows))) == documents
    assert follower.read > 500
    assert reading(tail)["rows"] == follower.read


class Gate:
    """Makes readers whose third chunk and all that follow wait until `open` is set."""

    def __init__(self, make: Callable[[], ChunkReader]) -> None:
        self.open = asyncio.Event()
        self._make = make
        self._reads = 0

    def __call__(self) -> ChunkReader:
        reader = self._make()
        read = reader.read

        async def gated(collection: str, after: Any, max_bytes: int) -> ChunkRead:
            self._reads += 1
            if self._reads > 2:
                await self.open.wait()
            return await read(collection, after, max_bytes)

        reader.read = gated  # type: ignore[method-assign]
        return reader


async def read_anew(tail: Tail, task: asyncio.Task[None]) -> Tail:
    """Wait until the log was begun anew and `items` read into it; what is in it then. task: the pipeline's."""
    before = await tail.log.state()
    assert before is not None

    async def has_begun_anew() -> bool:
        assert not task.done(), task.exception()
        state = await tail.log.state()
        return state is not None and state.epoch != before.epoch

    await eventually(has_begun_anew)
    again = Tail(tail.log, key_field=tail.key_field)
    await again.until(is_read)
    return again
