from __future__ import annotations

from broadcaster.evaluate import compile_predicate
from broadcaster.evaluation import Evaluation
from broadcaster.livequery import LiveQuery
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
    assert [key for _, key, _ in outcome.deltas] == [b'{"id":3}']
