"""Replies about a cursor, cut up."""

from __future__ import annotations

import pytest
from bson import decode, encode
from bson.int64 import Int64

from cdc.errors import ProtocolError
from cdc.mongo.convert import MALFORMED
from cdc.mongo.reply import DOCUMENT, STRING, fields, place, read_reply

FIVE = Int64(5)
TOKEN = "826B05CEEF000000142B0229296E04"


def reply(*events, batch="nextBatch", number=FIVE):
    cursor = {batch: list(events), "postBatchResumeToken": {"_data": TOKEN}, "id": number, "ns": "app.x"}
    return {"cursor": cursor, "ok": 1.0}


@pytest.mark.parametrize("batch", ["firstBatch", "nextBatch"])
def test_the_events_are_where_they_begin(batch):
    events = [{"n": number, "text": "é" * number} for number in range(12)]
    raw = encode(reply(*events, batch=batch))
    found = read_reply(raw)
    assert (found.cursor, found.token, found.text.encode("latin-1")) == (5, TOKEN, raw)
    sizes = [int.from_bytes(raw[at : at + 4], "little") for at in found.events]
    assert [decode(raw[at : at + size]) for at, size in zip(found.events, sizes, strict=True)] == events


def test_an_empty_batch_of_a_stream_that_ended():
    found = read_reply(encode(reply(number=Int64(0))))
    assert (found.cursor, found.events) == (0, [])


@pytest.mark.parametrize(
    "broken",
    [
        {"ok": 1.0},
        reply(number=5),
        reply("text"),
        {"cursor": {"nextBatch": [], "id": Int64(1)}, "ok": 1.0},
        {"cursor": {"nextBatch": {}, "id": Int64(1), "postBatchResumeToken": {"_data": TOKEN}}},
        {"cursor": {"nextBatch": [], "id": Int64(1), "postBatchResumeToken": {"_data": b"x"}}},
    ],
)
def test_what_is_not_the_reply_of_a_change_stream_is_refused(broken):
    with pytest.raises(ProtocolError):
        read_reply(encode(broken))


def test_fields():
    raw = encode({"a": 1, "b": "x", "c": {"d": None}})
    found = fields(raw, raw.decode("latin-1"), 0)
    assert {name: kind for name, (kind, _) in found.items()} == {"a": "\x10", "b": STRING, "c": DOCUMENT}
    assert fields(raw, raw.decode("latin-1"), place(found, "c", DOCUMENT)).keys() == {"d"}
    for name, kind in (("a", STRING), ("z", STRING)):
        with pytest.raises(MALFORMED):
            place(found, name, kind)
