"""What a client may be told: one table of codes, one exception that carries one of them. (pure)"""

from __future__ import annotations

from typing import Final

from cdc.errors import LivetailError

CODES: Final[dict[str, tuple[int, str]]] = {
    # the query
    "bad_where": (400, "`where` is not a document of conditions, or names a field in a way that cannot be"),
    "unknown_operator": (400, "no such operator, or not in this place"),
    "bad_operand": (400, "the operator does not take this value"),
    "where_too_deep": (400, "operators, a value or a field path are nested deeper than allowed"),
    "where_too_large": (400, "more conditions, or larger values in one, than allowed"),
    "in_too_large": (400, "more items in `$in` or `$nin` than allowed"),
    "pattern_too_long": (400, "the pattern is longer than allowed"),
    "bad_sort": (400, "`sort` is not a list of up to four field names"),
    "bad_limit": (400, "`limit` is no number of rows, or of more than allowed"),
    "bad_aggregate": (400, "`aggregate` or `groupBy` is not what can be aggregated so"),
    # what it asks for
    "unknown_project": (404, "this server does not serve that project"),
    "unknown_database": (404, "the project has no database of that alias"),
    "unknown_collection": (404, "the database has no such collection"),
    "not_realtime": (400, "the collection is not realtime-enabled"),
    "access_denied": (403, "the rules do not let this client read the collection"),
    "access_changed": (503, "what the client may read has changed since it came: reconnect"),
    "unauthenticated": (
        401,
        "the collection is read with a token, or the token given is none that is accepted",
    ),
    "token_expired": (401, "the token's `exp` has passed: reconnect with a fresh one"),
    # the request
    "bad_request": (400, "the request is not what the API describes"),
    "request_too_large": (413, "the request is larger than allowed"),
    "result_too_large": (
        413,
        "the initial result has more rows than allowed: narrow `where` or give a `limit`",
    ),
    "too_many_groups": (413, "an aggregate has more groups than allowed: narrow `where`"),
    "too_many_subscriptions": (429, "more live queries than allowed on one connection, or for one token"),
    "too_many_connections": (429, "more connections than allowed"),
    # the server
    "overloaded": (503, "the server has no room for this now"),
    "keys_unavailable": (503, "the keys that tokens are checked with cannot be fetched now"),
    "rules_unavailable": (503, "a rule asks another service or collection, which does not answer now"),
    "database_unavailable": (503, "the database cannot be asked now"),
    "not_ready": (503, "the server has not caught up with the log yet"),
    "shutting_down": (503, "the server is about to stop"),
    "internal": (500, "a fault of the server, which its log describes"),
}
"""Every error code: (HTTP status, meaning). A refused request's body and an `error` frame use the same ones."""

_RETRYABLE: Final = frozenset({429, 500, 503})


class RequestError(LivetailError):
    """A client's request is refused, or its live query ends.

    code: a key of `CODES`; message: for the client's eyes; path: the offending part of the request, as
    `$.where.$or[1].age.$gt`; status: HTTP; retryable: the same request may succeed later.
    """

    def __init__(self, code: str, message: str, path: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path
        self.status = CODES[code][0]
        self.retryable = self.status in _RETRYABLE

    def body(self) -> dict[str, object]:
        """What the client gets, in a refused request's `error` and in an `error` frame alike."""
        body: dict[str, object] = {"code": self.code, "message": self.message, "retryable": self.retryable}
        if self.path is not None:
            body["path"] = self.path
        return body
