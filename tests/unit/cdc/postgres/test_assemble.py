"""Messages to batches: the envelope, transactions, parts, relations and resets, positions, what is refused."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest

from cdc.codec import decode_envelope
from cdc.errors import ProtocolError, SetupError
from cdc.event import Position, Reset
from cdc.postgres.assemble import NeedRelation, RelationInfo
from cdc.postgres.memory import shape_of
from cdc.postgres.messages import UNCHANGED
from cdc.postgres.values import PgType
from support import pgwire
from support.assembling import COLUMNS, NOW_MS, OTHER, T1, T2, Server, events, relation, text

SHAPE = shape_of((name, oid, -1) for name, oid in COLUMNS)
DOC = '{"n": 1.50}'


def row(id_: int, name: str | None = "a", doc: str | None = DOC) -> dict[str, object]:
    return {"id": id_, "name": name, "doc": None if doc is None else msgspec.json.decode(doc)}


@pytest.fixture
def server() -> Server:
    server = Server()
    server.introduce()
    return server


# --- the envelope


def test_an_insert_byte_for_byte(server: Server) -> None:
    server.begin(xid=4_294_967_295)
    server.send(pgwire.insert(T1, text(1, "a", DOC)))
    lsn = server.lsn
    end = server.commit()
    batch = server.assembler.take()
    assert batch is not None
    assert batch.records == [
        (
            "t1",
            b'{"id":1}',
            b'{"before":null,"after":{"id":1,"name":"a","doc":{"n": 1.50}},"source":{"version":"0.1.0",'
            b'"connector":"postgresql","name":"todo-app.sql-postgres","snapshot":"false","epoch":"73","db":"app",'
            b'"schema":"public","table":"t1","ts_ms":%d,"txId":"4294967295","commit_lsn":%d,"lsn":%d},"op":"c",'
            b'"ts_ms":%d,"transaction":{"id":"4294967295","total_order":1,"data_collection_order":1,"last":true}}'
            % (pgwire.TIME_MS, end - 48, lsn, NOW_MS),
        )
    ]
    assert batch.position == Position(
        "73",
        end,
        {"relations": {name: {"shape": SHAPE, "key": ["id"]} for name in ("t1", "t2")}},
    )
    assert (batch.ts_ms, batch.resets) == (pgwire.TIME_MS, ())


def test_the_codec_reads_it(server: Server) -> None:
    server.transaction(pgwire.delete(T1, text(1, "a", DOC)))
    batch = server.assembler.take()
    assert batch is not None
    envelope = decode_envelope(batch.records[0][2] or b"")
    assert (envelope.op, envelope.before, envelope.after) == (
        "d",
        b'{"id":1,"name":"a","doc":{"n": 1.50}}',
        None,
    )
    assert (envelope.transaction.last, envelope.source.ts_ms) == (True, pgwire.TIME_MS)


def test_kinds_are_named_where_json_cannot_tell() -> None:
    server = Server()
    columns = [("id", 20), ("price", 1700), ("x", 701)]
    server.begin(relation(T1, "t1", columns))
    big = 2**53 + 1
    server.send(
        pgwire.insert(T1, text(1, "1.5", "2")),
        pgwire.insert(T1, text(big, "1.5", "2")),
        pgwire.update(T1, text(1, "1.5", "NaN"), text(1, "1.5", "2")),
        pgwire.update(T1, text(1, "1.5", "2"), text(1, "1.5", "NaN")),
        pgwire.delete(T1, text(big, None, "-Infinity")),
        pgwire.truncate([T1]),
    )
    server.commit()
    price = {"price": "decimal"}
    found = events(server.assembler.take())
    assert [event.value.get("types") for event in found] == [
        price,
        {"id": "int64", **price},
        {**price, "x": "float"},
        {**price, "x": "float"},
        {"id": "int64", **price, "x": "float"},
        None,
    ]
    assert found[1].key == {"id": str(big)}


def test_types_that_are_not_built_in() -> None:
    server = Server()
    server.catalog = {
        T1: RelationInfo("t1", ("id",), False, {20_001: PgType(20_001, "domain", "price", 1700)})
    }
    server.transaction(relation(T1, "t1", [("id", 23), ("p", 20_001)]), pgwire.insert(T1, text(1, "2.50")))
    (event,) = events(server.assembler.take())
    assert (event.value["after"], event.value["types"]) == ({"id": 1, "p": "2.50"}, {"p": "decimal"})
    assert server.asked[0].type_oids == (23, 20_001)


def test_a_composite_key_in_key_order() -> None:
    server = Server()
    server.catalog = {T1: RelationInfo("t1", ("name", "id"))}
    server.transaction(relation(T1, "t1"), pgwire.insert(T1, text(1, 'q"', DOC)))
    batch = server.assembler.take()
    assert batch is not None
    assert batch.records[0][1] == b'{"name":"q\\"","id":1}'


def test_text_beyond_ascii(server: Server) -> None:
    server.transaction(pgwire.insert(T1, text(1, "é 😀 \u2028", '"ü"')))
    (event,) = events(server.assembler.take())
    assert event.value["after"] == {"id": 1, "name": "é 😀 \u2028", "doc": "ü"}


# --- row messages


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (pgwire.insert(T1, text(1, None, None)), [("c", {"id": 1}, None, row(1, None, None))]),
        (
            pgwire.update(T1, text(1, "a", DOC), text(1, "b", DOC)),
            [("u", {"id": 1}, row(1), row(1, "b"))],
        ),
        (
            pgwire.update(T1, text(1, None, None), text(1, None, DOC)),
            [("u", {"id": 1}, row(1, None, None), row(1, None))],
        ),
        (
            pgwire.update(T1, text(1, "a", DOC), text(1, None, None)),
            [("u", {"id": 1}, row(1), row(1, None, None))],
        ),
        (pgwire.update(T1, None, text(1, "b", DOC)), [("u", {"id": 1}, None, row(1, "b"))]),
        (
            pgwire.update(T1, text(1, "a", DOC), text(2, "b", DOC)),
            [("d", {"id": 1}, row(1), None), ("c", {"id": 2}, None, row(2, "b"))],
        ),
        (
            pgwire.update(T1, text(1, None, None), text(2, "b", DOC), "K"),
            [("d", {"id": 1}, None, None), ("c", {"id": 2}, None, row(2, "b"))],
        ),
        (pgwire.delete(T1, text(1, "a", DOC)), [("d", {"id": 1}, row(1), None)]),
        (pgwire.delete(T1, text(1, "a", None)), [("d", {"id": 1}, row(1, doc=None), None)]),
        (pgwire.delete(T1, text(1, None, None), "K"), [("d", {"id": 1}, None, None)]),
        (pgwire.truncate([T1]), [("t", None, None, None)]),
        # Out-of-line values that an update left alone.
        (
            pgwire.update(T1, text(1, "a", DOC), text(1, "b", UNCHANGED)),
            [("u", {"id": 1}, row(1), row(1, "b"))],
        ),
        (
            pgwire.update(T1, text(1, "a", None), text(1, "b", UNCHANGED)),
            [("u", {"id": 1}, row(1, doc=None), {"id": 1, "name": "b"})],
        ),
        (
            pgwire.update(T1, None, text(1, "b", UNCHANGED)),
            [("u", {"id": 1}, None, {"id": 1, "name": "b"})],
        ),
        (
            pgwire.update(T1, text(1, "a", DOC), text(2, UNCHANGED, UNCHANGED)),
            [("d", {"id": 1}, row(1), None), ("c", {"id": 2}, None, row(2))],
        ),
        (
            pgwire.update(T1, text(1, None, None), text(2, UNCHANGED, DOC), "K"),
            [("d", {"id": 1}, None, None), ("c", {"id": 2}, None, {"id": 2, "doc": {"n": 1.5}})],
        ),
        (
            pgwire.update(T1, text(1, None, None), text(UNCHANGED, "b", DOC), "K"),
            [("u", {"id": 1}, None, row(1, "b"))],
        ),
    ],
)
def test_what_a_row_message_means(server: Server, message: bytes, expected: object) -> None:
    server.transaction(message)
    assert [event.what for event in events(server.assembler.take())] == expected


def test_absent_fields_have_no_kind() -> None:
    server = Server()
    columns = [("id", 23), ("price", 1700), ("at", 1082)]
    server.transaction(relation(T1, "t1", columns), pgwire.update(T1, None, text(1, UNCHANGED, "2026-09-21")))
    (event,) = events(server.assembler.take())
    assert event.value["types"] == {"at": "date"}


def test_a_partitions_old_row_with_only_its_key_is_unknown() -> None:
    server = Server(partitioned=True)
    server.introduce()
    server.transaction(
        pgwire.update(T1, text(1, None, None), text(1, "b", DOC)),
        pgwire.update(T1, text(1, None, None), text(2, "b", UNCHANGED)),
        pgwire.update(T1, text(1, "a", None), text(1, "b", DOC)),
        pgwire.delete(T1, text(1, None, None)),
        pgwire.delete(T1, text(1, None, DOC)),
    )
    assert [event.what for event in events(server.assembler.take())] == [
        ("u", {"id": 1}, None, row(1, "b")),
        ("d", {"id": 1}, None, None),
        ("c", {"id": 2}, None, {"id": 2, "name": "b"}),
        ("u", {"id": 1}, row(1, doc=None), row(1, "b")),
        ("d", {"id": 1}, None, None),
        ("d", {"id": 1}, row(1, None), None),
    ]


def test_a_partitioned_table_of_nothing_but_its_key() -> None:
    server = Server(partitioned=True)
    server.transaction(relation(T1, "t1", [("id", 23)]), pgwire.delete(T1, text(1)))
    (event,) = events(server.assembler.take())
    assert event.what == ("d", {"id": 1}, {"id": 1}, None)


def test_a_change_without_its_key_is_refused(server: Server) -> None:
    server.begin()
    with pytest.raises(ProtocolError, match=r"t1: a change came without id.* REPLICA IDENTITY FULL"):
        server.send(pgwire.update(T1, None, text(UNCHANGED, "b", DOC)))


# --- transactions


def test_numbers_and_the_last_of_each_collection(server: Server) -> None:
    for xid in (1, 2):
        server.transaction(
            pgwire.insert(T1, text(1, "a", DOC)),
            pgwire.insert(T2, text(1, "a", DOC)),
            pgwire.update(T1, text(1, "a", DOC), text(2, "a", DOC)),
            pgwire.truncate([T2, T1]),
            xid=xid,
        )
    found = events(server.assembler.take())
    expected = [
        ("t1", (1, 1, False)),
        ("t2", (2, 1, False)),
        ("t1", (3, 2, False)),
        ("t1", (4, 3, False)),
        ("t2", (5, 2, True)),
        ("t1", (6, 4, True)),
    ]
    assert [(event.collection, event.numbers) for event in found] == expected * 2
    assert [event.value["source"]["txId"] for event in found] == ["1"] * 6 + ["2"] * 6


def test_nothing_leaves_before_its_commit(server: Server) -> None:
    server.begin(pgwire.insert(T1, text(1, "a", DOC)))
    assert server.assembler.in_transaction
    assert server.assembler.pending_bytes > 0
    assert server.assembler.take() is None
    server.commit()
    assert not server.assembler.in_transaction
    assert len(events(server.assembler.take())) == 1
    assert server.assembler.pending_bytes == 0
    assert server.assembler.take() is None


def test_transactions_that_touch_nothing_wanted_only_move_the_position(server: Server) -> None:
    end = server.transaction(
        pgwire.origin("elsewhere"),
        pgwire.type_name(20_000, "public", "mood"),
        relation(OTHER, "other"),
        pgwire.insert(OTHER, text(1, "a", DOC)),
        pgwire.update(OTHER, None, text(1, "a", DOC)),
        pgwire.delete(OTHER, text(1, "a", DOC)),
        pgwire.truncate([OTHER]),
        pgwire.logical_message("livetail", b"\x00"),
    )
    batch = server.assembler.take()
    assert batch is not None
    assert (batch.records, batch.ts_ms) == ([], NOW_MS)
    assert batch.position is not None
    assert batch.position.order == end
    assert [need.relid for need in server.asked] == [T1, T2]


def test_a_table_that_the_catalog_says_is_not_wanted() -> None:
    server = Server()
    server.catalog = {T1: RelationInfo(None)}
    server.transaction(relation(T1, "t1"), pgwire.insert(T1, text(1, "a", DOC)))
    assert events(server.assembler.take()) == []


def test_a_message_outside_any_transaction_means_nothing(server: Server) -> None:
    server.send(pgwire.logical_message("livetail", b"x", transactional=False))
    assert server.assembler.take() is None


# --- parts of large transactions


def test_a_single_large_event_is_not_there_to_be_taken() -> None:
    """The stream must not stop reading for it: its commit, or what comes before that, would never be read."""
    server = Server(max_part_bytes=10)
    server.introduce()
    server.begin(pgwire.insert(T1, text(1, "a", DOC)))
    server.send(pgwire.insert(T2, text(1, "a", DOC)))
    assert server.assembler.pending_bytes > 10
    assert not server.assembler.has_records
    assert server.assembler.take() is None
    server.send(pgwire.insert(T1, text(2, "a", DOC)))
    assert server.assembler.has_records
    assert len(events(server.assembler.take())) == 1
    assert not server.assembler.has_records
    server.commit()
    assert server.assembler.has_records


def test_a_large_transaction_comes_in_parts() -> None:
    server = Server(max_part_bytes=4_000)
    server.introduce()
    server.begin(pgwire.insert(T2, text(0, "a", DOC)))
    parts = []
    for i in range(1, 101):
        server.send(pgwire.insert(T1, text(i, "a", DOC)))
        if (batch := server.assembler.take()) is not None:
            assert batch.position is None
            assert batch.ts_ms == pgwire.TIME_MS
            parts.append(events(batch))
            assert server.assembler.pending_bytes <= 4_000
    end = server.commit()
    rest = server.assembler.take()
    assert rest is not None
    assert rest.position is not None
    assert rest.position.order == end
    assert len(parts) > 3
    whole = [event for part in [*parts, events(rest)] for event in part]
    ones = [event for event in whole if event.collection == "t1"]
    assert [event.numbers for event in ones] == [(i + 1, i, i == 100) for i in range(1, 101)]
    assert [event.numbers for event in whole if event.collection == "t2"] == [(1, 1, True)]
    assert server.assembler.take() is None


def test_complete_transactions_leave_before_the_part_of_an_open_one() -> None:
    server = Server(max_part_bytes=100)
    server.introduce()
    server.transaction(pgwire.insert(T1, text(1, "a", DOC)))
    server.begin(pgwire.insert(T1, text(2, "a", DOC)), pgwire.insert(T1, text(3, "a", DOC)))
    taken = [server.assembler.take() for _ in range(3)]
    assert [batch and (len(batch.records), batch.position is None) for batch in taken] == [
        (1, False),
        (1, True),
        None,
    ]


def test_the_newest_event_alone_is_no_part() -> None:
    server = Server(max_part_bytes=10)
    server.introduce()
    server.begin(pgwire.insert(T1, text(1, "a", DOC)))
    assert server.assembler.take() is None
    server.commit()
    assert [event.numbers for event in events(server.assembler.take())] == [(1, 1, True)]


def test_a_transaction_after_one_in_parts_counts_anew() -> None:
    server = Server(max_part_bytes=10)
    server.introduce()
    server.begin(pgwire.insert(T1, text(1, "a", DOC)), pgwire.insert(T1, text(2, "a", DOC)))
    server.assembler.take()
    server.commit()
    server.transaction(pgwire.insert(T1, text(3, "a", DOC)))
    assert [event.numbers for event in events(server.assembler.take())] == [(2, 2, True), (1, 1, True)]


# --- positions


def test_keepalives_move_the_position_but_not_inside_a_transaction(server: Server) -> None:
    assembler = server.assembler
    assembler.progress(server.lsn + 500)
    batch = assembler.take()
    assert batch is not None
    assert batch.position is not None
    assert (batch.records, batch.position.order) == ([], server.lsn + 500)
    assembler.progress(server.lsn)
    assert assembler.take() is None
    server.lsn += 500
    server.begin()
    assembler.progress(server.lsn + 10_000)
    assert assembler.take() is None
    end = server.commit()
    batch = assembler.take()
    assert batch is not None
    assert batch.position is not None
    assert batch.position.order == end


def test_a_keepalive_moves_what_is_complete_and_not_yet_taken(server: Server) -> None:
    end = server.transaction(pgwire.insert(T1, text(1, "a", DOC)))
    server.assembler.progress(end + 1_000)
    batch = server.assembler.take()
    assert batch is not None
    assert batch.position is not None
    assert (len(batch.records), batch.position.order) == (1, end + 1_000)
    assert server.assembler.take() is None


def test_positions_grow(server: Server) -> None:
    orders = []
    for i in range(5):
        server.transaction(pgwire.insert(T1, text(i, "a", DOC)))
        batch = server.assembler.take()
        assert batch is not None
        assert batch.position is not None
        orders.append(batch.position.order)
    assert all(a < b for a, b in pairwise(orders))


def test_what_the_position_covers_is_dropped() -> None:
    first = Server()
    first.begin(relation(T1, "t1"), pgwire.insert(T1, text(1, "a", DOC)))
    first.commit()
    batch = first.assembler.take()
    assert batch is not None
    again = Server(position=batch.position)
    again.begin(relation(T1, "t1"), pgwire.insert(T1, text(1, "a", DOC)), pgwire.truncate([T1]))
    assert again.assembler.in_transaction
    again.commit()
    assert again.assembler.take() is None
    again.transaction(pgwire.insert(T1, text(2, "a", DOC)))
    assert [event.key for event in events(again.assembler.take())] == [{"id": 2}]


def test_a_repeat_of_old_columns_is_no_change_of_columns() -> None:
    state = {"relations": {"t1": {"shape": "newer", "key": ["id"]}}, "more": 1}
    server = Server(position=Position("73", 10**9, state))
    server.transaction(relation(T1, "t1"), pgwire.insert(T1, text(1, "a", DOC)))
    assert server.assembler.take() is None
    assert server.assembler.shape("t1") == "newer"


def test_state_that_is_not_ours_is_kept() -> None:
    server = Server(position=Position("73", 0, {"more": 1}))
    server.transaction(relation(T1, "t1"))
    batch = server.assembler.take()
    assert batch is not None
    assert batch.position is not None
    assert batch.position.state == {"more": 1, "relations": {"t1": {"shape": SHAPE, "key": ["id"]}}}


# --- relations and resets


def test_a_relation_is_asked_for_once_before_anything_is_taken_in() -> None:
    server = Server()
    server.begin()
    for _ in range(2):
        with pytest.raises(NeedRelation) as raised:
            server.assembler.feed(pgwire.frame(relation(T1, "t1")))
        need = raised.value
        assert (need.relid, need.schema, need.table, need.type_oids) == (T1, "public", "t1", (23, 25, 3802))
    server.send(relation(T1, "t1"), relation(T1, "t1"), pgwire.insert(T1, text(1, "a", DOC)))
    server.commit()
    assert len(server.asked) == 1
    batch = server.assembler.take()
    assert batch is not None
    assert (len(batch.records), batch.resets) == (1, ())


def test_changed_columns_reset_the_collection_at_the_start_of_a_batch(server: Server) -> None:
    server.transaction(pgwire.insert(T1, text(1, "a", DOC)))
    server.transaction(
        pgwire.insert(T2, text(1, "a", DOC)),
        relation(T1, "t1", [("id", 23), ("title", 25)]),
        pgwire.insert(T1, text(2, "b")),
    )
    server.transaction(pgwire.insert(T1, text(3, "c")))
    first, second = server.assembler.take(), server.assembler.take()
    assert first is not None
    assert second is not None
    assert (len(first.records), first.resets) == (1, ())
    assert first.position is not None
    assert first.position.state["relations"]["t1"]["shape"] == SHAPE
    assert second.resets == (Reset("t1", "columns_changed"),)
    assert [event.value["after"] for event in events(second)][1:] == [
        {"id": 2, "title": "b"},
        {"id": 3, "title": "c"},
    ]
    assert second.position is not None
    assert second.position.state["relations"]["t1"]["shape"] == server.assembler.shape("t1") != SHAPE
    assert server.assembler.take() is None


def test_a_position_before_the_commit_does_not_know_the_new_columns(server: Server) -> None:
    server.assembler.progress(server.lsn + 10)
    server.lsn += 10
    server.begin(relation(T1, "t1", [("id", 20)]))
    batch = server.assembler.take()
    assert batch is not None
    assert batch.position is not None
    assert batch.position.state["relations"]["t1"]["shape"] == SHAPE
    resumed = Server(position=batch.position)
    resumed.lsn = server.lsn
    resumed.transaction(relation(T1, "t1", [("id", 20)]))
    batch = resumed.assembler.take()
    assert batch is not None
    assert batch.resets == (Reset("t1", "columns_changed"),)


def test_columns_that_changed_while_the_tailer_was_down(server: Server) -> None:
    end = server.transaction(pgwire.insert(T1, text(1, "a", DOC)))
    batch = server.assembler.take()
    assert batch is not None
    resumed = Server(position=batch.position)
    resumed.lsn = end
    resumed.transaction(relation(T1, "t1", [("id", 23)]), pgwire.insert(T1, text(1)), relation(T2, "t2"))
    batch = resumed.assembler.take()
    assert batch is not None
    assert batch.resets == (Reset("t1", "columns_changed"),)


def test_a_reset_within_a_large_transaction_is_not_lost() -> None:
    server = Server(max_part_bytes=10)
    server.introduce()
    server.begin(pgwire.insert(T1, text(1, "a", DOC)), pgwire.insert(T1, text(2, "a", DOC)))
    assert server.assembler.take() is not None
    server.send(relation(T1, "t1", [("id", 23)]), pgwire.insert(T1, text(3)))
    part = server.assembler.take()
    server.commit()
    rest = server.assembler.take()
    assert part is not None
    assert rest is not None
    assert part.resets + rest.resets == (Reset("t1", "columns_changed"),)
    assert [event.numbers for event in events(part) + events(rest)] == [(2, 2, False), (3, 3, True)]


def test_another_key_resets_the_collection() -> None:
    state = {"relations": {"t1": {"shape": SHAPE, "key": ["name"]}}}
    server = Server(position=Position("73", 0, state))
    server.transaction(relation(T1, "t1"))
    batch = server.assembler.take()
    assert batch is not None
    assert batch.resets == (Reset("t1", "key_changed"),)


def test_a_catalog_ahead_of_the_stream(server: Server) -> None:
    """The key's column was renamed since; the relation comes again, as the old one, after an unrelated change."""
    server.catalog = {T1: RelationInfo("t1", ("uid",))}
    columns = [*COLUMNS, ("more", 23)]
    server.transaction(relation(T1, "t1", columns), pgwire.insert(T1, text(1, "a", DOC, 5)))
    assert [event.key for event in events(server.assembler.take())] == [{"id": 1}]


