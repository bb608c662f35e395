"""Events that the server split, in the shapes that MongoDB documents."""

from __future__ import annotations

import json

import pytest
from bson import encode
from bson.datetime_ms import DatetimeMS
from bson.timestamp import Timestamp

from cdc.errors import ProtocolError
from cdc.mongo.decode import Decoder
from cdc.mongo.requirements import splits_events

HEAD = "826B05CEEF000000142B02"


def fragment(number, of=3, **more):
    return {"_id": {"_data": f"{HEAD}0{number}"}, "splitEvent": {"fragment": number, "of": of}, **more}


FIRST = fragment(
    1,
    wallTime=DatetimeMS(100_250),
    operationType="update",
    clusterTime=Timestamp(100, 7),
    ns={"db": "app", "coll": "todos"},
    documentKey={"_id": 1},
)
SECOND = fragment(2, fullDocument={"_id": 1, "text": "é"})
THIRD = fragment(3, updateDescription={}, fullDocumentBeforeChange={"_id": 1, "text": "e"})
WHOLE = {
    "_id": {"_data": HEAD + "09"},
    "operationType": "delete",
    "clusterTime": Timestamp(100, 8),
    "wallTime": DatetimeMS(100_251),
    "ns": {"db": "app", "coll": "todos"},
    "documentKey": {"_id": 1},
    "fullDocumentBeforeChange": {"_id": 1, "text": "é"},
}


def decoded(decoder, doc):
    raw = b"before" + encode(doc) + b"behind"
    return decoder.decode(raw, raw.decode("latin-1"), 6)


def test_an_event_in_fragments_is_one_change():
    decoder = Decoder(["todos"])
    for _ in range(2):
        assert decoded(decoder, FIRST) is None
        assert decoded(decoder, SECOND) is None
        change = decoded(decoder, THIRD)
        (row,) = change.rows
        assert (change.token, change.order, change.ts_ms) == (HEAD + "03", 100 << 32 | 7, 100_250)
        assert (row.op, row.key) == ("u", '{"_id":1}')
        assert row.after.encode("latin-1").decode() == '{"_id":1,"text":"é"}'
        assert json.loads(row.before) == {"_id": 1, "text": "e"}
        assert not change.images_missing
        assert decoded(decoder, WHOLE).rows[0].op == "d"


def test_an_event_in_one_fragment():
    given = {**WHOLE, "splitEvent": {"fragment": 1, "of": 1}}
    assert decoded(Decoder(["todos"]), given) == decoded(Decoder(["todos"]), WHOLE)


@pytest.mark.parametrize(
    "given",
    [
        [SECOND],
        [FIRST, FIRST],
        [FIRST, THIRD],
        [FIRST, fragment(2, of=2)],
        [FIRST, WHOLE],
        [{**FIRST, "splitEvent": {"fragment": 0, "of": 3}}],
        [{**FIRST, "splitEvent": {"fragment": 1, "of": 0}}],
        [{**FIRST, "splitEvent": {"fragment": 1}}],
        [{**FIRST, "splitEvent": 1}],
        [fragment(1, of=1)],
    ],
)
def test_fragments_out_of_turn_are_refused(given):
    decoder = Decoder(["todos"])
    *first, last = given
    for each in first:
        assert decoded(decoder, each) is None
    with pytest.raises(ProtocolError):
        decoded(decoder, last)


@pytest.mark.parametrize(
    ("version", "splits"),
    [((6, 0, 5), False), ((6, 0, 9), True), ((6, 3, 0), False), ((7, 0, 0), True), ((8, 2, 1), True)],
)
def test_servers_that_split(version, splits):
    assert splits_events(version) is splits
