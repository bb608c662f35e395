"""What an event costs among many live queries, and what a live query costs: the index beside asking all, in one run.

    make bench BENCH=queries
    make bench BENCH='queries --kinds equality --sizes 1000000'

Each event is an update of a row that about ten live queries hold, before and after. *found* is what the index finds,
*asked* of how many of these the predicate must still be asked. CPU microseconds of one event, the median of all:
`find` is the index alone, `event` is the whole way from the log's bytes to the ten frames' data, `all` the same by
asking every live query.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import statistics
import time
import tracemalloc
from collections.abc import Callable
from random import Random
from typing import Any

from broadcaster.evaluate import compile_predicate
from broadcaster.evaluation import Evaluation
from broadcaster.index import AFTER, BEFORE, Index
from broadcaster.livequery import LiveQuery
from broadcaster.predicate import canonical
from broadcaster.query import parse_where
from cdc.event import Chunk, Position
from support.hub_world import EPOCH, event

SIZES = (100, 1_000, 10_000, 100_000)
EVENTS = 300
MOST_SCANNED = 1_000

Where = dict[str, Any]
Row = dict[str, Any]


def moment(second: int) -> str:
    minutes, hours, days = second // 60, second // 3600, second // 86_400
    return f"2026-{days // 28 + 1:02}-{days % 28 + 1:02}T{hours % 24:02}:{minutes % 60:02}:{second % 60:02}Z"


def equality(at: int, size: int) -> Where:
    return {"owner": f"u{at // 10}", "level": {"$gte": at % 10}}


def in_items(at: int, size: int) -> Where:
    return {
        "owner": {"$in": [f"u{at // 10}", f"u{(at // 10 + 7) % (size // 10)}"]},
        "level": {"$gte": at % 5},
    }


def composite(at: int, size: int) -> Where:
    side = round((size / 10) ** 0.5)
    return {"team": at // 10 % side, "channel": at // 10 // side, "level": {"$gte": at % 10}}


def branch(at: int, size: int) -> Where:
    return {"$or": [{"owner": f"u{at // 10}"}, {"editor": f"e{at // 10}"}], "level": {"$gte": at % 10}}


def numbers(at: int, size: int) -> Where:
    wide = 10 * at % 91 + 5
    return {"price": {"$gt": 10 * at - wide, "$lte": 10 * at + wide}}


def instants(at: int, size: int) -> Where:
    return {"day": {"$gte": moment(10 * at), "$lt": moment(10 * at + 100)}}


def one_sided(at: int, size: int) -> Where:
    return {"rank": {"$gt": at}}


def scanned(at: int, size: int) -> Where:
    return {"rank": {"$not": {"$gt": size - at}}}


def mixed(at: int, size: int) -> Where:
    """Ten of one kind after ten of another."""
    return (equality, numbers, in_items, instants)[at // 10 % 4](at, size)


KINDS: dict[str, Callable[[int, int], Where]] = {
    "equality": equality,
    "$in of two": in_items,
    "composite equality": composite,
    "$or of two": branch,
    "two-sided, numbers": numbers,
    "two-sided, timestamps": instants,
    "one-sided": one_sided,
    "mixed": mixed,
    "scan list": scanned,
}
TYPES = {"day": "timestamptz"}


def row(at: int, size: int, title: str) -> Row:
    side = round((size / 10) ** 0.5)
    return {
        "id": at,
        "owner": f"u{at // 10}",
        "editor": None,
        "team": at // 10 % side,
        "channel": at // 10 // side,
        "level": 9,
        "price": 10 * at,
        "day": moment(10 * at),
        "rank": 10,
        "title": title,
    }


def queries(make: Callable[[int, int], Where], size: int) -> tuple[list[LiveQuery], Evaluation, float]:
    """(the live queries, an evaluation of them, microseconds that each took)."""
    texts = [json.dumps(make(at, size)) for at in range(size)]
    Random(1).shuffle(texts)
    evaluation, kept = Evaluation(), []
    started = time.thread_time_ns()
    for text in texts:
        node = parse_where(json.loads(text))
        key = f"pg\0todos\0{canonical(node)}"
        query = LiveQuery(key, "pg", "todos", node, compile_predicate(node), 1 << 20)
        evaluation.add(query)
        kept.append(query)
    return kept, evaluation, (time.thread_time_ns() - started) / size / 1e3


def memory(make: Callable[[int, int], Where]) -> float:
    """Bytes of one live query among many, its predicate and its place in the index included."""
    tracemalloc.start()
    kept = queries(make, 10_000)
    gc.collect()
    each = tracemalloc.get_traced_memory()[0] / len(kept[0])
    tracemalloc.stop()
    return each


def median(calls: list[Callable[[], object]]) -> float:
    """Over all calls, of the best of each in five rounds: other work on the machine does not count."""
    best = [math.inf] * len(calls)
    for _ in range(5):
        for place, call in enumerate(calls):
            started = time.thread_time_ns()
            call()
            best[place] = min(best[place], time.thread_time_ns() - started)
    return statistics.median(best) / 1e3


def measure(name: str, make: Callable[[int, int], Where], size: int) -> None:
    kept, evaluation, subscribing = queries(make, size)
    random = Random(2)
    changes, chunks = [], []
    for number in range(EVENTS):
        at = random.randrange(size // 10, size) // 10 * 10
        before, after = row(at, size, "Water the plants"), row(at, size, "Water the trees")
        collection, key, value = event("u", number, 1, before=before, after=after)
        value = value[:-1] + b',"types":' + json.dumps(TYPES).encode() + b"}"
        changes.append((after, before))
        chunks.append(Chunk([(number, collection, key, value)], number, Position(EPOCH, 100 * number), 0))
    index: Index[LiveQuery] = Index()
    for query in kept:
        index.add(query, query.branches)
    founds = [index.touched_by(*images, TYPES) for images in changes]
    asked = statistics.mean(
        sum(known & (AFTER | BEFORE) != AFTER | BEFORE for known in found.values()) for found in founds
    )
    gc.disable()
    find = median([lambda images=images: index.touched_by(*images, TYPES) for images in changes])  # type: ignore[misc]
    whole = median([lambda chunk=chunk: list(evaluation.run(chunk)) for chunk in chunks])  # type: ignore[misc]
    linear = Evaluation()
    for query in kept:
        query.branches = None
        linear.add(query)
    few = chunks[: max(2, 20_000 // size)]
    asking = median([lambda chunk=chunk: list(linear.run(chunk)) for chunk in few])  # type: ignore[misc]
    gc.enable()
    touched = statistics.mean(len(done.outcomes) for chunk in chunks for done in evaluation.run(chunk))
    print(
        f"{name:24}{size:9,}{touched:9.1f}{statistics.mean(map(len, founds)):9.1f}{asked:9.1f}{find:9.1f}"
        f"{whole:9.1f}{asking:11.1f}{subscribing:11.0f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES, help="multiples of 10")
    given = parser.parse_args()
    print(f"{'':24}{'live':>9}{'':27}{'µs an event':>29}{'µs to':>11}")
    print(
        f"{'':24}{'queries':>9}{'match':>9}{'found':>9}{'asked':>9}{'find':>9}{'event':>9}{'all':>11}"
        f"{'subscribe':>11}"
    )
    for name in given.kinds:
        for size in given.sizes:
            if KINDS[name] is not scanned or size <= MOST_SCANNED:
                measure(name, KINDS[name], size)
    for name in given.kinds:
        print(f"{name:24}{memory(KINDS[name]):9,.0f} bytes a live query")


if __name__ == "__main__":
    main()