def test_a_table_dropped_since_keeps_its_last_key(server: Server) -> None:
    server.catalog = {T1: RelationInfo("t1")}
    server.transaction(relation(T1, "t1", [("id", 23)]), pgwire.insert(T1, text(1)))
    assert [event.key for event in events(server.assembler.take())] == [{"id": 1}]


@pytest.mark.parametrize(
    ("info", "reason"),
    [
        (RelationInfo("t1"), r"table public.t1 has no primary key.*ALTER TABLE public.t1 ADD PRIMARY KEY"),
        (
            RelationInfo("t1", ("uid",)),
            r"table public.t1 publishes doc, id, name, without its primary key \(uid\)",
        ),
    ],
)
def test_a_table_whose_key_nobody_knows(info: RelationInfo, reason: str) -> None:
    server = Server()
    server.catalog = {T1: info}
    server.begin()
    with pytest.raises(SetupError, match=reason):
        server.send(relation(T1, "t1"))


def test_a_renamed_table_is_another(server: Server) -> None:
    server.transaction(relation(T1, "archive"), pgwire.insert(T1, text(1, "a", DOC)))
    assert events(server.assembler.take()) == []
    server.transaction(relation(OTHER, "t1x"), relation(T1, "t1"), pgwire.insert(T1, text(2, "a", DOC)))
    assert [event.key for event in events(server.assembler.take())] == [{"id": 2}]


