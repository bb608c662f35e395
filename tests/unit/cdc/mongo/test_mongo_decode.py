"""Change stream events, as MongoDB documents them, to changes."""

from __future__ import annotations

import json

import pytest
from bson import encode
from bson.binary import Binary
from bson.datetime_ms import DatetimeMS
from bson.int64 import Int64
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from cdc.errors import ProtocolError
from cdc.event import Reset
from cdc.mongo.decode import Decoder, resume_token_of, token_order
from cdc.mongo.reply import token_at

TOKEN = "826B05CEEF000000142B0229296E04"
OID = ObjectId("65f0a1b2c3d4e5f6a7b8c9d0")
OURS = frozenset({"todos", "users"})


def event(kind, coll="todos", **more):
    return {
        "_id": {"_data": TOKEN},
        "operationType": kind,
        "clusterTime": Timestamp(100, 7),
        "wallTime": DatetimeMS(100_250),
        "ns": {"db": "app", "coll": coll},
        **more,
    }


def decode(given, collections=OURS):
    raw = encode(given)
    return Decoder(collections).decode(raw, raw.decode("latin-1"), 0)


def row(**more):
    change = decode(event(documentKey={"_id": 1}, **more))
    assert change.resets == ()
    (only,) = change.rows
    return only, change


def types(found):
    return json.loads(found.types or "{}")


def images(found):
    return [image and json.loads(image) for image in (found.before, found.after)]


def test_insert():
    found, change = row(kind="insert", fullDocument={"_id": 1, "at": DatetimeMS(0)})
    assert (found.collection, found.op, found.key, types(found)) == (
        "todos", "c", '{"_id":1}', {"at": "timestamptz"},
    )  # fmt: skip
    assert images(found) == [None, {"_id": 1, "at": "1970-01-01T00:00:00Z"}]
    assert (change.token, change.order, change.ts_ms) == (TOKEN, 100 << 32 | 7, 100_250)
    assert change.transaction is None
    assert not change.images_missing


@pytest.mark.parametrize("kind", ["update", "replace"])
def test_update(kind):
    found, change = row(
        kind=kind, fullDocumentBeforeChange={"_id": 1, "a": OID}, fullDocument={"_id": 1, "b": OID}
    )
    assert (found.op, types(found)) == ("u", {"a": "objectId", "b": "objectId"})
    assert images(found) == [{"_id": 1, "a": str(OID)}, {"_id": 1, "b": str(OID)}]
    assert not change.images_missing


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, {"_id": 1}, [None, {"_id": 1}]),
        ({"_id": 1}, None, [None, None]),
        (None, None, [None, None]),
    ],
)
def test_an_image_that_is_missing(before, after, expected):
    found, change = row(kind="update", fullDocumentBeforeChange=before, fullDocument=after)
    assert images(found) == expected
    assert change.images_missing


def test_images_that_no_one_set_of_kinds_can_read():
    found, change = row(kind="update", fullDocumentBeforeChange={"a": str(OID)}, fullDocument={"a": OID})
    assert images(found) == [None, {"a": str(OID)}]
    assert types(found) == {"a": "objectId"}
    assert not change.images_missing


def test_delete():
    found, change = row(kind="delete", fullDocumentBeforeChange={"_id": 1, "a": OID})
    assert (found.op, images(found), types(found)) == (
        "d",
        [{"_id": 1, "a": str(OID)}, None],
        {"a": "objectId"},
    )
    assert not change.images_missing
    found, change = row(kind="delete", fullDocumentBeforeChange=None)
    assert (images(found), change.images_missing) == ([None, None], True)


def test_the_key_is_the_id_alone_also_where_a_shard_key_comes_with_it():
    change = decode(event("delete", documentKey={"region": "eu", "_id": OID}))
    assert change.rows[0].key == '{"_id":"65f0a1b2c3d4e5f6a7b8c9d0"}'


def test_transaction():
    lsid = {"id": Binary(b"x" * 16, 4), "uid": b"y"}
    change = decode(
        event("insert", documentKey={"_id": 1}, fullDocument={"_id": 1}, lsid=lsid, txnNumber=Int64(3)), OURS
    )
    assert change.transaction == (100 << 32 | 7, b"x" * 16, 3)


@pytest.mark.parametrize(
    ("given", "resets"),
    [
        (event("drop"), [("todos", "collection_dropped")]),
        (event("drop", "other"), []),
        (event("rename", to={"db": "app", "coll": "old"}), [("todos", "collection_renamed")]),
        (event("rename", "new", to={"db": "app", "coll": "todos"}), [("todos", "collection_renamed")]),
        (
            event("rename", to={"db": "app", "coll": "users"}),
            [("todos", "collection_renamed"), ("users", "collection_renamed")],
        ),
        (
            event("dropDatabase", ns={"db": "app"}),
            [("todos", "database_dropped"), ("users", "database_dropped")],
        ),
        (event("invalidate"), []),
        (event("insert", "other", documentKey={"_id": 1}, fullDocument={"_id": 1}), []),
    ],
)
def test_what_ends_a_collection(given, resets):
    change = decode(given)
    assert change.rows == ()
    assert change.resets == tuple(Reset(*each) for each in resets)


def test_without_wall_time_the_cluster_time_tells():
    given = event("drop")
    del given["wallTime"]
    assert decode(given).ts_ms == 100_000


@pytest.mark.parametrize("kind", ["create", "reshardCollection", ""])
def test_an_event_that_is_not_known_is_refused(kind):
    with pytest.raises(ProtocolError, match="is not known"):
        decode(event(kind))


def test_an_event_of_another_shape_is_refused():
    whole = event("insert", documentKey={"_id": 1}, fullDocument={"_id": 1})
    for name in ("_id", "operationType", "clusterTime", "ns", "documentKey"):
        for broken in ({key: value for key, value in whole.items() if key != name}, {**whole, name: None}):
            with pytest.raises(ProtocolError):
                decode(broken)


def test_tokens():
    for whole in ({"_data": TOKEN}, {"_data": TOKEN, "_typeBits": b"\x82\0\1"}):
        raw = encode(whole)
        token = token_at(raw, raw.decode("latin-1"), 0)
        assert resume_token_of(token) == whole
        assert token_order(token) == token_order(TOKEN)
        change = decode({**event("drop"), "_id": whole})
        assert (change.token, change.order) == (token, 100 << 32 | 7)
    assert token_order(TOKEN) == 0x6B05CEEF << 32 | 0x14
    for broken in ("", "82", "83" + TOKEN[2:], "x" * 30):
        with pytest.raises(ProtocolError):
            token_order(broken)
