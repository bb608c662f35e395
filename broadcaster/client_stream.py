"""A stream of the Python client: frames of several live queries, over as many connections as it takes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from broadcaster.client_frames import Failure, Frame, Inbox, parse_frame
from broadcaster.sse_parser import SseParser, StreamError
from cdc.errors import LivetailError

_MESSAGE_CHARS: Final = 200
_LOST: Final = (aiohttp.ClientError, OSError, TimeoutError, StreamError)


class ClientError(LivetailError):
    """The server refuses the live query, and would again.

    code, message, path: the server's (contracts §4); code `http_<status>` where something else answered.
    """

    def __init__(self, code: str, message: str, path: str | None = None) -> None:
        super().__init__(f"{code}: {message}" + ("" if path is None else f" ({path})"))
        self.code = code
        self.message = message
        self.path = path


@dataclass(frozen=True, slots=True)
class LiveQuery:
    """A live query of a stream, under an id of the caller's choice. sort: fields, as `title`, or `-title` for
    descending; limit: how many rows at most; aggregate: what is made of the rows, as `{"total": {"sum": "price"}}`, for
    each group of them that has the same values in the fields of group_by."""

    id: str
    database: str
    collection: str
    where: Mapping[str, Any] = field(default_factory=dict)
    skip_initial: bool = False
    select: Sequence[str] | None = None
    sort: Sequence[str] | None = None
    limit: int | None = None
    aggregate: Mapping[str, Mapping[str, Any]] | None = None
    group_by: Sequence[str] | None = None

    def subscription(self) -> dict[str, Any]:
        """As a request has it."""
        options: dict[str, Any] = {}
        if self.skip_initial:
            options["skipInitial"] = True
        if self.select is not None:
            options["select"] = list(self.select)
        if self.sort is not None:
            options["sort"] = list(self.sort)
        if self.limit is not None:
            options["limit"] = self.limit
        if self.aggregate is not None:
            options["aggregate"] = self.aggregate
        if self.group_by is not None:
            options["groupBy"] = list(self.group_by)
        return {
            "id": self.id,
            "db": self.database,
            "col": self.collection,
            "where": self.where,
            "options": options,
        }


class Stream:
    """The frames of several live queries, in order, over as many connections as it takes; resumes by itself.

    What a disconnect left unfinished is never seen (`client_frames`). Iteration raises ClientError when the server
    refuses the stream for good; a live query that fails for good is a `Failure` frame, and the others go on.
    Not to be iterated over by two tasks at once.

    post: asks the server for a stream; delay: (attempts in vain, the server's `retry` in ms, its Retry-After in
    seconds) → seconds to wait. renews: an expired token is a reason to connect anew, with another one. coalesce: where
    this end is slow, changes of several transactions come in one frame.
    connections: how many there have been.
    """

    def __init__(
        self,
        queries: Iterable[LiveQuery],
        cursor: str | None,
        post: Callable[[bytes], Awaitable[aiohttp.ClientResponse]],
        delay: Callable[[int, int | None, float], float],
        on_close: Callable[[Stream], None],
        *,
        renews: bool = False,
        coalesce: bool = False,
    ) -> None:
        self.connections = 0
        self._post = post
        self._delay_of = delay
        self._on_close = on_close
        self._renews = renews
        self._coalesce = coalesce
        self._queries = {query.id: query for query in queries}
        self._inbox = Inbox(cursor)
        self._parser = SseParser()
        self._response: aiohttp.ClientResponse | None = None
        self._frames: deque[tuple[Frame, str | None]] = deque()
        self._cursor = cursor
        self._refused: ClientError | None = None
        self._attempt = 0
        self._delay = 0.0
        self._retry_ms: int | None = None
        self._closed = asyncio.Event()

    @property
    def cursor(self) -> str | None:
        """Where another stream can go on: after the last transaction whose frames were all handed out."""
        return self._cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Frame:
        while not self._frames:
            if self._closed.is_set() or not self._queries:
                self.close()
                refused, self._refused = self._refused, None
                raise refused or StopAsyncIteration
            try:
                await (self._connect() if self._response is None else self._read(self._response))
            except _LOST:
                self._lose(0.0)
        frame, cursor = self._frames.popleft()
        self._cursor = cursor or self._cursor
        return frame

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the stream: what has come already is still handed out, then the iteration stops."""
        self._closed.set()
        self.reconnect()
        self._on_close(self)

    def reconnect(self) -> None:
        """Give up the connection; the stream resumes on another."""
        if self._response is not None:
            self._response.close()

    async def _connect(self) -> None:
        if self._delay > 0:
            try:
                async with asyncio.timeout(self._delay):
                    await self._closed.wait()
            except TimeoutError:
                self._delay = 0.0
            return
        response = await self._post(self._request())
        if response.status == 200 and response.content_type == "text/event-stream":
            self.connections += 1
            self._response = response
            self._parser = SseParser()
            return
        async with response:
            error = _refusal(response, await response.text())
            if response.status != 429 and response.status < 500 and not self._renewable(error.code):
                self._refuse(error)
                return
            self._lose(_seconds(response.headers.get("Retry-After", "")))

    async def _read(self, response: aiohttp.ClientResponse) -> None:
        data = await response.content.readany()
        if not data:
            self._lose(0.0)
            return
        for event in self._parser.feed(data):
            frame = parse_frame(event)
            if frame is None:
                continue
            self._attempt = 0
            if isinstance(frame, Failure) and not frame.retryable:
                if self._renewable(frame.code):
                    continue  # the server closes the connection
                self._failed(frame)
            self._hand_out(self._inbox.take(frame, event.id))
        self._retry_ms = self._parser.retry_ms or self._retry_ms

    def _hand_out(self, group: list[Frame]) -> None:
        for place, frame in enumerate(group, 1):
            self._frames.append((frame, self._inbox.cursor if place == len(group) else None))

    def _failed(self, failure: Failure) -> None:
        if failure.id is None:
            self._refuse(ClientError(failure.code, failure.message, failure.path))
        else:
            self._queries.pop(failure.id, None)

    def _renewable(self, code: str) -> bool:
        return self._renews and code == "token_expired"

    def _refuse(self, error: ClientError) -> None:
        self._refused = error
        self.close()

    def _lose(self, retry_after: float) -> None:
        """The connection is lost, or never came about."""
        self.reconnect()
        self._response = None
        self._inbox.drop()
        self._delay = self._delay_of(self._attempt, self._retry_ms, retry_after)
        self._attempt += 1

    def _request(self) -> bytes:
        body: dict[str, Any] = {"subscriptions": [query.subscription() for query in self._queries.values()]}
        if self._coalesce:
            body["coalesce"] = True
        if self._inbox.cursor is not None:
            body["cursor"] = self._inbox.cursor
        return msgspec.json.encode(body)


def _refusal(response: aiohttp.ClientResponse, text: str) -> ClientError:
    try:
        error = msgspec.json.decode(text)["error"]
        return ClientError(str(error["code"]), str(error["message"]), error.get("path"))
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return ClientError(f"http_{response.status}", text[:_MESSAGE_CHARS])


def _seconds(text: str) -> float:
    """Of a Retry-After; 0 where it is a date or missing."""
    return float(text) if text.isascii() and text.isdigit() else 0.0
