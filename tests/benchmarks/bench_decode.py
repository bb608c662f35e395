"""How fast pgoutput becomes finished events, offline on one core, beside a plain decoder in the same run.

    make bench BENCH=decode

The table is (id text, name text, n int4, ok bool, ts timestamptz, doc jsonb of 125 bytes), REPLICA IDENTITY FULL, in
transactions of 500 rows. Ours ends with records in a Batch, envelope included; the plain one with a dict per event
through json.dumps, without transaction numbers. Medians of five runs.
"""

from __future__ import annotations

import ctypes
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from cdc.event import Position
from cdc.postgres.assemble import Assembler, NeedRelation, RelationInfo
from cdc.postgres.messages import Delete, Insert, Relation, Update, Value
from cdc.postgres.pgoutput import XLogData, decode, decode_frame
from support import pgwire

ROWS_PER_TRANSACTION = 500
TRANSACTIONS = 120
RUNS = 5
RELID = 16_384
COLUMNS = [("id", 25), ("name", 25), ("n", 23), ("ok", 16), ("ts", 1184), ("doc", 3802)]


def values(i: int) -> list[Value]:
    doc = (
        f'{{"n": {i}, "tags": ["alpha", "beta"], "price": 0.14285714285714285714, '
        f'"address": {{"city": "Utrecht", "zip": "3511 AB"}}, "x": 1}}'
    )
    text = [f"row-{i:08d}", f"Name number {i}", str(i), "t", "2026-09-21 12:33:20.123456+00", doc]
    return [value.encode() for value in text]


def message(op: str, i: int) -> bytes:
    if op == "insert":
        return pgwire.insert(RELID, values(i))
    if op == "delete":
        return pgwire.delete(RELID, values(i))
    old, new = values(i), values(i)
    new[1], new[2], new[3] = f"Renamed {i}".encode(), str(i + 1).encode(), b"f"
    return pgwire.update(RELID, old, new)


def stream(ops: Sequence[str]) -> list[bytes]:
    frames: list[bytes] = []
    lsn = 0x1_5A3C_F0E8
    for number in range(TRANSACTIONS):
        start = lsn + 1_000_000
        frames.append(pgwire.frame(pgwire.begin(start, number), lsn))
        if not number:
            frames.append(pgwire.frame(pgwire.relation(RELID, "public", "t1", COLUMNS)))
        for i in range(ROWS_PER_TRANSACTION):
            lsn += 300
            frames.append(pgwire.frame(message(ops[i % len(ops)], number * ROWS_PER_TRANSACTION + i), lsn))
        lsn = start + 50
        frames.append(pgwire.frame(pgwire.commit(start, lsn), lsn))
    return frames


def ours(frames: list[bytes]) -> int:
    assembler = Assembler(
        project="todo-app",
        alias="sql-postgres",
        database="app",
        version="0.1.0",
        position=Position("7300000000000000001", 0),
        collections={("public", "t1"): "t1"},
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
    count = 0
    feed = assembler.feed
    for number, data in enumerate(frames):
        try:
            feed(data)
        except NeedRelation:
            assembler.learn(RelationInfo("t1", ("id",)))
            feed(data)
        if number % 2_000 == 0 and (batch := assembler.take()) is not None:
            count += len(batch.records)
    batch = assembler.take()
    return count + (len(batch.records) if batch else 0)


PLAIN_VALUES: dict[int, Callable[[str], object]] = {23: int, 16: "t".__eq__, 3802: json.loads}


def plain(frames: list[bytes]) -> int:
    relations: dict[int, Relation] = {}
    batch: list[tuple[str, bytes, bytes]] = []
    count = 0

    def as_dict(relation: Relation, row: Sequence[Value]) -> dict[str, object]:
        return {
            column.name: PLAIN_VALUES.get(column.oid, str)(value.decode())
            if isinstance(value, bytes)
            else None
            for column, value in zip(relation.columns, row, strict=True)
        }

    for data in frames:
        framed = decode_frame(data)
        assert isinstance(framed, XLogData)
        decoded = decode(framed.message)
        if isinstance(decoded, Relation):
            relations[decoded.relid] = decoded
        elif isinstance(decoded, Insert | Update | Delete):
            relation = relations[decoded.relid]
            old = (
                None if isinstance(decoded, Insert) or decoded.old is None else as_dict(relation, decoded.old)
            )
            new = None if isinstance(decoded, Delete) else as_dict(relation, decoded.new)
            source = {"connector": "postgresql", "name": "todo-app.sql-postgres", "table": relation.table}
            event = {"before": old, "after": new, "source": {**source, "lsn": framed.start}, "op": "u"}
            key = {"id": (new or old or {})["id"]}
            batch.append(("t1", json.dumps(key).encode(), json.dumps(event).encode()))
            count += 1
            if len(batch) == 2_000:
                batch = []
    return count


def rate(run: Callable[[list[bytes]], int], frames: list[bytes]) -> float:
    rates = []
    for _ in range(RUNS):
        start = time.process_time()
        count = run(frames)
        rates.append(count / (time.process_time() - start))
        assert count == TRANSACTIONS * ROWS_PER_TRANSACTION
    return statistics.median(rates)


def main() -> None:
    if sys.platform == "linux":
        # As the tailer does: glibc returns the heap after every freed batch, and faults it in again.
        libc = ctypes.CDLL(None)
        libc.mallopt(-1, 256 << 20)
        libc.mallopt(-2, 64 << 20)
    print(f"{'':8}{'ours':>12}{'':>11}{'plain dict + json':>24}{'ratio':>9}")
    for name, ops in {
        "insert": ["insert"],
        "update": ["update"],
        "delete": ["delete"],
        "mix": ["insert", "update"],
    }.items():
        frames = stream(ops)
        fast, slow = rate(ours, frames), rate(plain, frames)
        print(
            f"{name:8}{fast:10,.0f}/s{1e6 / fast:8.2f} µs{slow:14,.0f}/s{1e6 / slow:8.2f} µs{fast / slow:8.1f}x"
        )


if __name__ == "__main__":
    main()
