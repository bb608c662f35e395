"""The crash matrix on Kafka: `matrix.py` says what there is. A few cells in every run, all of them in `make soak`.

`LIVETAIL_MATRIX_SEED` chooses the few, and replays what a failure printed.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import SystemRandom
from typing import Final

import pytest
from matrix import CELLS, DATABASES, FAULTS, LONG, SHORT, VICTIMS, by_site, possible, sample
from matrix_table import Result, from_lines, table, to_line
from siege import Servers, lay_siege

from servers.kafka import KafkaServers
from servers.mongo import LEAKS
from servers.mysql import MysqlServers

pytestmark = LEAKS


def chosen_seed() -> int:
    """One for all workers of a run."""
    given = os.environ.get("LIVETAIL_MATRIX_SEED")
    if given is not None:
        return int(given)
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    return int(run, 16) % 10**6 if run else SystemRandom().randrange(10**6)


SEED: Final = chosen_seed()
RESULTS: Final = Path(__file__).parents[2] / ".bench" / "crash_matrix.jsonl"
"""Beside it, as Markdown: the last result of every cell."""


@pytest.fixture
def servers(kafka_servers: KafkaServers, mysql_servers: MysqlServers) -> Servers:
    return Servers(kafka_servers, mysql_servers)


def test_the_sample_has_every_victim_every_fault_and_every_database() -> None:
    for seed in range(200):
        cells = [cell for site in sample(seed) for cell in site]
        assert {cell.victim for cell in cells} == set(VICTIMS)
        assert {cell.fault for cell in cells} == set(FAULTS)
        assert {cell.database for cell in cells} == set(DATABASES)
        assert set(cells) <= set(CELLS)
        assert by_site(cells) == sample(seed)


def test_the_table_shows_how_each_cell_went_last() -> None:
    first, *others = CELLS
    results = [
        Result(first, broken="a story"),
        Result(first, 1.04, 2.0, 7),
        Result(others[0], broken="another"),
    ]
    kept = from_lines("".join(map(to_line, results)))
    assert kept == results
    lines = table(kept).splitlines()
    assert len(lines) == 2 + len(CELLS) // len(DATABASES)
    assert lines[2] == "| tailer | killed | held, 1.0 / 2.0 s | – | – |"
    assert lines[3] == "| tailer | stopped | **another** | – | – |"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("part", range(3))
async def test_some_cells(part: int, servers: Servers, full_disks: bool, tmp_path: Path) -> None:
    print(f"LIVETAIL_MATRIX_SEED={SEED}")
    results: list[Result] = []

    def record(result: Result) -> None:
        print(result)
        results.append(result)

    await lay_siege(possible(sample(SEED)[part], full_disks), servers, tmp_path, SHORT, SEED, record)
    assert [result for result in results if result.broken] == []


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif("LIVETAIL_SOAK" not in os.environ, reason="runs for LIVETAIL_SOAK=<minutes>")
@pytest.mark.parametrize("database", DATABASES)
async def test_every_cell(database: str, servers: Servers, full_disks: bool, tmp_path: Path) -> None:
    """All of them once, then again until the time is over."""
    end = time.monotonic() + 60 * float(os.environ["LIVETAIL_SOAK"]) / len(DATABASES)
    cells = [cell for cell in possible(CELLS, full_disks) if cell.database == database]
    broken: list[Result] = []
    RESULTS.parent.mkdir(exist_ok=True)

    def record(result: Result) -> None:
        print(result, flush=True)
        broken.extend([result] if result.broken else [])
        with RESULTS.open("a") as file:
            file.write(to_line(result))
        RESULTS.with_suffix(".md").write_text(table(from_lines(RESULTS.read_text())))

    seed = SEED
    while seed == SEED or time.monotonic() < end:
        for number, site in enumerate(by_site(cells)):
            await lay_siege(site, servers, tmp_path / f"{seed}-{number}", LONG, seed, record)
        seed += 1
    assert broken == []
