"""A seat whose group is a script. Two real tailers at one group: `tests/integration/test_kafka_log.py`."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest, SyncGroupRequest

from cdc.errors import LogError, LogInUse
from cdc.log.kafka import seat as module
from cdc.log.kafka.failure import Lost
from cdc.log.kafka.seat import Seat
from support.clock import ManualClock

SILENCE = 6.0


class Group:
    """A coordinator. leader: of the group, in which the seat is `me`; beats: how many heartbeats came."""

    def __init__(self):
        self.leader = "me"
        self.beats = 0

    async def coordinator(self, key, kind):
        return 1

    def forget_coordinator(self, key, kind):
        pass

    async def call(self, node, request):
        if isinstance(request, JoinGroupRequest):
            return SimpleNamespace(
                error_code=0, member_id="me", generation_id=1, leader_id=self.leader, members=[]
            )
        if isinstance(request, SyncGroupRequest):
            return SimpleNamespace(error_code=0)
        if isinstance(request, HeartbeatRequest):
            self.beats += 1
        return SimpleNamespace(error_code=0)

    async def close(self):
        pass


@pytest.fixture
def group(monkeypatch):
    monkeypatch.setattr(module, "_HEARTBEAT_SECONDS", 0.001)
    return Group()


async def beats(group, more):
    wanted = group.beats + more
    while group.beats < wanted:
        await asyncio.sleep(0.001)


def leads(seat):
    try:
        seat.check()
    except LogInUse:
        return False
    return True


async def test_it_leads_for_as_long_as_it_is_heard_of(group):
    clock = ManualClock(100.0)
    seat = Seat(group, "g", SILENCE, clock.now)
    await seat.claim()
    for _ in range(10):
        clock.advance(2 * SILENCE)
        await beats(group, 2)
        seat.check()
    await seat.close()


async def test_one_that_is_not_heard_of_for_long_does_not_take_itself_for_the_leader(group):
    clock = ManualClock(100.0)
    seat = Seat(group, "g", SILENCE, clock.now)
    await seat.claim()
    joins = group.call
    group.call = lambda *request: lost()
    clock.advance(2 * SILENCE)
    seat.check()
    clock.advance(2 * SILENCE)
    with pytest.raises(LogError, match="may lead it by now"):
        seat.check()
    with pytest.raises(LogError):
        await seat.claim()
    group.call = joins
    await beats(group, 1)
    seat.check()
    await seat.close()


@pytest.mark.parametrize("error", [ValueError("an answer of another form"), asyncio.CancelledError()])
async def test_one_that_failed_unexpectedly_leads_no_more_and_is_claimed_anew(group, error):
    seat = Seat(group, "g", SILENCE)
    await seat.claim()
    call, failures = group.call, [error]

    async def fail_once(*request):
        if failures:
            raise failures.pop()
        return await call(*request)

    group.call = fail_once
    while leads(seat):
        await asyncio.sleep(0.001)
    await seat.claim()
    seat.check()
    await seat.close()


async def test_where_another_leads_that_is_told(group):
    group.leader = "somebody else"
    seat = Seat(group, "g", SILENCE)
    with pytest.raises(LogInUse):
        await seat.claim()
    await seat.close()


async def lost():
    raise Lost("no answer")
