"""The tailer's drain rate on MongoDB: a backlog of a real replica set into the embedded log, by `python -m cdc` as
users run it.

    make bench BENCH=mongo

Inserts, then as many updates with pre- and post-images, of documents with six fields, one of them a document of four.
Each run reads the same backlog from the same position into a log of its own. Beside it, in the same run, what the
server gives at best: the same change stream, its batches counted and not looked at.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from bson.codec_options import CodecOptions
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument
from pymongo import UpdateMany
from pymongo.collection import Collection

from benchmarks.backlogs.mongo import CONFIG, DAY, SETTINGS
from servers.mongo import Mongod, temporary_mongod
from support.draining import begin, drain


def insert(collection: Collection[Any], rows: int) -> None:
    for first in range(0, rows, 1000):
        collection.insert_many([document(i) for i in range(first, min(rows, first + 1000))])


def update(collection: Collection[Any], rows: int) -> None:
    collection.bulk_write([UpdateMany({}, [{"$set": {"n": {"$add": ["$n", 1]}, "ok": {"$not": "$ok"}}}])])


def document(i: int) -> dict[str, Any]:
    inner = {"a": i, "b": f"some text of a certain length {i}", "c": [1, 2, 3], "d": i / 7}
    at = DatetimeMS(DAY + i * 1000)
    return {"_id": f"id-{i}", "name": f"name of row {i}", "n": i, "ok": i % 2 == 0, "ts": at, "doc": inner}


@contextmanager
def marked(server: Mongod) -> Iterator[Callable[[int], float]]:
    """Marks this moment; in the block, a function that reads so many events from there and gives the rate per s."""
    with server.admin() as client:
        time_of_mark = client.admin.command("ping")["operationTime"]

        def best_rate(count: int) -> float:
            stage = {
                "fullDocument": "whenAvailable",
                "fullDocumentBeforeChange": "whenAvailable",
                "startAtOperationTime": time_of_mark,
            }
            pipeline = [{"$changeStream": stage}, {"$match": {"ns.coll": "t1"}}]
            options = CodecOptions(document_class=RawBSONDocument)
            run = partial(client["app"].command, codec_options=options)
            with client.start_session() as session:
                command = {"aggregate": 1, "pipeline": pipeline, "cursor": {"batchSize": 0}}
                cursor = run(command, session=session)["cursor"]["id"]
                more = {
                    "getMore": cursor,
                    "collection": "$cmd.aggregate",
                    "batchSize": 1000,
                    "maxTimeMS": 1000,
                }
                seen = 0
                begun = time.perf_counter()
                while seen < count:
                    reply = run(more, session=session)
                    seen += reply.raw.count(b"\x02operationType\x00")
                seconds = time.perf_counter() - begun
                run({"killCursors": "$cmd.aggregate", "cursors": [cursor]}, session=session)
            return seen / seconds

        yield best_rate


def measure(server: Mongod, what: Callable[[Collection[Any], int], None], rows: int, runs: int) -> None:
    """Print the medians."""
    config = CONFIG.format(conn=f"mongodb://{server.address}/app?replicaSet=rs0")
    results, best = [], []
    with server.admin() as client, marked(server) as best_rate:
        place = begin(config)
        what(client["app"]["t1"], rows)
        for _ in range(runs):
            results.append(drain(config, rows, begin=place))
            best.append(best_rate(rows))
    rates, cpu, memory = (statistics.median(column) for column in zip(*results, strict=True))
    print(
        f"{what.__name__}: into the embedded log {rates:,.0f} events/s, {cpu:.2f} CPU s per million, "
        f"peak {memory:.0f} MB"
    )
    print(f"{what.__name__}: the server, counted alone {statistics.median(best):,.0f} events/s")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    with temporary_mongod("rs0", *SETTINGS) as server:
        print(f"MongoDB, {given.rows:,} events")
        for what in (insert, update):
            measure(server, what, given.rows, given.runs)


if __name__ == "__main__":
    main()
