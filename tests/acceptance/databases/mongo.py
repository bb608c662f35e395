"""The oracle on MongoDB: what happened is told by the oplog, which the oracle reads itself and applies to documents of
its own. So it needs neither change streams nor images.

The oplog's form is MongoDB's own affair; `_apply` knows it as of 6.0 (document_diff_serialization.h).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

import statements as ask
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.timestamp import Timestamp
from history import RowImage, Transaction
from pymongo import AsyncMongoClient, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern
from statements import Script, Some, Statement, Which
from tables import KINDS, Row, Table
from values import account, number, part, uuid, word

from servers.mongo import Mongod

Doc = dict[str, Any]
Client = AsyncMongoClient[Doc]

SETTINGS: Final = ("--setParameter", "maxTransactionLockRequestTimeoutMillis=20")
_NAME: Final = "oracle"
_DURABLE: Final = WriteConcern(w="majority", j=True)
_OPTIONS: Final = CodecOptions[Doc](
    document_class=dict, tz_aware=True, tzinfo=UTC, uuid_representation=UuidRepresentation.STANDARD
)
_MARKS: Final = "marks"
"""A collection that is not followed: each transaction leaves its mark there."""
_OMITTED: Final = ("price", "j")
"""Fields that are left out where the others are null."""
_TABLES: Final = (
    Table("items", ("_id",), lambda random: {"_id": number(random)}, KINDS),
    Table("words", ("_id",), lambda random: {"_id": word(random)}, KINDS),
    Table("notes", ("_id",), lambda random: {"_id": uuid(random)}, {**KINDS, "_id": "uuid"}),
    Table("accounts", ("_id",), lambda random: {"_id": account(random)}, {**KINDS, "_id.no": "int64"}),
    Table(
        "parts",
        ("_id",),
        lambda random: {"_id": "5f0000000000000000{bucket:03}{id:03}".format_map(part(random))},
        {**KINDS, "_id": "objectId"},
    ),
)


class _Operation(NamedTuple):
    """One entry of the oplog, or one of a transaction's: what it does to which document."""

    table: str
    kind: str
    what: Doc
    key: Any


class MongoOracle:
    """A `database.Database`."""

    alias: Final = "mongo"
    tables: Final = {table.name: table for table in _TABLES}
    can: Final = frozenset({ask.SINGLES, ask.NAN})

    def __init__(self, server: Mongod) -> None:
        self._server = server
        self._versions = itertools.count(1)
        self._read_to = Timestamp(0, 0)
        self._documents: dict[str, dict[str, Doc]] = {name: {} for name in self.tables}
        self.data, self.log_file = server.data, server.log_file
        self.stop, self.kill, self.start = server.stop, server.kill, server.start

    @property
    def url(self) -> str:
        return self._server.url.replace("/?", f"/{_NAME}?")

    @property
    def port(self) -> int:
        return self._server.port

    def url_through(self, port: int) -> str:
        """See `database.Database`. Direct, or the driver would go where the replica set says that it is."""
        return f"mongodb://127.0.0.1:{port}/{_NAME}?directConnection=true"

    def pids(self) -> list[int]:
        """See `database.Database`."""
        pid = self._server.pid
        return [] if pid is None else [pid]

    def resets(self, table: str) -> frozenset[str]:
        """See `database.Database`."""
        return frozenset({"not_in_cursor"})

    async def prepare(self) -> None:
        """See `database.Database`."""
        async with _connect(self.url) as client:
            for name in (*self.tables, _MARKS):
                await client[_NAME].create_collection(name, write_concern=_DURABLE)

    def writer(self, begun: list[str], acknowledged: list[str]) -> MongoWriter:
        """See `database.Database`."""
        return MongoWriter(self.url, self._versions, begun, acknowledged)

    async def committed(self) -> list[Transaction]:
        """See `database.Database`."""
        made = []
        async with _connect(self.url) as client:
            oplog = client["local"].get_collection("oplog.rs", read_concern=ReadConcern("majority"))
            async for entry in oplog.find({"ts": {"$gt": self._read_to}}).sort("$natural", 1):
                self._read_to = entry["ts"]
                assert not entry["o"].get("partialTxn"), "the workload's transactions are small"
                operations = list(_operations(entry))
                mark = _mark(operations)
                changes = [self._change(each) for each in operations if each.table in self.tables]
                if changes:
                    order = entry["ts"].time << 32 | entry["ts"].inc
                    made.append(Transaction(str(order), changes, mark))
        return made

    def _change(self, operation: _Operation) -> RowImage:
        documents, name = self._documents[operation.table], repr(operation.key)
        old = documents.pop(name, None)
        if operation.kind == "d":
            new = None
        elif operation.kind == "u" and "diff" in operation.what:
            assert old is not None
            new = _apply(old, operation.what["diff"])
        else:
            new = operation.what
        if new is not None:
            documents[name] = new
        return RowImage(operation.table, *(None if doc is None else _decode(doc) for doc in (old, new)))

    async def rows(self, table: Table) -> list[Row]:
        """See `database.Database`."""
        async with _connect(self.url) as client:
            return [_decode(doc) async for doc in client[_NAME][table.name].find()]