def test_a_table_made_anew_counts_on_within_its_transaction(server: Server) -> None:
    server.catalog = {**server.catalog, OTHER: RelationInfo("t1", ("id",))}
    server.transaction(
        pgwire.insert(T1, text(1, "a", DOC)),
        relation(OTHER, "t1"),
        pgwire.insert(OTHER, text(1, "a", DOC)),
    )
    assert [event.numbers for event in events(server.assembler.take())] == [(1, 1, False), (2, 2, True)]


# --- what is refused


@pytest.mark.parametrize(
    ("opened", "message", "reason"),
    [
        (True, pgwire.begin(10**6), "'B' inside a transaction"),
        (False, pgwire.commit(10**6, 10**6 + 48), "'C' outside a transaction"),
        (False, pgwire.insert(T1, text(1, "a", DOC)), "outside a transaction"),
        (False, relation(T1, "t1"), "outside a transaction"),
        (False, pgwire.truncate([T1]), "outside a transaction"),
        (True, pgwire.insert(12, text(1)), "relation 12, which was never announced"),
        (True, pgwire.truncate([T1, 12]), "relation 12, which was never announced"),
        (True, pgwire.commit(5, 6), "a transaction began with its commit at"),
        (True, pgwire.insert(T1, text(1, "a")), "t1: a row of 2 values for 3 columns"),
        (True, pgwire.update(T1, text(1), text(2)), "t1: a row of 1 values for 3 columns"),
        (True, pgwire.insert(T1, text(None, "a", DOC)), "t1: a change came without id"),
        (
            True,
            pgwire.insert(T1, [b"1", b"\xff", b"2"]),
            "t1: a value of name does not have the form of its type",
        ),
        (True, pgwire.insert(T1, text(1, "a", DOC)) + b"\0", "1 bytes too many"),
        (True, b"S" + bytes(5), "unknown type of message"),
        (True, b"", "CopyData|pgoutput message ''"),
    ],
)
def test_refuses(server: Server, opened: bool, message: bytes, reason: str) -> None:
    if opened:
        server.begin()
    with pytest.raises(ProtocolError, match=reason):
        server.send(message)


