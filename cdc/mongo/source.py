"""A MongoDB as a source: connect, set up, open the change stream, and look after the images meanwhile."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from pymongo.errors import PyMongoError

from cdc import VERSION
from cdc.errors import PositionLost, SetupError
from cdc.event import Batch, Position
from cdc.mongo import setup
from cdc.mongo.assemble import Assembler
from cdc.mongo.connect import Client, cancellable, connect, describe, explain, reason
from cdc.mongo.cursor import Cursor
from cdc.mongo.decode import token_order
from cdc.mongo.requirements import splits_events
from cdc.mongo.stream import MongoStream, now_ms
from cdc.mongo.target import Target
from cdc.requirement import Requirement

WATCH_S: Final = 10.0
_AT_MOST_EVERY_S: Final = 1.0
_log = logging.getLogger(__name__)


class MongoSource:
    """A `cdc.tailer.Source`. `watch_every`: seconds between two looks at the collections."""

    def __init__(self, target: Target, *, watch_every: float = WATCH_S) -> None:
        self._target = target
        self._watch_every = watch_every
        self._warned: frozenset[str] = frozenset()

    @cancellable
    async def open(self, after: Position | None) -> Following:
        """See `cdc.tailer.Source`."""
        client = connect(self._target.conn)
        try:
            return await self._follow(client, after)
        except PyMongoError as error:
            await client.close()
            raise explain(self._target, error) from error
        except BaseException:
            await client.close()
            raise

    async def reset(self) -> None:
        """See `cdc.tailer.Source`; MongoDB keeps nothing for us."""

    async def _follow(self, client: Client, after: Position | None) -> Following:
        target = self._target
        outcome = await setup.mend(client, target)
        self._warn(outcome.missing)
        if after is not None and after.epoch != outcome.epoch:
            raise PositionLost(
                f"{target.alias} ({describe(target.conn)}): is another replica set or cluster ({outcome.epoch}) than "
                f"the one that was tailed ({after.epoch}); to begin anew, start the tailer once with --reset-position"
            )
        cursor = Cursor(client, target, split=splits_events(outcome.facts.version))
        reply = await cursor.open(None if after is None else after.state["token"])
        begin = after is None
        if after is None:
            after = Position(outcome.epoch, token_order(reply.token), {"token": reply.token})
        source = {
            "version": VERSION,
            "connector": "mongodb",
            "name": f"{target.project}.{target.alias}",
            "snapshot": "false",
            "db": target.database,
        }
        assembler = Assembler(source, after, begin=begin, sharded=outcome.facts.sharded, now_ms=now_ms())
        look = asyncio.Event()
        stream = MongoStream(client, target, cursor, assembler, look.set)
        return Following(stream, asyncio.create_task(self._look_after(client, stream, look)))

    async def _look_after(self, client: Client, stream: MongoStream, look: asyncio.Event) -> None:
        """Switch images on again for collections that were made anew, as soon as one is missed."""
        while True:
            try:
                async with asyncio.timeout(self._watch_every):
                    await look.wait()
            except TimeoutError:
                pass
            look.clear()
            try:
                self._warn((await cancellable(setup.mend)(client, self._target)).missing)
            except SetupError as error:
                stream.fail(error)
                return
            except PyMongoError as error:
                _log.debug("%s: %s", self._target.alias, reason(error))
            await asyncio.sleep(min(self._watch_every, _AT_MOST_EVERY_S))

    def _warn(self, missing: tuple[Requirement, ...]) -> None:
        """Say once what images are missing."""
        for requirement in missing:
            if requirement.name not in self._warned:
                _log.warning(
                    "%s: %s %s: %s", self._target.alias, requirement.name, requirement.detail, requirement.fix
                )
        self._warned = frozenset(requirement.name for requirement in missing)


class Following:
    """The `cdc.tailer.Stream` of a MongoDB: the change stream, and the watch beside it."""

    def __init__(self, stream: MongoStream, watch: asyncio.Task[None]) -> None:
        self._stream = stream
        self._watch = watch
        self.confirm = stream.confirm

    async def take(self) -> Batch:
        """See `cdc.tailer.Stream`."""
        return await self._stream.take()

    async def close(self) -> None:
        """See `cdc.tailer.Stream`."""
        self._watch.cancel()
        await asyncio.wait([self._watch], timeout=0.5)
        await self._stream.close()