class MongoWriter:
    """A `database.Writer`. A mark is the version that the first statement gives to what it writes."""

    def __init__(self, url: str, versions: Iterator[int], begun: list[str], acknowledged: list[str]) -> None:
        self._client = _connect(url)
        self._versions = versions
        self._begun = begun
        self._acknowledged = acknowledged

    async def write(self, script: Script) -> None:
        """See `database.Writer`."""
        try:
            if script.together:
                await self._transaction(script)
            else:
                for statement in script.statements:
                    version = self._begin()
                    await self._run(statement, version, None)
                    self._acknowledged.append(str(version))
        except PyMongoError:
            await asyncio.sleep(0.01)

    def _begin(self) -> int:
        version = next(self._versions)
        self._begun.append(str(version))
        return version

    async def _transaction(self, script: Script) -> None:
        version = self._begin()
        mark = str(version)
        async with self._client.start_session() as session:
            async with await session.start_transaction(write_concern=_DURABLE):
                await self._client[_NAME][_MARKS].insert_one({"_id": mark}, session=session)
                for statement in script.statements:
                    await self._run(statement, version, session)
                    version = next(self._versions)
                if not script.commits:
                    await session.abort_transaction()
                    return
        self._acknowledged.append(mark)

    async def _run(self, statement: Statement, version: int, session: AsyncClientSession | None) -> None:
        assert not isinstance(statement, ask.Savepoint | ask.Truncate | ask.Rename)
        table = statement.table
        concern = None if session else _DURABLE
        collection = self._client[_NAME].get_collection(table.name, write_concern=concern)
        match statement:
            case ask.Insert(_, rows, updates):
                fields = {"n", "version"} if updates else set[str]()
                writes = [_upsert({**_document(table, row), "version": version}, fields) for row in rows]
                await collection.bulk_write(writes, session=session)
            case ask.Update(_, which, values):
                update = (_pipeline if isinstance(which, Some) else _update)(values, version)
                await collection.update_many(_filter(table, which), update, session=session)
            case ask.Add(_, key, amount):
                total = {"$add": [{"$ifNull": ["$n", 0]}, amount]}
                change = [{"$set": {"n": total, "version": version}}]
                await collection.update_one(_filter(table, key), change, session=session)
            case ask.Delete(_, which):
                await collection.delete_many(_filter(table, which), session=session)

    async def close(self) -> None:
        """See `database.Writer`."""
        await self._client.close()


def _connect(url: str) -> Client:
    return AsyncMongoClient(
        url,
        tz_aware=True,
        uuidRepresentation="standard",
        readConcernLevel="majority",
        serverSelectionTimeoutMS=20_000,
        serverMonitoringMode="poll",
    )


# -- what is written ------------------------------------------------------------------------------------------


def _id(table: Table, value: Any) -> Any:
    """A drawn key as BSON has it."""
    match table.name:
        case "notes":
            return UUID(value)
        case "parts":
            return ObjectId(value)
        case "accounts":
            return {"region": value["region"], "no": Int64(value["no"])}
    return value


