"""Backlogs in MongoDB's oplog, each drain of a change stream from one token."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from pymongo import MongoClient, UpdateMany

from benchmarks.backlogs.case import WIDE, Case
from benchmarks.peers.debezium import Debezium, marked
from cdc.event import Position
from servers.mongo import Mongod, temporary_mongod
from support.draining import Drained, Sink, begin, drain

SETTINGS = ("--oplogSize", "4000", "--syncdelay", "30")
DAY = 1_704_067_200_000
CONFIG = """\
id: todo-app
modules:
  crud:
    db:
      type: mongo
      conn: {conn}
      collections:
        t1: {{isRealtimeEnabled: true, rules: {{read: {{rule: allow}}}}}}
"""
_KINDS: list[Callable[[int, int], Any]] = [
    lambda i, at: i + at,
    lambda i, at: f"text of row {i} in {at}",
    lambda i, at: DatetimeMS(DAY + (i + at) * 1000),
    lambda i, at: Decimal128(f"{i + at}.1429"),
    lambda i, at: i % 2 == 0,
]


def document(shape: str, i: int) -> dict[str, Any]:
    """One of the rows."""
    if shape == "narrow":
        return {"_id": i, "n": i, "name": f"name of row {i}"}
    if shape == "JSON":
        inner = {"a": i, "b": f"some text of a certain length {i}", "c": [1, 2, 3], "d": i / 7}
        at = DatetimeMS(DAY + i * 1000)
        return {"_id": i, "n": i, "name": f"name of row {i}", "ok": i % 2 == 0, "ts": at, "doc": inner}
    columns = {f"c{at}": kind(i, at) for at, kind in enumerate(_KINDS * (WIDE // len(_KINDS)), start=1)}
    return {"_id": i, "n": i, **columns}


@contextmanager
def mongo(debezium: Debezium, sink: Sink) -> Iterator[MongoBacklog]:
    """On a replica set of one of its own."""
    with (
        tempfile.TemporaryDirectory() as kept,
        temporary_mongod("rs0", *SETTINGS) as server,
        server.admin() as client,
    ):
        yield MongoBacklog(server, client, debezium, Path(kept), sink)


class MongoBacklog:
    """See `Backlog`."""

    def __init__(
        self, server: Mongod, client: MongoClient[Any], debezium: Debezium, kept: Path, sink: Sink
    ) -> None:
        self.title = f"MongoDB {client.server_info()['version']}"
        self.peer = f"Debezium {debezium.version}"
        self._server = server
        self._client = client
        self._debezium = debezium
        self._sink = sink
        self._kept = kept  # Debezium's offsets at the begin of the backlog
        self._begin: Position | None = None
        self._count = 0

    def fill(self, case: Case) -> None:
        database = self._client["app"]
        shutil.rmtree(self._kept)
        self._kept.mkdir()
        for name in ("t1", "mark"):
            database.drop_collection(name)
            database.create_collection(name, changeStreamPreAndPostImages={"enabled": True})
        collection = database["t1"]
        if case.op == "update":
            self._insert(case, 1000, in_transactions=False)
        marked(self._debezium, self._kept, self._peer_settings(), self._mark)
        self._begin = begin(self._config)
        if case.op == "insert":
            self._insert(case, case.per, in_transactions=case.per > 1)
        elif case.per == 1:
            collection.bulk_write([UpdateMany({}, {"$inc": {"n": 1}})])
        else:
            with self._client.start_session() as session:
                for first in range(0, case.rows, case.per):
                    these = {"_id": {"$gte": first, "$lt": first + case.per}}
                    with session.start_transaction():
                        collection.update_many(these, {"$inc": {"n": 1}}, session=session)
        self._count = case.rows

    def drain(self) -> Drained:
        return drain(self._config, self._count, self._count // 3, begin=self._begin, sink=self._sink)

    def drain_by_peer(self) -> Drained:
        with tempfile.TemporaryDirectory() as base:
            folder = Path(base) / "debezium"
            shutil.copytree(self._kept, folder)
            return self._debezium.drain(folder, self._peer_settings(), "t1", self._count, self._count // 3)

    def _insert(self, case: Case, per: int, *, in_transactions: bool) -> None:
        collection = self._client["app"]["t1"]
        with self._client.start_session() as session:
            size = max(per, 1000)
            for first in range(0, case.rows, size):
                documents = [document(case.shape, i) for i in range(first, min(case.rows, first + size))]
                if in_transactions:
                    with session.start_transaction():
                        collection.insert_many(documents, session=session)
                else:
                    collection.insert_many(documents)

    def _mark(self) -> None:
        self._client["app"]["mark"].insert_one({})

    @property
    def _config(self) -> str:
        return CONFIG.format(conn=f"mongodb://{self._server.address}/app?replicaSet=rs0")

    def _peer_settings(self) -> dict[str, str]:
        return {
            "connector.class": "io.debezium.connector.mongodb.MongoDbConnector",
            "mongodb.connection.string": f"mongodb://{self._server.address}/?replicaSet=rs0",
            "collection.include.list": "app.t1,app.mark",
            "capture.mode": "change_streams_update_full_with_pre_image",
            "capture.mode.full.update.type": "post_image",
        }
