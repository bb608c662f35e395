"""The compiled and the generated decoders mean what the general one means; garbage leaves as ProtocolError alone."""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias
from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cdc import kernel
from cdc.errors import ProtocolError
from cdc.event import Batch, Position
from cdc.postgres import assemble
from cdc.postgres.assemble import Assembler, NeedRelation, RelationInfo
from cdc.postgres.messages import UNCHANGED, Value
from cdc.postgres.pgoutput import decode, decode_frame
from cdc.postgres.rowreader import PythonRowReader, RowReader, row_reader
from cdc.postgres.values import compile_row
from cdc.transaction import Transaction
from support import pgwire
from support.assembling import NOW_MS, OTHER, T1

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
JSON = st.recursive(
    st.none() | st.integers() | TEXT, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner)
)
TYPES: dict[int, st.SearchStrategy[str]] = {
    16: st.sampled_from("tf"),
    17: st.binary(max_size=4).map(lambda raw: "\\x" + raw.hex()),
    20: st.integers(-(2**63), 2**63 - 1).map(str),
    23: st.integers(-(2**31), 2**31 - 1).map(str),
    25: TEXT,
    114: JSON.map(lambda value: msgspec.json.format(msgspec.json.encode(value), indent=1).decode()),
    701: st.sampled_from(["1.5", "NaN", "-Infinity", "1e+20"]),
    1007: st.lists(st.integers(0, 9)).map(lambda items: "{" + ",".join(map(str, items)) + "}"),
    1114: st.datetimes().map(lambda moment: moment.isoformat(" ")) | st.just("infinity"),
    1184: st.datetimes().map(lambda moment: moment.isoformat(" ") + "+00")
    | st.just("0044-03-15 12:00:00+00 BC"),
    1700: st.decimals(allow_nan=True, allow_infinity=False).map(str),
    3802: JSON.map(lambda value: msgspec.json.encode(value).decode()),
}


def _rows(oids: list[int]) -> st.SearchStrategy[list[Value]]:
    """Rows whose first column, the key, is never NULL."""
    key, *others = (TYPES[oid].map(str.encode) for oid in oids)
    return st.tuples(key, *(st.none() | other for other in others)).map(list)


@st.composite
def _messages(draw: st.DrawFn, oids: list[int]) -> bytes:
    old, new = draw(_rows(oids)), draw(_rows(oids))
    for i in range(len(oids)):
        what = draw(st.sampled_from(["new", "new", "same", "unchanged"] if i else ["same", "same", "new"]))
        if what == "same":
            new[i] = old[i]
        elif what == "unchanged":
            new[i] = UNCHANGED
    key_only: list[Value] = [old[0], *[None] * (len(oids) - 1)]
    return draw(
        st.sampled_from(
            [
                pgwire.insert(T1, new),
                pgwire.update(T1, old, new),
                pgwire.update(T1, key_only, new),
                pgwire.update(T1, None, new),
                pgwire.update(T1, key_only, new, "K"),
                pgwire.delete(T1, old),
                pgwire.delete(T1, key_only, "K"),
                pgwire.truncate([T1]),
            ]
        )
    )


OIDS = st.lists(st.sampled_from(list(TYPES)), min_size=1, max_size=10)
STREAMS = OIDS.flatmap(lambda oids: st.tuples(st.just(oids), st.lists(_messages(oids), max_size=6)))

# The form of times and of jsonb is taken on trust where it is inlined, so damage shows only on the general way.
STRICT_OIDS = st.lists(
    st.sampled_from([oid for oid in TYPES if oid not in (1114, 1184, 3802)]), min_size=1, max_size=6
)
STRICT = STRICT_OIDS.flatmap(lambda oids: st.tuples(st.just(oids), _messages(oids)))


class _NoReader(PythonRowReader):
    """Leaves every row to the general way."""

    def read(self, message: bytes | memoryview) -> bool:
        return False


Reader: TypeAlias = Callable[[Transaction, Callable[[], int]], RowReader]
READERS: list[Reader] = [
    lambda transaction, _: _NoReader(transaction),
    lambda transaction, _: PythonRowReader(transaction),
    *(part.RowReader for part in [kernel.load("pgoutput")] if part is not None),
]


