"""Random everything on real servers. `LIVETAIL_ORACLE_SEED` replays, `LIVETAIL_ORACLE_STEPS` sets the number of rounds,
`LIVETAIL_SOAK=<minutes>` runs one seed after the other."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random, SystemRandom

import pytest
from follower import BrokenPromiseError
from oracle import world
from workload import Workload

from broadcaster.client_frames import Diff, Frame
from broadcaster.demo.postgres import EmbeddedPostgres

VICTIMS = ("tailer", "broadcaster", "postgres")
ROUNDS = int(os.environ.get("LIVETAIL_ORACLE_STEPS", "8"))
TRANSACTIONS = 240
SETTINGS = {"deadlock_timeout": "20ms", "max_connections": "50"}

Server = Callable[..., EmbeddedPostgres]


def some_seed() -> int:
    given = os.environ.get("LIVETAIL_ORACLE_SEED")
    return int(given) if given else SystemRandom().randrange(10**6)


async def play(server: EmbeddedPostgres, folder: Path, seed: int, rounds: int = ROUNDS) -> None:
    """One world: every victim is killed in the first rounds, then two at a time."""
    print(f"LIVETAIL_ORACLE_SEED={seed}")
    workload, kills = Workload(seed), Random(seed)
    order = kills.sample(VICTIMS, 3)
    async with world(server, folder) as made:
        try:
            for number in range(rounds):
                victims = [] if number == 0 else order[number - 1 : number] or kills.sample(VICTIMS, 2)
                await made.play(workload.round(TRANSACTIONS, victims))
        except BrokenPromiseError as error:
            raise BrokenPromiseError(f"replay with LIVETAIL_ORACLE_SEED={seed}\n{error}") from None
        print("\n".join(made.story))


@pytest.mark.timeout(300)
async def test_every_client_agrees_with_the_database(throwaway_postgres: Server, tmp_path: Path) -> None:
    await play(throwaway_postgres(**SETTINGS), tmp_path, some_seed())


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("LIVETAIL_SOAK" not in os.environ, reason="runs for LIVETAIL_SOAK=<minutes>")
async def test_soak(throwaway_postgres: Server, tmp_path: Path) -> None:
    end = time.monotonic() + 60 * float(os.environ["LIVETAIL_SOAK"])
    seed = some_seed()
    while time.monotonic() < end:
        folder = tmp_path / str(seed)
        folder.mkdir()
        server = throwaway_postgres(**SETTINGS)
        await play(server, folder, seed)
        server.stop()
        seed += 1


@pytest.mark.timeout(120)
async def test_the_oracle_sees_a_lost_frame(throwaway_postgres: Server, tmp_path: Path) -> None:
    random = Random(1)

    def lose(frame: Frame) -> Iterable[Frame]:
        return () if isinstance(frame, Diff) and random.random() < 0.05 else (frame,)

    workload = Workload(1)
    async with world(throwaway_postgres(**SETTINGS), tmp_path) as made:
        made.tamper = lose
        with pytest.raises(BrokenPromiseError, match=r"first there should have been|wait in vain"):
            await made.play(workload.round(3 * TRANSACTIONS, []))
