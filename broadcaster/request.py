"""A request for live queries, checked as far as its shape goes. (pure)"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from broadcaster.aggregate import Aggregate, Aggregation, Function
from broadcaster.errors import RequestError
from broadcaster.order import Order, SortField

_SINGLE_ID = "q1"
_MAX_ID_CHARS = 200
_OPTIONS = {"skipInitial", "select", "sort", "limit", "aggregate", "groupBy"}
_PARAMETERS = {"where", *_OPTIONS, "coalesce", "cursor", "id", "ticket", "token"}
_MAX_SORTED = 4
_MAX_SELECTED = 100
_MAX_AGGREGATES = 10
_MAX_GROUPED = 2
_MAX_NAME_CHARS = 100
_MAX_PATH_CHARS = 1000
_MAX_PATH_SEGMENTS = 32
_WHOLE = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One live query as the client asks for it; `path` is where in the request it stands."""

    id: str
    database: str
    collection: str
    where: Any
    skip_initial: bool
    path: str
    select: tuple[str, ...] | None = None
    order: Order | None = None
    aggregation: Aggregation | None = None


def single(database: str, collection: str, query: Mapping[str, str]) -> Wanted:
    """The live query of a GET's path and query string."""
    for name in query:
        if name not in _PARAMETERS:
            raise RequestError("bad_request", f"unknown parameter `{name}`", f"$.{name}")
    skip = _flag(query, "skipInitial")
    where = _where(query.get("where", "{}"))
    name = query.get("id", _SINGLE_ID)
    _check_id(name, "$.id")
    select = _select(query["select"].split(","), "$.select") if "select" in query else None
    options: dict[str, Any] = {}
    if "sort" in query:
        options["sort"] = query["sort"].split(",")
    if "limit" in query:
        limit = query["limit"]
        options["limit"] = int(limit) if _WHOLE.fullmatch(limit) else limit
    if "aggregate" in query:
        options["aggregate"] = _json(query["aggregate"], "$.aggregate")
    if "groupBy" in query:
        options["groupBy"] = query["groupBy"].split(",")
    aggregation = _aggregation(options, query, "$")
    order = _order(options, skip, "$")
    return Wanted(name, database, collection, where, skip, "$", select, order, aggregation)


def coalesces(query: Mapping[str, str]) -> bool:
    """Whether a GET's query string asks for changes to be merged while the reader is behind."""
    return _flag(query, "coalesce")


def many(body: bytes | str, path: str = "$") -> tuple[list[Wanted], str | None, bool]:
    """The live queries, the cursor, and whether changes are merged while the reader is behind, of a POST's body (or of
    a GET's `subscriptions`, then a bare list)."""
    data = _json(body, path)
    cursor: Any = None
    coalesce: Any = False
    if isinstance(data, dict):
        _only(data, {"subscriptions", "cursor", "coalesce"}, path)
        coalesce = data.get("coalesce", False)
        if not isinstance(coalesce, bool):
            raise RequestError("bad_request", "must be true or false", f"{path}.coalesce")
        cursor = data.get("cursor")
        if cursor is not None and not isinstance(cursor, str):
            raise RequestError("bad_request", "must be a string", f"{path}.cursor")
        data = data.get("subscriptions")
        path = f"{path}.subscriptions"
    if not isinstance(data, list) or not data:
        raise RequestError("bad_request", "must be a list of at least one subscription", path)
    wanted = [_wanted(item, f"{path}[{place}]") for place, item in enumerate(data)]
    seen: set[str] = set()
    for one in wanted:
        if one.id in seen:
            raise RequestError("bad_request", f"the id {one.id!r} is used twice", f"{one.path}.id")
        seen.add(one.id)
    return wanted, cursor, coalesce


def _flag(query: Mapping[str, str], name: str) -> bool:
    given = query.get(name, "false")
    if given not in ("true", "false"):
        raise RequestError("bad_request", "must be true or false", f"$.{name}")
    return given == "true"


def _where(text: str) -> Any:
    """curl takes the braces of `where={"done":false}` for a glob of its own and sends what is between them."""
    if text.startswith('"'):
        text = f"{{{text}}}"
    return _json(text, "$.where")


def _wanted(item: Any, path: str) -> Wanted:
    if not isinstance(item, dict):
        raise RequestError("bad_request", "must be an object", path)
    _only(item, {"id", "db", "col", "where", "options"}, path)
    for name in ("id", "db", "col"):
        if not isinstance(item.get(name), str):
            raise RequestError("bad_request", "must be a string", f"{path}.{name}")
    _check_id(item["id"], f"{path}.id")
    options = item.get("options", {})
    if not isinstance(options, dict):
        raise RequestError("bad_request", "must be an object", f"{path}.options")
    _only(options, _OPTIONS, f"{path}.options")
    skip = options.get("skipInitial", False)
    if not isinstance(skip, bool):
        raise RequestError("bad_request", "must be true or false", f"{path}.options.skipInitial")
    select = _select(options["select"], f"{path}.options.select") if "select" in options else None
    aggregation = _aggregation(options, options, f"{path}.options")
    order = _order(options, skip, f"{path}.options")
    return Wanted(
        item["id"], item["db"], item["col"], item.get("where", {}), skip, path, select, order, aggregation
    )


