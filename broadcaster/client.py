"""The Python client: live queries that outlive their connections.

`async with Client("todo-app", "http://localhost:4122") as client:` then
`async for change in client.live_query("sql-postgres", "todos", {"done": False}):` gives one `Change` after the other.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import aiohttp

from broadcaster.client_frames import Failure, Progress, Row
from broadcaster.client_result import Change, Result
from broadcaster.client_stream import ClientError, LiveQuery, Stream

__all__ = ["Change", "Client", "ClientError", "LiveQuery", "Stream", "Subscription"]

TokenSource: TypeAlias = Callable[[], "str | Awaitable[str]"]
OnSnapshot: TypeAlias = Callable[[list[Row], str, Row, Row | None], None]
"""(docs, type, find, changed doc), as in `Change`."""

_CONNECT_SECONDS: Final = 10.0
_SILENCE_SECONDS: Final = 60.0
_FIRST_DELAY: Final = 1.0
_MOST_DOUBLINGS: Final = 16


class Client:
    """A project at a server. Closes its HTTP session at the end, unless it was given one.

    token: sent as `Authorization: Bearer`, or a function that gives it, which is asked before every connection and
        again when the token has expired.
    max_delay: most seconds between two attempts to connect, beyond what the server itself asks for.
    """

    def __init__(
        self,
        project: str,
        url: str,
        *,
        token: str | TokenSource | None = None,
        session: aiohttp.ClientSession | None = None,
        max_delay: float = 30.0,
    ) -> None:
        self.token = token
        self._url = f"{url.rstrip('/')}/v1/api/{project}/realtime"
        self._session = session
        self._owns_session = session is None
        self._max_delay = max_delay
        self._streams: set[Stream] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End all streams and release the HTTP session."""
        for stream in list(self._streams):
            stream.close()
        if self._owns_session and self._session is not None:
            await self._session.close()

    def live_query(
        self,
        database: str,
        collection: str,
        where: Mapping[str, Any] | None = None,
        *,
        skip_initial: bool = False,
        select: Sequence[str] | None = None,
        sort: Sequence[str] | None = None,
        limit: int | None = None,
        aggregate: Mapping[str, Mapping[str, Any]] | None = None,
        group_by: Sequence[str] | None = None,
        coalesce: bool = False,
    ) -> Subscription:
        """One live query on a stream of its own; it connects when iterated over or `subscribe`d. select: the fields to
        get beside the primary key; None: all. sort: the fields to sort by, `-title` for descending; limit: so many of
        the first rows; with either, `docs` is in order. aggregate: instead of rows what is made of them, as
        `{"total": {"sum": "price"}}`, for each group that has the same values in the fields of group_by. coalesce: as
        in `stream`."""
        query = LiveQuery(
            "q1",
            database,
            collection,
            where or {},
            skip_initial,
            select,
            sort,
            limit,
            aggregate,
            group_by,
        )
        return Subscription(self.stream([query], coalesce=coalesce))

    def stream(
        self, queries: Iterable[LiveQuery], *, cursor: str | None = None, coalesce: bool = False
    ) -> Stream:
        """Several live queries on one stream; with the cursor of an earlier one it resumes there. coalesce: while this
        end reads too slowly, changes are merged by row, so that it gets the newest state rather than every one."""
        stream = Stream(
            queries,
            cursor,
            self._post,
            self._delay,
            self._streams.discard,
            renews=callable(self.token),
            coalesce=coalesce,
        )
        self._streams.add(stream)
        return stream

    async def _post(self, body: bytes) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
        token = self.token() if callable(self.token) else self.token
        if token is not None:
            headers["Authorization"] = f"Bearer {token if isinstance(token, str) else await token}"
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=_SILENCE_SECONDS)
        return await self._session.post(self._url, data=body, headers=headers, timeout=timeout)

    def _delay(self, attempt: int, retry_ms: int | None, retry_after: float) -> float:
        """What the server asks for, plus full jitter over a span that doubles with every attempt in vain."""
        first = _FIRST_DELAY if retry_ms is None else retry_ms / 1000
        span = min(self._max_delay, first * 2 ** min(attempt, _MOST_DOUBLINGS))
        return retry_after + random.uniform(0, span)


class Subscription:
    """One live query: iterate over its changes, or have them called back; `docs` is its current result.

    Raises ClientError, or calls `on_error` with it, when the server refuses the live query for good.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._result = Result()
        self._changes: deque[Change] = deque()
        self._task: asyncio.Task[None] | None = None
        self._ended = False

    @property
    def docs(self) -> list[Row]:
        """The current result, as far as it was received."""
        return self._result.docs

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        while not self._changes:
            frame = await anext(self._stream)
            if self._ended:
                raise StopAsyncIteration
            if isinstance(frame, Failure) and not frame.retryable:
                self._stream.close()
                raise ClientError(frame.code, frame.message, frame.path)
            if not isinstance(frame, Progress):
                self._changes.extend(self._result.take(frame))
        return self._changes.popleft()

    def subscribe(
        self, on_snapshot: OnSnapshot, on_error: Callable[[ClientError], None] | None = None
    ) -> Self:
        """Call `on_snapshot` for the initial result and then for every change, from a task of this subscription's."""
        self._task = asyncio.ensure_future(self._call_back(on_snapshot, on_error))
        return self

    async def _call_back(
        self, on_snapshot: OnSnapshot, on_error: Callable[[ClientError], None] | None
    ) -> None:
        try:
            async for change in self:
                on_snapshot(change.docs, change.type, change.find, change.doc)
        except ClientError as error:
            if on_error is None:
                raise
            on_error(error)
        finally:
            self._stream.close()

    def unsubscribe(self) -> None:
        """End it: the iteration stops, nothing is called back any more."""
        self._ended = True
        self._stream.close()
        self._changes.clear()

    async def aclose(self) -> None:
        """`unsubscribe`, and wait until the callbacks' task has ended; raises what they raised."""
        self.unsubscribe()
        if self._task is not None:
            await self._task
