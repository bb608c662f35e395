"""What the console shows of live queries. (pure)"""

from __future__ import annotations

import heapq
from collections.abc import Collection
from typing import Any, Final

from broadcaster.index_terms import Equality
from broadcaster.livequery import LiveQuery
from broadcaster.predicate import (
    And,
    Compare,
    Comparison,
    Constant,
    Contains,
    Document,
    Exists,
    In,
    Leaf,
    Like,
    Literal,
    Node,
    Not,
    Or,
    Regex,
)

_MOST_QUERIES: Final = 100


def queries_report(queries: Collection[LiveQuery]) -> dict[str, Any]:
    """How many there are, and the hundred that most subscribe to. Of 100,000 in 10 ms."""
    most = heapq.nlargest(_MOST_QUERIES, queries, key=lambda query: query.subscribers)
    return {"count": len(queries), "most": [_query(query) for query in most]}


def _query(query: LiveQuery) -> dict[str, Any]:
    report: dict[str, Any] = {
        "db": query.database,
        "col": query.collection,
        "where": where_of(query.node),
        "subscribers": query.subscribers,
        "index": index_class(query),
    }
    if query.order is not None:
        report["sort"] = [f"-{field.path}" if field.descending else field.path for field in query.order.sort]
        report["limit"] = query.order.limit
    if query.shares is not None:
        aggregation = query.shares.aggregation
        report["aggregate"] = {
            one.name: {one.function.value: True if one.path is None else one.path}
            for one in aggregation.aggregates
        }
        report["groupBy"] = aggregation.group_by
    return report


def index_class(query: LiveQuery) -> str:
    """How changes find the live query: by an `equality`, by a `range`, or each is asked about (`scan`)."""
    if query.branches is None:
        return "scan"
    found = (any(isinstance(term, Equality) for term in branch) for branch in query.branches)
    return "equality" if all(found) else "range"


def where_of(node: Node) -> dict[str, Any]:
    """A `where` that means this."""
    match node:
        case Constant(value):
            return {} if value else {"$nor": [{}]}
        case And(children):
            parts = [where_of(child) for child in children]
            names = [name for part in parts for name in part]
            if len(set(names)) < len(names):
                return {"$and": parts}
            return {name: value for part in parts for name, value in part.items()}
        case Or(children):
            return {"$or": [where_of(child) for child in children]}
        case Not(Compare(path, Comparison.EQ, operand)):
            return {path: {"$ne": _json(operand)}}
        case Not(In(path, items)):
            return {path: {"$nin": list(map(_json, items))}}
        case Not(Exists(path)):
            return {path: {"$exists": False}}
        case Not(leaf):
            return {leaf.path: {"$not": _condition(leaf)}}
        case Compare(path, Comparison.EQ, operand) if not isinstance(operand, Document):
            return {path: _json(operand)}
        case _:
            return {node.path: _condition(node)}


def _condition(leaf: Leaf) -> dict[str, Any]:
    match leaf:
        case Compare(_, op, operand):
            return {op.value: _json(operand)}
        case In(_, items):
            return {"$in": list(map(_json, items))}
        case Exists():
            return {"$exists": True}
        case Like(_, pattern):
            return {"$like": pattern}
        case Regex(_, pattern, flags):
            return {"$regex": pattern, "$options": flags} if flags else {"$regex": pattern}
        case Contains(_, operand):
            return {"$contains": _json(operand)}


def _json(literal: Literal) -> Any:
    if isinstance(literal, tuple):
        return list(map(_json, literal))
    if isinstance(literal, Document):
        return {name: _json(value) for name, value in literal.items}
    return literal