def _order(options: Mapping[str, Any], skip_initial: bool, path: str) -> Order | None:
    """The order and limit asked for; None for neither. A limit alone is one of rows by primary key."""
    if "sort" not in options and "limit" not in options:
        return None
    if skip_initial:
        raise RequestError(
            "bad_request",
            "`sort` and `limit` need the initial result: places are told of it",
            f"{path}.skipInitial",
        )
    limit = options.get("limit")
    if "limit" in options and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise RequestError("bad_limit", "must be a whole number from 1 on", f"{path}.limit")
    sort = _sort(options["sort"], f"{path}.sort") if "sort" in options else ()
    return Order(sort, limit)


def _aggregation(options: Mapping[str, Any], given: Mapping[str, Any], path: str) -> Aggregation | None:
    """What is aggregated; None where rows are asked for. given: all that was asked for."""
    if "aggregate" not in options:
        if "groupBy" in options:
            raise RequestError("bad_aggregate", "`groupBy` stands beside `aggregate` only", f"{path}.groupBy")
        return None
    for name in ("select", "sort", "limit", "skipInitial"):
        if given.get(name, False) not in (False, "false"):
            raise RequestError("bad_aggregate", f"`{name}` does not go with `aggregate`", f"{path}.{name}")
    group_by = options.get("groupBy", [])
    if "groupBy" in options and (not isinstance(group_by, list) or not 0 < len(group_by) <= _MAX_GROUPED):
        raise RequestError(
            "bad_aggregate", f"must be a list of 1 to {_MAX_GROUPED} field names", f"{path}.groupBy"
        )
    for place, name in enumerate(group_by):
        if not _is_path(name) or name in group_by[:place]:
            raise RequestError(
                "bad_aggregate", "must be a field name, and each another one", f"{path}.groupBy[{place}]"
            )
    return Aggregation(_aggregates(options["aggregate"], group_by, f"{path}.aggregate"), tuple(group_by))


def _aggregates(asked: Any, group_by: list[str], path: str) -> tuple[Aggregate, ...]:
    if not isinstance(asked, dict) or not 0 < len(asked) <= _MAX_AGGREGATES:
        raise RequestError(
            "bad_aggregate",
            f'must be an object of 1 to {_MAX_AGGREGATES} fields, as {{"n": {{"count": true}}}}',
            path,
        )
    aggregates: list[Aggregate] = []
    for name, one in asked.items():
        here = f"{path}.{name[:_MAX_NAME_CHARS]}"
        if not 0 < len(name) <= _MAX_NAME_CHARS or name in group_by:
            raise RequestError(
                "bad_aggregate",
                f"its name must have 1 to {_MAX_NAME_CHARS} characters, and be no group's",
                here,
            )
        if not isinstance(one, dict) or len(one) != 1 or next(iter(one)) not in list(Function):
            raise RequestError("bad_aggregate", f"must be an object with one of {', '.join(Function)}", here)
        [(function, field)] = one.items()
        if field is True and function == Function.COUNT:
            aggregates.append(Aggregate(name, Function.COUNT))
        elif _is_path(field):
            aggregates.append(Aggregate(name, Function(function), field))
        else:
            rows = ", or true for all rows" if function == Function.COUNT else ""
            raise RequestError("bad_aggregate", f"must be a field name{rows}", f"{here}.{function}")
    return tuple(aggregates)


def _is_path(name: Any) -> bool:
    if not isinstance(name, str) or len(name) > _MAX_PATH_CHARS:
        return False
    segments = name.split(".")
    return len(segments) <= _MAX_PATH_SEGMENTS and not any(
        not segment or segment.startswith("$") for segment in segments
    )


def _sort(fields: Any, path: str) -> tuple[SortField, ...]:
    if not isinstance(fields, list) or not 0 < len(fields) <= _MAX_SORTED:
        raise RequestError("bad_sort", f"must be a list of 1 to {_MAX_SORTED} field names", path)
    sort: list[SortField] = []
    for place, text in enumerate(fields):
        name = text.removeprefix("-") if isinstance(text, str) else ""
        if not _is_path(name):
            raise RequestError(
                "bad_sort", "must be a field name, as `title`, or `-title` for descending", f"{path}[{place}]"
            )
        if any(name == field.path for field in sort):
            raise RequestError("bad_sort", f"{name!r} stands twice", f"{path}[{place}]")
        sort.append(SortField(name, text.startswith("-")))
    return tuple(sort)


def _select(fields: Any, path: str) -> tuple[str, ...]:
    if not isinstance(fields, list) or not 0 < len(fields) <= _MAX_SELECTED:
        raise RequestError("bad_request", f"must be a list of 1 to {_MAX_SELECTED} field names", path)
    for field in fields:
        if not isinstance(field, str) or len(field) > _MAX_PATH_CHARS or not all(field.split(".")):
            raise RequestError("bad_request", "must hold field names, as `title` or `address.city`", path)
    return tuple(fields)


def _check_id(name: str, path: str) -> None:
    if not 0 < len(name) <= _MAX_ID_CHARS:
        raise RequestError("bad_request", f"must have 1 to {_MAX_ID_CHARS} characters", path)


def _only(data: Mapping[str, Any], known: set[str], path: str) -> None:
    for name in data:
        if name not in known:
            raise RequestError(
                "bad_request", f"unknown field; known are {', '.join(sorted(known))}", f"{path}.{name}"
            )


def _json(text: bytes | str, path: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise RequestError("bad_request", f"is not JSON: {error}", path) from None