def _assembler(oids: list[int], partitioned: bool, reader: Reader = row_reader) -> Assembler:
    with mock.patch.object(assemble, "row_reader", reader):
        assembler = Assembler(
            project="p",
            alias="a",
            database="d",
            version="0",
            position=Position("1", 0),
            collections={("public", "t1"): "t1"},
            now_ms=lambda: NOW_MS,
        )
    assembler.feed(pgwire.frame(pgwire.begin(1_000)))
    columns = [(f"c{i}", oid) for i, oid in enumerate(oids)]
    relation = pgwire.frame(pgwire.relation(T1, "public", "t1", columns))
    with pytest.raises(NeedRelation):
        assembler.feed(relation)
    assembler.learn(RelationInfo("t1", ("c0",), partitioned))
    assembler.feed(relation)
    return assembler


def _finish(assembler: Assembler) -> Batch | None:
    assembler.feed(pgwire.frame(pgwire.commit(1_000, 1_048)))
    return assembler.take()


@given(STREAMS, st.booleans())
@settings(max_examples=150)
def test_all_readers_agree(stream: tuple[list[int], list[bytes]], partitioned: bool) -> None:
    _agree(*stream, partitioned)


def _agree(oids: list[int], messages: list[bytes], partitioned: bool) -> None:
    batches: list[Batch | None] = []
    for reader in READERS:
        assembler = _assembler(oids, partitioned, reader)
        for i, message in enumerate(messages):
            assembler.feed(pgwire.frame(message, i))
        batches.append(_finish(assembler))
    assert all(batch == batches[0] for batch in batches)
    assert batches[0] is not None
    for _, key, value in batches[0].records:
        assert value is not None
        assert b"\n" not in value
        assert b"\r" not in value
        msgspec.json.decode(key)
        msgspec.json.decode(value)


def test_all_readers_agree_on_a_wide_row() -> None:
    """Whose marks are more than a machine word."""
    oids = [20] * 70
    values: list[Value] = [str(2**62 + i).encode() if i % 3 else b"1" for i in range(70)]
    _agree(oids, [pgwire.insert(T1, values)], False)


ANYTHING = OIDS.flatmap(
    lambda oids: st.tuples(
        st.just(oids),
        st.lists(
            st.lists(
                _messages(oids)
                | st.sampled_from(
                    [
                        pgwire.origin("elsewhere"),
                        pgwire.relation(T1, "public", "t1", [(f"c{i}", oid) for i, oid in enumerate(oids)]),
                        pgwire.relation(OTHER, "public", "other", [("id", 23)]),
                        pgwire.insert(OTHER, [b"1"]),
                        pgwire.keepalive(0),
                    ]
                ),
                max_size=3,
            ),
            max_size=6,
        ),
        st.sets(st.integers(0, 40)),
    )
)


@given(ANYTHING)
@settings(max_examples=100)
def test_all_readers_agree_on_transactions(case: tuple[list[int], list[list[bytes]], set[int]]) -> None:
    """However many rows they have, whatever comes between these, wherever they are taken."""
    oids, transactions, takes = case
    taken: list[list[Batch]] = []
    for reader in READERS:
        assembler = _assembler(oids, False, reader)
        assembler.feed(pgwire.frame(pgwire.relation(OTHER, "public", "other", [("id", 23)])))
        assembler.feed(pgwire.frame(pgwire.commit(1_000, 1_048)))
        batches: list[Batch] = []
        lsn, count = 2_000, 0
        for xid, messages in enumerate(transactions):
            framed = [pgwire.begin(lsn + 500, xid), *messages, pgwire.commit(lsn + 500, lsn + 548)]
            for i, message in enumerate(framed):
                if message[:1] == b"k":
                    assembler.progress(lsn)
                else:
                    assembler.feed(pgwire.frame(message, lsn + i))
                count += 1
                if count in takes and (batch := assembler.take()) is not None:
                    batches.append(batch)
            assembler.progress(lsn + 600)
            lsn += 1_000
        while (batch := assembler.take()) is not None:
            batches.append(batch)
        assert not assembler.in_transaction
        assert assembler.pending_bytes == 0
        taken.append(batches)
    assert all(each == taken[0] for each in taken)


