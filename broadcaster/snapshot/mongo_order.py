"""The order of a live query as reads of MongoDB, each of which is sorted as `broadcaster.order` has it. (pure)

MongoDB's order is not ours: between types, among arrays, and for NaN. So each type whose values it sorts as we do is
read apart, by a sort of the first field alone, and all else without order. Numbers are sorted alike once they are
rounded to doubles (`Order.rounded`); doubles and decimals that are closer than that may change places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bson.datetime_ms import DatetimeMS

from broadcaster.order import Order, SortField
from broadcaster.snapshot.mongo_query import is_unicode

_FARTHEST: Final = 310_000_000_000_000  # ms; within the years that a predicate can read
_DATES: Final = {"$gte": DatetimeMS(-_FARTHEST), "$lte": DatetimeMS(_FARTHEST)}
_NAN: Final = float("nan")
_NO_ARRAY: Final = {"$not": {"$type": "array"}}
_OTHERS: Final = [
    "array", "object", "bool", "binData", "undefined", "regex", "dbPointer", "javascript", "symbol",
    "javascriptWithScope", "timestamp", "minKey", "maxKey",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Read:
    """filter: which documents, beside the query's own condition; sort: 1 or -1, by `field`, None without order."""

    filter: Mapping[str, Any]
    field: str = ""
    sort: int | None = None


WHOLE: Final = Read({})


def reads(order: Order) -> Sequence[Read]:
    """All documents, some of them perhaps twice. One read of everything where MongoDB's sort is of no use."""
    first = order.sort[0] if order.sort else SortField("_id")
    if "." in first.path or "\0" in first.path or not is_unicode(first.path):
        return [WHOLE]
    direction = -1 if first.descending else 1

    def sorted_by(*conditions: Mapping[str, Any]) -> Read:
        own = [{first.path: condition} for condition in (*conditions, _NO_ARRAY)]
        return Read({"$and": own}, first.path, direction)

    others = [{"$type": _OTHERS}, {"$eq": _NAN}, {"$lt": _DATES["$gte"]}, {"$gt": _DATES["$lte"]}]
    return [
        Read({"$or": [{first.path: condition} for condition in others]}),
        sorted_by(_DATES),
        sorted_by({"$type": "number"}, {"$ne": _NAN}),
        sorted_by({"$type": "string"}),
        sorted_by({"$type": "objectId"}),
        sorted_by({"$eq": None}),
    ]
