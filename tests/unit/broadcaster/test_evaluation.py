from __future__ import annotations

from typing import Any

from broadcaster.evaluate import compile_predicate
from broadcaster.evaluation import Evaluation
from broadcaster.livequery import LiveQuery
from broadcaster.outcome import Outcome
from broadcaster.query import parse_where
from cdc.event import Chunk, Position
from support.hub_world import EPOCH, event


def chunk(offset: int, tx: int, order: int, *, ends: bool) -> Chunk:
    """One insert of the row `offset`."""
    entry = (offset, *event("c", tx, order, after={"id": offset}))
    return Chunk([entry], offset, Position(EPOCH, 100 * tx) if ends else None, 0)


def test_a_query_that_leaves_amid_a_transaction_takes_nothing_of_it_to_the_next():
    node = parse_where({})
    query = LiveQuery("key", "pg", "todos", node, compile_predicate(node), 1000)
    evaluation = Evaluation()
    evaluation.add(query)
    assert list(evaluation.run(chunk(1, 7, 1, ends=False))) == []
    evaluation.remove(query)
    (done,) = evaluation.run(chunk(2, 7, 2, ends=True))
    assert done.outcomes == []
    evaluation.add(query)
    (done,) = evaluation.run(chunk(3, 8, 1, ends=True))
    ((_, outcome),) = done.outcomes
    assert [key for _, key, _, _ in outcome.deltas] == [b'{"id":3}']


def query_of(name: str, where: object) -> LiveQuery:
    node = parse_where(where)
    return LiveQuery(name, "pg", "todos", node, compile_predicate(node), 1000)


def one(offset: int, op: str, *, ends: bool = True, tx: int = 7, **images: Any) -> Chunk:
    entry = (offset, *event(op, tx, offset, **images))
    return Chunk([entry], offset, Position(EPOCH, 100 * tx) if ends else None, 0)


def outcomes(evaluation: Evaluation, chunk: Chunk) -> dict[str, Outcome]:
    return {query.key: outcome for done in evaluation.run(chunk) for query, outcome in done.outcomes}


def test_only_the_queries_that_an_index_finds_are_asked():
    evaluation = Evaluation()
    for number in range(100):
        evaluation.add(query_of(f"q{number}", {"n": number}))
    evaluation.add(query_of("others", {"n": {"$ne": 5}}))
    moved = outcomes(evaluation, one(1, "u", before={"id": 1, "n": 5}, after={"id": 1, "n": 6}))
    assert {key: outcome.deltas[0][0] for key, outcome in moved.items()} == {
        "q5": b"delete",
        "q6": b"insert",
        "others": b"insert",
    }
    assert evaluation.take_candidates() == 3
    assert evaluation.take_candidates() == 0


def test_a_truncate_and_an_update_without_its_old_image_touch_every_query():
    evaluation = Evaluation()
    for number in range(3):
        evaluation.add(query_of(f"q{number}", {"n": number}))
    emptied = outcomes(evaluation, one(1, "t"))
    assert [outcome.truncated for outcome in emptied.values()] == [True] * 3
    unknown = outcomes(evaluation, one(2, "u", after={"id": 1, "n": 0}))
    assert [outcome.uncertain for outcome in unknown.values()] == [True] * 3
    assert outcomes(evaluation, one(3, "r", after={"id": 1, "n": 0})) == {}


def test_queries_come_and_go_amid_a_transaction():
    evaluation = Evaluation()
    first, second = query_of("first", {"n": 1}), query_of("second", {"n": 1})
    evaluation.add(first)
    assert not outcomes(evaluation, one(1, "c", ends=False, after={"id": 1, "n": 1}))
    evaluation.add(second)
    assert not outcomes(evaluation, one(2, "c", ends=False, after={"id": 2, "n": 1}))
    evaluation.remove(first)
    told = outcomes(evaluation, one(3, "c", after={"id": 3, "n": 1}))
    assert {key: [delta[1] for delta in outcome.deltas] for key, outcome in told.items()} == {
        "second": [b'{"id":2}', b'{"id":3}']
    }


def test_the_last_query_may_go_while_a_chunk_is_delivered():
    evaluation = Evaluation()
    query = query_of("q", {"n": 1})
    evaluation.add(query)
    entries = [(tx, *event("c", tx, 1, after={"id": tx, "n": 1})) for tx in (1, 2, 3)]
    run = evaluation.run(Chunk(entries, 3, Position(EPOCH, 300), 0))
    assert next(run).outcomes
    evaluation.remove(query)
    assert [done.outcomes for done in run] == [[], []]


def test_equal_outcomes_are_encoded_once():
    evaluation = Evaluation()
    evaluation.add(query_of("q1", {"n": 1}))
    evaluation.add(query_of("q2", {"n": {"$lt": 5}}))
    told = outcomes(evaluation, one(1, "c", after={"id": 1, "n": 1}))
    assert told["q1"] is told["q2"]


def test_rows_that_a_tailer_has_read_tell_nothing():
    evaluation = Evaluation()
    evaluation.add(query_of("all", {}))
    read = b'{"before":null,"after":{"id":1},"source":{"ts_ms":1},"op":"r","ts_ms":1,"transaction":null}'
    alone = Chunk([(1, "todos", b'{"id":1}', read)], 1, Position(EPOCH, 700), 0)
    assert list(evaluation.run(alone)) == []
    entry = (2, *event("c", 7, 1, after={"id": 2}))
    (done,) = evaluation.run(
        Chunk([entry, (3, "todos", b'{"id":1}', read)], 3, Position(EPOCH, 700), 0),
    )
    assert (done.first, done.last) == (2, 3)
    ((_, outcome),) = done.outcomes
    assert [key for _, key, _, _ in outcome.deltas] == [b'{"id":2}']