def _document(table: Table, row: Row) -> Doc:
    values = {field: _native(field, value) for field, value in row.items() if field != "_id"}
    given = {field: value for field, value in values.items() if value is not None or field not in _OMITTED}
    return {"_id": _id(table, row["_id"]), **given}


def _native(field: str, value: Any) -> Any:
    if value is None:
        return None
    if field == "price":
        return Decimal128(value)
    return datetime.fromisoformat(value) if field == "at" else value


def _filter(table: Table, which: Which) -> Doc:
    if isinstance(which, Some):
        return {"n": {{"<": "$lt", "=": "$eq", ">": "$gt"}[which.operator]: which.n}}
    return {"_id": _id(table, which["_id"])}


def _upsert(document: Doc, fields: set[str]) -> UpdateOne:
    """The document; where there is one already, only these fields of it."""
    update = {
        "$setOnInsert": {field: value for field, value in document.items() if field not in fields | {"_id"}}
    }
    if fields:
        update["$set"] = {field: document[field] for field in fields}
    return UpdateOne({"_id": document["_id"]}, update, upsert=True)


def _update(values: Row, version: int) -> Doc:
    natives = {field: _native(field, value) for field, value in values.items()}
    unset = {field: "" for field, value in natives.items() if value is None and field in _OMITTED}
    update: Doc = {"$set": {field: value for field, value in natives.items() if field not in unset}}
    update["$set"]["version"] = version
    if unset:
        update["$unset"] = unset
    return update


def _pipeline(values: Row, version: int) -> list[Doc]:
    """The same as a pipeline, of which the server logs what differs, down into documents and arrays."""
    update = _update(values, version)
    stages: list[Doc] = [{"$set": {field: {"$literal": value} for field, value in update["$set"].items()}}]
    return [*stages, {"$unset": list(update["$unset"])}] if "$unset" in update else stages


# -- what happened --------------------------------------------------------------------------------------------


def _operations(entry: Doc) -> Iterator[_Operation]:
    """The operations on documents of the oracle's database, in an entry of the oplog."""
    if entry["op"] == "c":
        for inner in entry["o"].get("applyOps", ()):
            yield from _operations(inner)
    elif entry["op"] in ("i", "u", "d"):
        database, _, table = entry["ns"].partition(".")
        if database == _NAME:
            yield _Operation(table, entry["op"], entry["o"], entry.get("o2", entry["o"])["_id"])


def _mark(operations: list[_Operation]) -> str | None:
    """A transaction left its mark; a statement by itself wrote its version, unless it deleted."""
    for operation in operations:
        if operation.table == _MARKS:
            return str(operation.key)
    for operation in operations:
        found = _version(operation)
        if found is not None:
            return str(found)
    return None


def _version(operation: _Operation) -> int | None:
    what = operation.what
    if operation.kind == "u" and "diff" in what:
        what = {**what["diff"].get("u", {}), **what["diff"].get("i", {})}
    return what.get("version")


def _apply(value: Any, diff: Mapping[str, Any]) -> Any:
    """The document or array after a `$v: 2` diff."""
    if diff.get("a"):
        items = list(value)[: diff.get("l")]
        for name, part_ in diff.items():
            if name[0] in "us" and name[1:].isdigit():
                place = int(name[1:])
                items += [None] * (place + 1 - len(items))
                items[place] = part_ if name[0] == "u" else _apply(items[place], part_)
        return items
    made = {field: inner for field, inner in value.items() if field not in diff.get("d", ())}
    made |= {**diff.get("u", {}), **diff.get("i", {})}
    for name, part_ in diff.items():
        if name[0] == "s":
            made[name[1:]] = _apply(made[name[1:]], part_)
    return made


def _decode(value: Any) -> Any:
    """BSON in the events' own form."""
    match value:
        case dict():
            return {field: _decode(inner) for field, inner in value.items()}
        case list():
            return [_decode(item) for item in value]
        case datetime():
            text = value.astimezone(UTC).replace(tzinfo=None).isoformat()
            return (text.rstrip("0") if value.microsecond else text) + "Z"
        case Decimal128() | UUID() | ObjectId():
            return str(value)
        case bool():
            return value
        case int():
            return int(value) if abs(value) < 2**53 else str(int(value))
    return value
