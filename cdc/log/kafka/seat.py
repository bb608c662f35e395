"""Who of several tailers of one database is the one that writes: the leader of a Kafka group.

A group's first member leads it for as long as it is there, whoever joins; when it leaves, or is not heard of for some
seconds, another one does. That a tailer which was only thought dead does no harm is not seen to here but by
Kafka's fencing of transactional ids.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest

from cdc.errors import LogError, LogInUse
from cdc.log.kafka.failure import RETRIED, Code, Lost, refused
from cdc.log.kafka.link import GROUP, Link, Passing

_HEARTBEAT_SECONDS: Final = 0.5
_PAUSE_SECONDS: Final = 0.1
_VERDICT_SECONDS: Final = 15.0
_LEAVE_SECONDS: Final = 0.5
_PROTOCOL: Final = "livetail"
_STALE: Final = 3
"""Whoever led is not believed to after so many times the silence: longer than any member may make the others wait."""

_REJOIN: Final = frozenset({Code.REBALANCING, Code.ILLEGAL_GENERATION})


class Seat:
    """One tailer's membership, which lasts until it is closed, whether or not it leads. silence: how long it may not be
    heard of, in seconds; brokers allow 6 or more, unless they are told otherwise."""

    def __init__(
        self, link: Link, group: str, silence: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._link = link
        self._clock = clock
        self._stale = _STALE * silence
        self._heard = 0.0
        self._group = group
        self._session_ms = int(silence * 1000)
        self._member = ""
        self._generation = -1
        self._leads = False
        self._known = asyncio.Event()
        self._failure: LogError | None = None
        self._task: asyncio.Task[None] | None = None

    async def claim(self) -> None:
        """Join if that was not done yet, and hear who leads. Raises LogInUse where it is another one, LogError."""
        if self._task is None:
            self._known.clear()
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(_VERDICT_SECONDS):
                await self._known.wait()
        except TimeoutError as error:
            raise self._failure or LogError(f"Kafka: group {self._group}: nobody leads it") from error
        if not self._leads and self._failure is not None:
            raise self._failure
        self.check()

    def check(self) -> None:
        """Raises LogInUse where another tailer leads, LogError where that cannot be told: two that both take themselves
        for the leader would fence one another for ever."""
        if self._leads and self._clock() - self._heard > self._stale:
            raise LogError(
                f"Kafka: group {self._group} was not heard of for {self._stale:g} s, another tailer may lead it by now"
            ) from self._failure
        if not self._leads:
            raise LogInUse(
                f"another tailer leads the group {self._group} and writes the log; this one stands by"
            )

    async def close(self) -> None:
        """Leave the group, so that another can take over at once."""
        if self._task is None:
            return
        task, self._task = self._task, None
        task.cancel()
        await asyncio.wait({task})
        try:
            if self._member:
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await self._ask(LeaveGroupRequest(self._group, self._member))
        except (LogError, TimeoutError):
            return  # then it will be missed
        finally:
            self._leads = False
            await self._link.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Only an error that nobody expected ends it before it is closed: the next claim tries again."""
        if self._task is task:
            why = "was cancelled" if task.cancelled() else repr(task.exception())
            self._failure = LogError(f"Kafka: group {self._group}: {why}")
            self._leads, self._task = False, None
            self._known.set()

    async def _run(self) -> None:
        while True:
            try:
                await self._join()
                self._failure = None
                self._known.set()
                await self._stay()
            except Passing as error:
                self._failure = error
                await asyncio.sleep(_PAUSE_SECONDS)
            except LogError as error:
                self._failure = error
                self._known.set()
                await asyncio.sleep(_HEARTBEAT_SECONDS)

    async def _join(self) -> None:
        """Returns when all members have joined, too."""
        answer = await self._ask_to_join()
        self._member, self._generation = answer.member_id, answer.generation_id
        leads = answer.leader_id == answer.member_id
        duties = [
            (member[0], b"") for member in answer.members
        ]  # none; of those who follow the list is empty
        asked = self._clock()
        answer = await self._ask(SyncGroupRequest(self._group, self._generation, self._member, None, duties))
        if answer.error_code not in _REJOIN:
            self._check(answer.error_code)
        self._leads, self._heard = leads, asked

    async def _ask_to_join(self) -> Any:
        protocols = [(_PROTOCOL, b"")]
        while True:
            answer = await self._ask(
                JoinGroupRequest(
                    self._group, self._session_ms, self._session_ms, self._member, None, _PROTOCOL, protocols
                )
            )
            if answer.error_code == Code.MEMBER_ID_REQUIRED:
                self._member = answer.member_id
            elif answer.error_code == Code.UNKNOWN_MEMBER:
                self._forgotten()
            else:
                self._check(answer.error_code)
                return answer

    async def _stay(self) -> None:
        """Until the members change."""
        while True:
            await asyncio.sleep(_HEARTBEAT_SECONDS)
            asked = self._clock()
            answer = await self._ask(HeartbeatRequest(self._group, self._generation, self._member))
            if answer.error_code == Code.UNKNOWN_MEMBER:
                self._forgotten()
                return
            if answer.error_code in _REJOIN:
                return
            self._check(answer.error_code)
            self._heard = asked

    def _forgotten(self) -> None:
        """We were silent for too long: another one leads."""
        self._member = ""
        self._leads = False

    async def _ask(self, request: Any) -> Any:
        try:
            return await self._link.call(await self._link.coordinator(self._group, GROUP), request)
        except Lost:
            self._link.forget_coordinator(self._group, GROUP)
            raise

    def _check(self, code: int) -> None:
        if code in (Code.NO_COORDINATOR, Code.NOT_COORDINATOR):
            self._link.forget_coordinator(self._group, GROUP)
        if code in RETRIED:
            raise Passing(f"group {self._group}", code)
        if code:
            raise refused(f"group {self._group}", code)
