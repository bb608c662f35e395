"""The crash matrix: who is hit, by what, on which database; and what is taken from it where time is short. (pure)"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

VICTIMS: Final[Mapping[str, str]] = {
    "tailer": "the one that leads; another stands by",
    "broadcaster": "one of two, between which clients move",
    "broker": "the only one",
    "leader": "the one of three brokers that leads the position topic",
    "database": "the server",
}
FAULTS: Final[Mapping[str, str]] = {
    "killed": "SIGKILL; started again after a while",
    "stopped": "SIGSTOP, later SIGCONT",
    "cut off": "its connections are reset, new ones refused",
    "stalled": "its connections stay open and carry nothing",
    "disk full": "no write finds room until it has failed at that; then there is room, and it is started again",
}
DATABASES: Final = ("postgres", "mysql", "mongo")
DISK_FULL: Final = "disk full"
_DISKLESS: Final = ("tailer", "broadcaster")
"""They write to no disk: their log is on Kafka."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault of one victim, on one database."""

    victim: str
    fault: str
    database: str

    @property
    def brokers(self) -> int:
        """How many the cluster has."""
        return 3 if self.victim == "leader" else 1

    def __str__(self) -> str:
        return f"{self.database}: {self.victim} {self.fault}"


@dataclass(frozen=True, slots=True)
class Pace:
    """How long faults last, in seconds, by victim or else `None`; takeover: `modules.realtime.kafka.takeover`, and how
    long Postgres waits for its tailer."""

    takeover: int
    killed: float
    cut: float
    silent: Mapping[str | None, float]
    full: float

    def lasts(self, cell: Cell) -> float:
        """How long the cell's fault lasts. That of a full disk does so from when the victim has noticed it."""
        if cell.fault in ("stopped", "stalled"):
            return self.silent.get(cell.victim, self.silent[None])
        return {"killed": self.killed, "cut off": self.cut, DISK_FULL: self.full}[cell.fault]


SHORT: Final = Pace(2, 1, 3, {None: 4, "broker": 11, "leader": 11}, 1)
"""Silence is longer than what is waited for: until a takeover, or for an answer of Kafka's (10 s)."""

LONG: Final = Pace(6, 5, 10, {None: 30}, 5)

CELLS: Final = tuple(
    Cell(victim, fault, database)
    for database in DATABASES
    for victim in VICTIMS
    for fault in FAULTS
    if not (fault == DISK_FULL and victim in _DISKLESS)
)


def possible(cells: Iterable[Cell], full_disks: bool) -> list[Cell]:
    """Those that can be played, where there may be no disk that can be filled."""
    return [cell for cell in cells if full_disks or cell.fault != DISK_FULL]


def by_site(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Together those that share a database, a cluster, and all that runs on them."""
    sites: dict[tuple[str, int], list[Cell]] = {}
    for cell in cells:
        sites.setdefault((cell.database, cell.brokers), []).append(cell)
    return list(sites.values())


def sample(seed: int) -> list[list[Cell]]:
    """Five cells in which every victim and every fault occurs, on three sites in which every database does."""
    random = Random(seed)
    order = random.sample(list(VICTIMS), len(VICTIMS))
    faults = dict(zip(order, random.sample(list(FAULTS), len(FAULTS)), strict=True))
    for victim in _DISKLESS:
        if faults[victim] == DISK_FULL:
            other = random.choice([each for each in VICTIMS if each not in _DISKLESS])
            faults[victim], faults[other] = faults[other], faults[victim]
    databases = random.sample(DATABASES, 3)
    victims = (("leader",), ("tailer", "broadcaster"), ("broker", "database"))
    return [
        [Cell(victim, faults[victim], database) for victim in group]
        for group, database in zip(victims, databases, strict=True)
    ]
