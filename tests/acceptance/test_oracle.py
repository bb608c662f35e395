"""Random everything on real servers. `LIVETAIL_ORACLE_SEED` replays, `LIVETAIL_ORACLE_STEPS` sets the number of rounds,
`LIVETAIL_SOAK=<minutes>` runs one seed after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random, SystemRandom

import pytest
from conftest import DATABASES, Open
from database import Database
from follower import BrokenPromiseError
from oracle import World, world
from workload import Workload

from broadcaster.client_frames import Diff, Frame
from servers.mongo import LEAKS

pytestmark = LEAKS
VICTIMS = ("tailer", "broadcaster", "database")
ROUNDS = int(os.environ.get("LIVETAIL_ORACLE_STEPS", "8"))
TRANSACTIONS = 240


def some_seed() -> int:
    given = os.environ.get("LIVETAIL_ORACLE_SEED")
    return int(given) if given else SystemRandom().randrange(10**6)


def workload_of(database: Database, seed: int) -> Workload:
    return Workload(seed, database.alias, list(database.tables.values()), database.can, coalesces=True)


async def play(database: Database, folder: Path, seed: int, rounds: int = ROUNDS) -> None:
    """One world: every victim is killed in the first rounds, then two at a time."""
    print(f"LIVETAIL_ORACLE_SEED={seed}")
    workload, kills = workload_of(database, seed), Random(seed)
    order = kills.sample(VICTIMS, 3)
    async with world(database, folder) as made:
        try:
            for number in range(rounds):
                victims = [] if number == 0 else order[number - 1 : number] or kills.sample(VICTIMS, 2)
                await made.play(workload.round(TRANSACTIONS, victims))
        except BrokenPromiseError as error:
            raise BrokenPromiseError(f"replay with LIVETAIL_ORACLE_SEED={seed}\n{error}") from None
        print("\n".join(made.story))
        assert rounds < 8 or made.merged, "no client was ever behind"


@pytest.mark.timeout(300)
async def test_every_client_agrees_with_the_database(open_database: Open, tmp_path: Path) -> None:
    with open_database() as database:
        await play(database, tmp_path, some_seed())


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("LIVETAIL_SOAK" not in os.environ, reason="runs for LIVETAIL_SOAK=<minutes>")
async def test_soak(open_database: Open, tmp_path: Path) -> None:
    end = time.monotonic() + 60 * float(os.environ["LIVETAIL_SOAK"]) / len(DATABASES)
    seed = some_seed()
    while time.monotonic() < end:
        folder = tmp_path / str(seed)
        folder.mkdir()
        with open_database() as database:
            await play(database, folder, seed)
        seed += 1


LOST = "first there should have been|wait in vain|led to something else|at (old|new)Index"


def lose(frame: Diff) -> Iterable[Frame]:
    return ()


def repeat(frame: Diff) -> Iterable[Frame]:
    return frame, frame


def falsify(frame: Diff) -> Iterable[Frame]:
    for change in frame.changes:
        if change.doc is not None:
            change.doc["s"] = "never written"
    return (frame,)


def shorten(frame: Diff) -> Iterable[Frame]:
    """Only those that tell of several transactions."""
    if frame.transactions > 1:
        frame.changes.pop()
    return (frame,)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("open_database", "fault", "complaint"),
    [
        ("postgres", lose, LOST),
        ("mongo", repeat, "came again, or came late"),
        ("mysql", falsify, "a row that the database never had"),
        ("mariadb", shorten, "came with other changes|led to something else"),
    ],
    indirect=["open_database"],
    ids=DATABASES,
)
async def test_the_oracle_sees_a_fault(
    open_database: Open, fault: Callable[[Diff], Iterable[Frame]], complaint: str, tmp_path: Path
) -> None:
    random = Random(1)

    def tamper(frame: Frame) -> Iterable[Frame]:
        if isinstance(frame, Diff) and (frame.transactions > 1 or random.random() < 0.1):
            return fault(frame)
        return (frame,)

    async def play_on(made: World, workload: Workload) -> None:
        for _ in range(ROUNDS):
            await made.play(workload.round(TRANSACTIONS, []))

    with open_database() as database:
        async with world(database, tmp_path) as made:
            made.tamper = tamper
            with pytest.raises(BrokenPromiseError, match=complaint):
                await play_on(made, workload_of(database, 1))