@pytest.mark.parametrize(
    "message", [pgwire.insert(T1, text(1, "a", DOC)), pgwire.delete(T1, text(1, "a", DOC))]
)
def test_refuses_another_frame(server: Server, message: bytes) -> None:
    server.begin()
    with pytest.raises(ProtocolError, match="frame"):
        server.assembler.feed(b"x" + pgwire.frame(message)[1:])
    with pytest.raises(ProtocolError, match="keep-alive"):
        server.assembler.feed(pgwire.keepalive(1))


def test_refuses_a_transaction_below_what_was_all_sent(server: Server) -> None:
    server.assembler.progress(10**9)
    with pytest.raises(ProtocolError, match="though everything below 1000000000 was sent"):
        server.begin()


def test_refuses_to_resume_inside_a_commit() -> None:
    server = Server(position=Position("73", 101_010))
    server.begin()
    with pytest.raises(ProtocolError, match="the position 101010 lies inside a commit"):
        server.commit()


def test_a_refused_row_leaves_nothing_behind(server: Server) -> None:
    server.begin(pgwire.insert(T1, text(1, "a", DOC)))
    with pytest.raises(ProtocolError):
        server.send(pgwire.insert(T1, [b"2", b"\xff", b"2"]))
    server.commit()
    assert [event.numbers for event in events(server.assembler.take())] == [(1, 1, True)]