@given(st.lists(st.sampled_from("BbCcI"), max_size=12))
@settings(max_examples=100)
def test_all_readers_refuse_alike_what_comes_out_of_order(order: list[str]) -> None:
    """A Begin within a transaction or behind its time, a Commit of another one, a row outside."""
    outcomes = []
    for reader in READERS:
        assembler = _assembler([23], False, reader)
        assembler.feed(pgwire.frame(pgwire.commit(1_000, 1_048)))
        outcome = []
        for i, kind in enumerate(order):
            message = {
                "B": pgwire.begin(2_000 + i // 3 * 1_000),
                "b": pgwire.begin(500),
                "C": pgwire.commit(2_000 + i // 3 * 1_000, 2_048 + i // 3 * 1_000),
                "c": pgwire.commit(9_999, 10_048),
                "I": pgwire.insert(T1, [b"1"]),
            }[kind]
            try:
                assembler.feed(pgwire.frame(message))
            except ProtocolError as error:
                outcome.append(str(error))
                break
        outcomes.append((outcome, assembler.in_transaction, assembler.take()))
    assert all(each == outcomes[0] for each in outcomes)


@given(OIDS.flatmap(lambda oids: st.tuples(st.just(oids), _rows(oids))))
@settings(max_examples=100)
def test_a_snapshots_row_is_the_streams(case: tuple[list[int], list[Any]]) -> None:
    oids, values = case
    assembler = _assembler(oids, False)
    assembler.feed(pgwire.frame(pgwire.insert(T1, values)))
    batch = _finish(assembler)
    assert batch is not None
    ((_, key, event),) = batch.records

    columns = [_Column(f"c{i}", oid) for i, oid in enumerate(oids)]
    snapshot_key, doc, types = compile_row(columns, ["c0"], {})(values)
    assert event is not None
    assert (snapshot_key, doc) == (key, event[len(b'{"before":null,"after":') :][: len(doc)])
    assert msgspec.json.decode(event).get("types") == types


class _Column(msgspec.Struct, frozen=True):
    name: str
    oid: int


@given(STREAMS.filter(lambda stream: bool(stream[1])))
@settings(max_examples=25)
def test_a_message_cut_at_any_byte_is_refused_and_leaves_nothing(
    stream: tuple[list[int], list[bytes]],
) -> None:
    oids, messages = stream
    assembler = _assembler(oids, False)
    frame = pgwire.frame(messages[0])
    for end in range(len(frame)):
        with pytest.raises(ProtocolError):
            assembler.feed(frame[:end])
    batch = _finish(assembler)
    assert batch is not None
    assert batch.records == []


@given(STRICT, st.data())
@settings(max_examples=150)
def test_damaged_messages_are_refused_alike(case: tuple[list[int], bytes], data: st.DataObject) -> None:
    oids, message = case
    frame = bytearray(pgwire.frame(message))
    for _ in range(data.draw(st.integers(1, 3))):
        frame[data.draw(st.integers(0, len(frame) - 1))] = data.draw(st.integers(0, 255))
    outcomes = []
    for reader in READERS:
        assembler = _assembler(oids, False, reader)
        try:
            assembler.feed(bytes(frame))
        except (ProtocolError, NeedRelation) as error:
            outcomes.append(type(error).__name__)
        else:
            outcomes.append(repr(_finish(assembler)) if assembler.in_transaction else "committed")
    assert all(outcome == outcomes[0] for outcome in outcomes)


@given(st.binary(max_size=60))
@settings(max_examples=300)
def test_garbage_is_decoded_or_refused(garbage: bytes) -> None:
    for function in (decode, decode_frame):
        with suppress(ProtocolError):
            function(garbage)


@given(st.sampled_from(b"BCORYIUDTM"), st.binary(max_size=60))
@settings(max_examples=300)
def test_garbage_of_every_type_is_decoded_or_refused(kind: int, garbage: bytes) -> None:
    assembler = _assembler([23, 25], False)
    relid = struct.pack(">I", T1) if kind in b"IUD" else b""
    with suppress(ProtocolError, NeedRelation):
        assembler.feed(pgwire.frame(bytes([kind]) + relid + garbage))
